//! An answer as it is shown: a list of lines of values, each with a name for people and its labels for programs.

use std::borrow::Cow;

use sereno_client::Group;
use sereno_model::SeriesKey;

/// One series, one group of series, or one of the several values of either.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shown {
    /// The metric's name; empty for a group.
    pub(super) name: String,
    pub(super) labels: Vec<(String, String)>,
    /// Which of several values.
    pub(super) column: Option<String>,
    /// Times as they are shown, in nanoseconds since the epoch.
    pub(super) points: Vec<(i64, f64)>,
}

impl Shown {
    /// What a group holds, with `time` applied to its times; one for each of several values.
    pub(super) fn of(group: Group, time: impl Fn(i64) -> i64) -> Vec<Self> {
        let Group { name, labels, times, values, columns } = group;
        let times: Vec<i64> = times.into_iter().map(time).collect();
        if columns.is_empty() {
            let points = times.into_iter().zip(values).collect();
            return vec![Self { name, labels, column: None, points }];
        }
        let column = |(column, cells): (String, Vec<Option<f64>>)| {
            let points = times.iter().zip(cells).filter_map(|(time, cell)| Some((*time, cell?))).collect();
            Self { name: name.clone(), labels: labels.clone(), column: Some(column), points }
        };
        columns.into_iter().map(column).collect()
    }

    /// The text form of the series; of a group its labels, `{host="a"}`, or `total`.
    pub(super) fn key(&self) -> String {
        match (self.name.is_empty(), self.labels.is_empty()) {
            (true, true) => "total".into(),
            (true, false) => format!("{{{}}}", labels_text(self.labels.iter())),
            // A server may send what is no series; it is shown all the same.
            (false, _) => SeriesKey::new(&self.name, self.labels.iter().map(|(name, value)| (name, value)))
                .map_or_else(
                    |_| format!("{}{{{}}}", self.name, labels_text(self.labels.iter())),
                    |key| key.to_string(),
                ),
        }
    }

    /// As [`Shown::key`], with the name of the value.
    pub(super) fn title(&self) -> String {
        match &self.column {
            Some(column) => format!("{} {column}", self.key()),
            None => self.key(),
        }
    }

    fn is_of_one_with(&self, other: &Self) -> bool {
        self.name == other.name && self.labels == other.labels
    }
}

/// Titles that leave out what all have in common: the metric's name and labels, where other labels are left beside them;
/// all of the series, where several values of one are shown.
pub(super) fn titles(shown: &[Shown]) -> Vec<String> {
    let columns: Option<Vec<String>> = shown.iter().map(|one| one.column.clone()).collect();
    if let Some(columns) = columns.filter(|_| shown.windows(2).all(|two| two[0].is_of_one_with(&two[1]))) {
        return columns;
    }
    let shared: Vec<_> = match shown.split_first() {
        Some((first, rest)) if !rest.is_empty() && rest.iter().all(|one| one.name == first.name) => {
            let in_all = |label: &&_| rest.iter().all(|one| one.labels.contains(label));
            first.labels.iter().filter(in_all).collect()
        }
        _ => return shown.iter().map(Shown::title).collect(),
    };
    if shown.iter().any(|one| one.labels.len() == shared.len()) {
        return shown.iter().map(Shown::title).collect();
    }
    let title = |one: &Shown| {
        let left = labels_text(one.labels.iter().filter(|label| !shared.contains(label)));
        one.column.as_ref().map_or(left.clone(), |column| format!("{left} {column}"))
    };
    shown.iter().map(title).collect()
}

fn labels_text<'a>(labels: impl Iterator<Item = &'a (String, String)>) -> String {
    labels.map(|(name, value)| format!("{name}={value:?}")).collect::<Vec<_>>().join(",")
}

/// The name of the metric, if all are of one.
pub(super) fn common_name(shown: &[Shown]) -> Cow<'_, str> {
    match shown.split_first() {
        Some((first, rest)) if rest.iter().all(|one| one.name == first.name) => Cow::Borrowed(&first.name),
        _ => Cow::Borrowed(""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(name: &str, labels: &[(&str, &str)]) -> Group {
        let labels = labels.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
        Group {
            name: name.into(),
            labels,
            times: vec![1, 2],
            values: vec![1.5, f64::NAN],
            ..Group::default()
        }
    }

    #[test]
    fn series_groups_and_totals_have_names() {
        let key = |name, labels: &[_]| Shown::of(group(name, labels), |time| time)[0].key();
        assert_eq!(key("cpu.load", &[("host", "a")]), r#"cpu.load{host="a"}"#);
        assert_eq!(key("odd{name", &[]), r#"{"odd{name"}"#);
        assert_eq!(key("", &[("host", "a"), ("env", "")]), r#"{host="a",env=""}"#);
        assert_eq!(key("", &[]), "total");
        assert_eq!(key("not\na series", &[("x", "y")]), "not\na series{x=\"y\"}");
    }

    #[test]
    fn titles_leave_out_what_is_in_common() {
        let all =
            |groups: Vec<Group>| groups.into_iter().flat_map(|group| Shown::of(group, |time| time)).collect();
        let shown: Vec<Shown> = all(vec![group("cpu", &[("host", "a")]), group("cpu", &[("host", "b")])]);
        assert_eq!(titles(&shown), [r#"host="a""#, r#"host="b""#]);
        let shown: Vec<Shown> = all(vec![group("cpu", &[]), group("cpu", &[("host", "b")])]);
        assert_eq!(titles(&shown), ["cpu", r#"cpu{host="b"}"#]);
        assert_eq!(titles(&shown[..1]), ["cpu"]);
        let series = |host| group("cpu", &[("env", "prod"), ("host", host)]);
        assert_eq!(titles(&all(vec![series("a"), series("b")])), [r#"host="a""#, r#"host="b""#]);
        let same: Vec<Shown> = all(vec![series("a"), series("a")]);
        assert_eq!(titles(&same)[0], r#"cpu{env="prod",host="a"}"#);
    }

    #[test]
    fn each_of_several_values_is_a_line_and_holes_are_left_out() {
        let columns =
            vec![("p50".to_owned(), vec![Some(1.0), None]), ("p99".to_owned(), vec![Some(2.0), Some(3.0)])];
        let shown = Shown::of(Group { columns, values: vec![], ..group("cpu", &[]) }, |time| time + 10);
        assert_eq!(shown[0].points, [(11, 1.0)]);
        assert_eq!((shown[1].title(), &shown[1].points[..]), ("cpu p99".into(), &[(11, 2.0), (12, 3.0)][..]));
    }
}
