//! Arguments of tests that are programs of their own. They get the harness's arguments too, because `cargo test` gives the
//! same ones to every test; what is neither the harness's nor their own is refused, so that a misspelt option does not
//! run, or skip, something else than was meant.

use std::process::ExitCode;

/// Options of the harness that stand alone, and those that a value follows.
const HARNESS_FLAGS: [&str; 8] = [
    "--nocapture",
    "--no-capture",
    "--show-output",
    "--quiet",
    "-q",
    "--exact",
    "--ignored",
    "--include-ignored",
];
const HARNESS_VALUES: [&str; 4] = ["--test-threads", "--color", "--format", "--skip"];

/// The numbers that were given, in the order of their names.
pub struct Numbers(Vec<(String, u64)>);

impl Numbers {
    /// The number given as `--name`.
    pub fn get(&self, name: &str) -> Option<u64> {
        let found = self.0.iter().find(|(given, _)| given == name);
        found.map(|(_, number)| *number)
    }
}

/// The numbers `names` among `arguments` of the test `test`; or how the program ends because it is not asked to run.
pub fn parse(test: &str, names: &[&str], arguments: &[String]) -> Result<Numbers, ExitCode> {
    let refuse = |message: String| {
        eprintln!("{test}: {message}; known: {}", names.join(" N, ") + " N");
        ExitCode::from(2)
    };
    let (mut numbers, mut filters, mut list) = (Vec::new(), Vec::new(), false);
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        let name = argument.split('=').next().unwrap_or_default();
        if names.contains(&argument.as_str()) {
            let number = rest.next().and_then(|text| text.parse().ok());
            let number = number.ok_or_else(|| refuse(format!("{argument} wants a number")))?;
            numbers.push((argument.clone(), number));
        } else if HARNESS_VALUES.contains(&name) {
            if name == argument {
                rest.next();
            }
        } else if argument == "--list" {
            list = true;
        } else if !argument.starts_with('-') {
            filters.push(argument.as_str());
        } else if !HARNESS_FLAGS.contains(&argument.as_str()) {
            return Err(refuse(format!("{argument} is not known")));
        }
    }
    if list {
        println!("{test}: test");
        return Err(ExitCode::SUCCESS);
    }
    if filters.is_empty() || filters.iter().any(|filter| test.contains(filter)) {
        return Ok(Numbers(numbers));
    }
    if !numbers.is_empty() {
        return Err(refuse(format!("`{}` is not this test", filters.join(" "))));
    }
    // As the harness says it: a filter is meant for all tests, and this is none of those it names.
    println!("running 0 tests\n\ntest result: ok. 0 passed; 0 failed; 1 filtered out ({test})");
    Err(ExitCode::SUCCESS)
}
