//! Texts in columns of a terminal. What a text takes is not its number of characters: some are two columns wide, some
//! none.

use std::borrow::Cow;

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// How many columns `text` takes.
pub(crate) fn width(text: &str) -> usize {
    // By character, as `fit` cuts: the width of the whole may be less where characters join.
    text.chars().map(|c| c.width().unwrap_or(0)).sum::<usize>().max(text.width())
}

/// `text` in at most `columns` columns; `mark`, which is one column wide, stands for what does not fit.
pub(crate) fn fit<'a>(text: &'a str, columns: usize, mark: char) -> Cow<'a, str> {
    if width(text) <= columns {
        return Cow::Borrowed(text);
    }
    let mut fitting = String::new();
    let mut taken = 0;
    for c in text.chars() {
        taken += c.width().unwrap_or(0);
        if taken + 1 > columns {
            break;
        }
        fitting.push(c);
    }
    if columns > 0 {
        fitting.push(mark);
    }
    Cow::Owned(fitting)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wide_characters_take_two_columns() {
        assert_eq!((width("cpu"), width("温度"), width("é")), (3, 4, 1));
        assert_eq!(fit("cpu.load", 8, '…'), "cpu.load");
        assert_eq!(fit("cpu.load", 5, '…'), "cpu.…");
        assert_eq!(fit("温度計", 4, '…'), "温…");
        assert_eq!((fit("abc", 1, '…').as_ref(), fit("abc", 0, '…').as_ref()), ("…", ""));
    }
}
