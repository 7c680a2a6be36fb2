//! The same values as in JSON, written as YAML.

use std::io::{self, Write};

use serde::Serialize;

/// `value` as a document.
pub(crate) fn document(out: &mut dyn Write, value: &impl Serialize) -> io::Result<()> {
    serde_yaml::to_writer(out, &value).map_err(io::Error::other)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::json::{Number, Time};
    use crate::output::testing::{console, written};

    #[test]
    fn values_are_those_of_json() {
        #[derive(Serialize)]
        struct Some {
            time: Time,
            number: Number,
            nan: Number,
            text: &'static str,
            none: Option<u32>,
            list: [&'static str; 2],
        }
        let some = Some {
            time: Time(1_500_000_000_000_000_000),
            number: Number(0.5),
            nan: Number(f64::NAN),
            text: "no\x1b",
            none: None,
            list: ["a: b", "yes"],
        };
        insta::assert_snapshot!(written(|console| document(&mut console.out, &some), console(80)), @r#"
        time: 2017-07-14T02:40:00.000Z
        number: 0.5
        nan: NaN
        text: "no\e"
        none: null
        list:
        - 'a: b'
        - yes
        "#);
    }
}
