//! Reads the text format of Prometheus, strictly, and the table of the documents.

use std::collections::{BTreeMap, BTreeSet};

/// Kind and names of labels of every metric.
pub type Families = BTreeMap<String, (String, BTreeSet<String>)>;

/// What a process serves.
pub struct Served {
    pub families: Families,
    /// Value by name and labels as they are written.
    pub samples: BTreeMap<String, f64>,
}

/// Reads a dump; a line that is not well formed fails the test.
pub fn parse(dump: &str) -> Served {
    let (mut families, mut samples) = (Families::new(), BTreeMap::new());
    let mut helped = BTreeSet::new();
    for line in dump.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            let (name, help) = rest.split_once(' ').expect(line);
            assert!(!help.is_empty() && helped.insert(name.to_owned()), "{line}");
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect(line);
            let twice = families.insert(name.to_owned(), (kind.to_owned(), BTreeSet::new()));
            assert!(twice.is_none() && helped.contains(name), "{line}");
        } else {
            let (series, value) = line.rsplit_once(' ').expect(line);
            let (name, labels) = split(series);
            let family = ["_bucket", "_sum", "_count"]
                .iter()
                .filter_map(|end| name.strip_suffix(end))
                .find(|name| families.get(*name).is_some_and(|(kind, _)| kind == "histogram"))
                .unwrap_or(name);
            let known = &mut families.get_mut(family).expect(line).1;
            known.extend(labels.into_iter().filter(|label| label != "le"));
            let twice = samples.insert(series.to_owned(), value.parse().expect(line));
            assert!(twice.is_none(), "{line}");
        }
    }
    Served { families, samples }
}

/// Returns the name and the names of the labels of a series.
fn split(series: &str) -> (&str, Vec<String>) {
    let Some((name, labels)) = series.split_once('{') else { return (series, Vec::new()) };
    let mut rest = labels.strip_suffix('}').expect(series);
    let mut names = Vec::new();
    while let Some((label, value)) = rest.split_once("=\"") {
        names.push(label.to_owned());
        // No value of the suite has a quotation mark in it.
        let (_, behind) = value.split_once('"').expect(series);
        rest = behind.strip_prefix(',').unwrap_or(behind);
    }
    assert!(rest.is_empty(), "{series}");
    (name, names)
}

/// Reads the table of metrics in a document.
pub fn documented(document: &str) -> Families {
    let rows = document.lines().filter_map(|line| line.strip_prefix("| `"));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = cells[0].trim_end_matches('`').to_owned();
        let labels = cells[2].split_whitespace().map(|label| label.trim_matches('`').to_owned());
        (name, (cells[1].to_owned(), labels.collect()))
    })
    .filter(|(name, _): &(String, _)| name.starts_with("chat_") || name.starts_with("process_"))
    .collect()
}
