//! CSV with a header, RFC 4180: a column `name` (or `metric`), a column `value`, perhaps one `time` (or `timestamp`); all
//! others are labels, and an empty cell is no label.
//!
//! A record is a line. The format allows line breaks in quotes, but no label may hold one, and so a quote that somebody
//! forgot spoils its own line only.

use csv_core::{ReadRecordResult, Reader};
use sereno_model::SeriesKey;

use super::{Cache, LineError, Sample, excerpt, number, time};

/// What each column means, and the reader of the lines below.
pub(crate) struct Table {
    record: Record,
    name: usize,
    value: usize,
    time: Option<usize>,
    labels: Vec<(usize, String)>,
    width: usize,
}

/// Why a header is none, for the end of a sentence.
pub(crate) type HeaderError = String;

impl Table {
    /// Reads the header.
    pub(crate) fn of_header(line: &[u8]) -> Result<Self, HeaderError> {
        let mut record = Record::new();
        record.split(line).map_err(|error| error.to_string())?;
        let mut columns = Vec::new();
        for field in record.fields() {
            columns.push(
                std::str::from_utf8(field).map_err(|_| "it is not UTF-8".to_owned())?.trim().to_owned(),
            );
        }
        let name = one_of(&columns, &["name", "metric"])?.ok_or("no column is called `name` or `metric`")?;
        let value = one_of(&columns, &["value"])?.ok_or("no column is called `value`")?;
        let time = one_of(&columns, &["time", "timestamp"])?;
        let is_label = |column: &usize| ![Some(name), Some(value), time].contains(&Some(*column));
        let labels: Vec<_> =
            (0..columns.len()).filter(is_label).map(|column| (column, columns[column].clone())).collect();
        // The model knows which labels can be used; a value that is allowed lets it judge the names.
        SeriesKey::new("name", labels.iter().map(|(_, label)| (label, "value")))
            .map_err(|error| error.to_string())?;
        Ok(Self { record, name, value, time, labels, width: columns.len() })
    }

    /// Reads one line below the header, without its end. A blank one says nothing.
    pub(crate) fn read<T: Copy>(
        &mut self,
        line: &[u8],
        series: &mut Cache<'_, T>,
    ) -> Result<Option<Sample<T>>, LineError> {
        if line.trim_ascii().is_empty() {
            return Ok(None);
        }
        self.record.split(line)?;
        let record = &self.record;
        if record.len() != self.width {
            return Err(LineError::FieldCount { found: record.len(), wanted: self.width });
        }
        let value = match record.field(self.value) {
            [] => return Err(LineError::NoValue),
            text => number::float(text).ok_or_else(|| LineError::Value(excerpt(text)))?,
        };
        let time = match self.time.map(|column| record.field(column)) {
            None | Some([]) => None,
            Some(text) => Some(time(text)?),
        };
        let pieces = std::iter::once(self.name).chain(self.labels.iter().map(|(column, _)| *column));
        let series = series.get_pieces(pieces.map(|column| record.field(column)), || self.key())?;
        Ok(Some(Sample { series, time, value }))
    }

    fn key(&self) -> Result<SeriesKey, LineError> {
        let text = |column| std::str::from_utf8(self.record.field(column)).map_err(|_| LineError::NotUtf8);
        let labels = self.labels.iter().map(|(column, label)| Ok((label.as_str(), text(*column)?)));
        let labels: Vec<(&str, &str)> = labels.collect::<Result<_, LineError>>()?;
        match text(self.name)? {
            "" => Err(LineError::NoName),
            name => Ok(SeriesKey::new(name, labels)?),
        }
    }
}

/// The column that has one of `names`, in any case.
fn one_of(columns: &[String], names: &[&str]) -> Result<Option<usize>, HeaderError> {
    let named = |column: &&usize| names.iter().any(|name| columns[**column].eq_ignore_ascii_case(name));
    let indices: Vec<usize> = (0..columns.len()).collect();
    let mut found = indices.iter().filter(named);
    match (found.next(), found.next()) {
        (Some(first), Some(second)) => {
            Err(format!("`{}` and `{}` are the same to it", columns[*first], columns[*second]))
        }
        (first, _) => Ok(first.copied()),
    }
}

/// The fields of one line.
struct Record {
    reader: Reader,
    text: Vec<u8>,
    ends: Vec<usize>,
    len: usize,
}

impl Record {
    fn new() -> Self {
        Self { reader: Reader::new(), text: Vec::new(), ends: Vec::new(), len: 0 }
    }

    fn split(&mut self, line: &[u8]) -> Result<(), LineError> {
        self.reader.reset();
        // Fields together are no longer than the line, and one ends at every comma and at the end; the reader wants to see
        // room beyond that.
        self.text.resize(self.text.len().max(line.len() + 1), 0);
        self.ends.resize(self.ends.len().max(line.len() + 2), 0);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        let (result, _, written, ends) = self.reader.read_record(line, &mut self.text, &mut self.ends);
        self.len = ends;
        if result == ReadRecordResult::Record {
            return Ok(());
        }
        // The end of the line ends the record, unless a quote is open.
        let (result, _, _, more) =
            self.reader.read_record(b"\n", &mut self.text[written..], &mut self.ends[ends..]);
        self.len = ends + more;
        if result == ReadRecordResult::Record { Ok(()) } else { Err(LineError::OpenQuote) }
    }

    const fn len(&self) -> usize {
        self.len
    }

    fn field(&self, index: usize) -> &[u8] {
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        self.text[start..self.ends[index]].trim_ascii()
    }

    fn fields(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len).map(|index| self.field(index))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::lines::testing::{Keys, told};

    fn line(header: &str, text: &str) -> String {
        let mut table = Table::of_header(header.as_bytes()).expect("a header");
        told(|series| table.read(text.as_bytes(), series))
    }

    #[test]
    fn the_header_says_what_a_column_means() {
        let header = "time,host,name,value,env\r";
        assert_eq!(
            line(header, "1700000000,a,cpu.load,0.5,prod\r"),
            r#"cpu.load{env="prod",host="a"} = 0.5 at 1700000000"#
        );
        assert_eq!(line(header, ",a,cpu.load,0.5,"), r#"cpu.load{host="a"} = 0.5"#);
        assert_eq!(
            line(header, r#"2017-07-14T02:40:00Z,"a, ""b""",cpu.load, NaN ,"#),
            r#"cpu.load{host="a, \"b\""} = NaN at 1500000000"#
        );
        assert_eq!(line("\u{feff}Metric,VALUE", "foo,5"), "foo = 5");
        assert_eq!((line(header, ""), line(header, " \r")), ("-".into(), "-".into()));
    }

    #[test]
    fn a_bad_record_says_what_is_wrong() {
        let header = "name,value,timestamp,host";
        let lines = [
            "foo,5",
            "foo,5,,a,b",
            "foo,,,a",
            "foo,x,,a",
            "foo,5,then,a",
            ",5,,a",
            "foo,5,,\"a",
            "foo,5,,a\tb",
            "\"foo",
        ];
        insta::assert_snapshot!(lines.map(|text| line(header, text)).join("\n"), @"
        2 fields, but the header has 4
        5 fields, but the header has 4
        the value is missing
        `x` is no number
        `then` is no time; a time is a Unix time in s, ms, us or ns, or like `2026-11-23T08:00:00Z`
        the name is missing
        a quote is not closed
        `host` holds a control character
        a quote is not closed
        ");
    }

    #[test]
    fn a_bad_header_says_what_is_wrong() {
        let headers = [
            "foo 5",
            "name,host",
            "name,metric,value",
            "name,value,host,host",
            "name,value,",
            "name,value,\"x",
            "name,value,a\u{1}",
        ];
        let told = |header: &str| Table::of_header(header.as_bytes()).map(|_| ()).expect_err("a bad header");
        insta::assert_snapshot!(headers.map(told).join("\n"), @r"
        no column is called `name` or `metric`
        no column is called `value`
        `name` and `metric` are the same to it
        label `host` is given twice
        a label has an empty name
        a quote is not closed
        `a\u{1}` holds a control character
        ");
    }

    proptest! {
        #[test]
        fn every_series_is_read_as_it_is_written(name in "[^\\p{Cc}\\s]{1,20}", value in "[^\\p{Cc}\\s]{0,8}") {
            let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
            let mut table = Table::of_header(b"name,label,value").unwrap();
            let keys = Keys::default();
            let line = format!("{},{},1", quoted(&name), quoted(&value));
            let sample = table.read(line.as_bytes(), &mut keys.cache()).unwrap().unwrap();
            prop_assert_eq!(keys.of(sample.series), SeriesKey::new(&name, [("label", &value)]).unwrap());
        }

        #[test]
        fn any_bytes_are_answered(lines in proptest::collection::vec("[ab\",\r\n 1.-]{0,20}", 0..4), header: Vec<u8>) {
            drop(Table::of_header(&header));
            let mut table = Table::of_header(b"name,value,host").unwrap();
            let keys = Keys::default();
            let mut cache = keys.cache();
            for line in lines {
                drop(table.read(line.as_bytes(), &mut cache));
            }
        }
    }
}
