//! The house rules that only stay true when a test reads them: who may use whom, no file that nothing includes,
//! nothing left open in product code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../..")
        .canonicalize()
        .expect("repository root")
}

/// Rows `| \`crate\` | holds | may use |` of the table in ARCHITECTURE.md.
fn allowed_edges() -> BTreeMap<String, BTreeSet<String>> {
    let text = std::fs::read_to_string(root().join("ARCHITECTURE.md")).expect("ARCHITECTURE.md");
    let mut table = BTreeMap::new();
    for line in text.lines() {
        let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
        let [name, _, uses] = cells[..] else { continue };
        let Some(name) = name
            .strip_prefix('`')
            .and_then(|rest| rest.strip_suffix('`'))
        else {
            continue;
        };
        let uses = uses
            .split(',')
            .map(|word| word.trim().trim_matches('`').to_owned())
            .filter(|word| word != "-");
        table.insert(name.to_owned(), uses.collect());
    }
    table
}

#[test]
fn crates_depend_only_on_what_the_table_allows() {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo metadata");
    let metadata: serde_json::Value =
        serde_json::from_slice(&output.stdout).expect("metadata is JSON");
    let packages = metadata["packages"].as_array().expect("packages");
    let ours: BTreeSet<&str> = packages
        .iter()
        .filter_map(|package| package["name"].as_str())
        .collect();
    let allowed = allowed_edges();
    assert_eq!(
        ours.iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>(),
        allowed.keys().cloned().collect::<BTreeSet<_>>(),
        "the crates of the workspace and the rows of the table in ARCHITECTURE.md differ"
    );
    for package in packages {
        let name = package["name"].as_str().expect("name");
        let may_use = &allowed[name];
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let target = dependency["name"].as_str().expect("name");
            let development = dependency["kind"].as_str() == Some("dev");
            if ours.contains(target) && !development {
                assert!(
                    may_use.contains(target) || may_use.contains("everything"),
                    "`{name}` uses `{target}`, which the table in ARCHITECTURE.md does not allow"
                );
            }
        }
    }
}

fn rust_files(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).expect("readable directory") {
        let path = entry.expect("entry").path();
        if path.is_dir() && !path.ends_with("target") {
            rust_files(&path, into);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            into.push(path);
        }
    }
}

fn product_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    rust_files(&root().join("crates"), &mut files);
    files.retain(|path| path.components().any(|part| part.as_os_str() == "src"));
    files
}

#[test]
fn every_source_file_is_included_by_its_parent() {
    for path in product_files() {
        let stem = path
            .file_stem()
            .and_then(|stem| stem.to_str())
            .expect("file name")
            .to_owned();
        if ["lib", "main", "build"].contains(&stem.as_str()) {
            continue;
        }
        let directory = path.parent().expect("parent");
        let (module, home) = if stem == "mod" {
            let name = directory
                .file_name()
                .and_then(|name| name.to_str())
                .expect("name")
                .to_owned();
            (name, directory.parent().expect("parent"))
        } else {
            (stem, directory)
        };
        let sibling = home.with_extension("rs");
        let candidates = [
            home.join("mod.rs"),
            home.join("lib.rs"),
            home.join("main.rs"),
            sibling,
        ];
        let declaration = format!("mod {module}");
        let declared = candidates.iter().any(|candidate| {
            std::fs::read_to_string(candidate).is_ok_and(|text| {
                text.lines().any(|line| {
                    let line = line.trim_start();
                    let line = line
                        .strip_prefix("pub ")
                        .or_else(|| line.strip_prefix("pub(crate) "))
                        .unwrap_or(line);
                    line.strip_prefix(&declaration)
                        .is_some_and(|rest| rest.starts_with([';', ' ', '{']))
                })
            })
        });
        assert!(declared, "{} is included by no module", path.display());
    }
}

#[test]
fn nothing_is_left_open_in_product_code() {
    let open = ["todo!(", "unimplemented!(", "TODO", "FIXME", "XXX", "HACK"];
    for path in product_files() {
        if path.file_name().is_some_and(|name| name == "tests.rs") {
            continue;
        }
        let text = std::fs::read_to_string(&path).expect("readable file");
        for (number, line) in text.lines().enumerate() {
            for word in open {
                assert!(
                    !line.contains(word),
                    "{}:{}: {word}",
                    path.display(),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn unsafe_code_lives_only_where_the_table_says() {
    for path in product_files() {
        let text = std::fs::read_to_string(&path).expect("readable file");
        let at_home = path.components().any(|part| {
            ["platform", "kernels", "engines"].contains(&part.as_os_str().to_str().unwrap_or(""))
        });
        let uses = text.lines().any(|line| {
            let code = line.split("//").next().unwrap_or("");
            code.contains("unsafe {") || code.contains("unsafe fn") || code.contains("unsafe impl")
        });
        assert!(
            at_home || !uses,
            "{} uses unsafe outside platform, kernels and inference::engines",
            path.display()
        );
    }
}

#[test]
fn product_code_holds_no_pretence() {
    let pretence = ["mock", "fake", "dummy", "simulated", "placeholder", "stub"];
    for path in product_files() {
        let text = std::fs::read_to_string(&path).expect("readable file");
        if path.components().any(|part| part.as_os_str() == "tests")
            || path.file_name().is_some_and(|name| name == "tests.rs")
        {
            continue;
        }
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (number, line) in product.lines().enumerate() {
            let line = line.to_lowercase();
            let found = line
                .split(|character: char| !character.is_alphanumeric())
                .find(|word| pretence.contains(word));
            assert!(
                found.is_none(),
                "{}:{}: {found:?}",
                path.display(),
                number + 1
            );
        }
    }
}

/// Lines of a file that one can still take in; the workspace's own bound.
const FILE_LINES_MAX: usize = 900;
/// Lines of a function, from its `fn` to its closing brace.
const FUNCTION_LINES_MAX: usize = 100;

/// Whether a line begins a function of more than one line, as rustfmt writes it.
fn begins_function(line: &str) -> bool {
    let code = line.trim_start();
    let before = code.split("fn ").next().unwrap_or("");
    let mut qualifiers = before.split_whitespace();
    let plain = |word: &str| {
        ["const", "async", "unsafe", "extern", "\"C\""].contains(&word) || word.starts_with("pub")
    };
    code.contains("fn ")
        && before.len() < code.len()
        && qualifiers.all(plain)
        && !line.trim_end().ends_with([';', '}'])
}

#[test]
fn files_and_functions_stay_small() {
    let mut files = Vec::new();
    rust_files(&root().join("crates"), &mut files);
    let mut functions = 0;
    for path in files {
        let text = std::fs::read_to_string(&path).expect("readable file");
        let lines: Vec<&str> = text.lines().collect();
        let (name, count) = (path.display(), lines.len());
        assert!(count <= FILE_LINES_MAX, "{name} has {count} lines");
        for (start, line) in lines.iter().enumerate() {
            if !begins_function(line) {
                continue;
            }
            let end = format!("{}}}", &line[..line.len() - line.trim_start().len()]);
            let Some(length) = lines[start..].iter().position(|line| *line == end) else {
                continue;
            };
            functions += 1;
            assert!(
                length < FUNCTION_LINES_MAX,
                "{name}:{}: a function of {} lines",
                start + 1,
                length + 1
            );
        }
    }
    assert!(functions > 1000, "only {functions} functions were found");
}
