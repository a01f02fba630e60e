//! Every metric that product code records is in the table that describes it, and the table names none that nobody
//! records.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn product_files(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("readable directory") {
        let path = entry.expect("entry").path();
        if path.is_dir() && !path.ends_with("tests") {
            product_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs")
            && !path.ends_with("tests.rs")
        {
            into.push(path);
        }
    }
}

/// String literals of the product that name a metric, the table's own file and tests left out.
fn recorded() -> BTreeSet<String> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for entry in std::fs::read_dir(crates).expect("crates") {
        let path = entry.expect("entry").path();
        let telemetry = path.file_name().is_some_and(|name| name == "telemetry");
        if path.join("src").is_dir() && !telemetry {
            product_files(&path.join("src"), &mut files);
        }
    }
    let mut names = BTreeSet::new();
    for file in files {
        let text = std::fs::read_to_string(&file).expect("source");
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for line in product
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"))
        {
            for literal in line.split('"').skip(1).step_by(2) {
                let word = literal.strip_prefix("fornax_").unwrap_or_default();
                if !word.is_empty()
                    && word
                        .bytes()
                        .all(|byte| byte.is_ascii_lowercase() || byte == b'_')
                {
                    names.insert(literal.to_owned());
                }
            }
        }
    }
    names
}

#[test]
fn the_table_and_the_sources_name_the_same_metrics() {
    let table: BTreeSet<String> = telemetry::METRICS
        .iter()
        .map(|metric| metric.name.to_owned())
        .collect();
    let recorded = recorded();
    let undescribed: Vec<_> = recorded.difference(&table).collect();
    let unrecorded: Vec<_> = table.difference(&recorded).collect();
    assert!(
        undescribed.is_empty(),
        "recorded, and not in telemetry's table: {undescribed:?}"
    );
    assert!(
        unrecorded.is_empty(),
        "in telemetry's table, and recorded nowhere: {unrecorded:?}"
    );
}
