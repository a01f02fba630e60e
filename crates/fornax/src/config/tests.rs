//! The configuration at its boundary: layers in, tree and origins out.

#![expect(clippy::disallowed_methods, reason = "a test writes throw-away files")]

use std::path::Path;
use std::time::Duration;

use super::environment::{Variable, parse_dot_env};
use super::layers::Origin;
use super::values::{Auto, ByteCount, Keep};
use super::*;

fn environment(variables: &[(&str, &str)]) -> Environment {
    let variable = |value: &str| Variable {
        value: value.to_owned(),
        from_dot_env: false,
    };
    Environment {
        variables: variables
            .iter()
            .map(|(name, value)| ((*name).to_owned(), variable(value)))
            .collect(),
        ..Environment::default()
    }
}

fn with_file(
    text: &str,
    variables: &[(&str, &str)],
    flags: &[(&str, &str)],
) -> Result<Loaded, ConfigError> {
    let directory = tempfile::tempdir().expect("directory");
    let path = directory.path().join("config.toml");
    std::fs::write(&path, text).expect("write");
    let flags = Flags {
        config: Some(path),
        values: flags
            .iter()
            .map(|(key, value)| ((*key).to_owned(), (*value).to_owned(), "--set"))
            .collect(),
    };
    load(&environment(variables), &flags)
}

fn problems(text: &str, variables: &[(&str, &str)]) -> String {
    with_file(text, variables, &[])
        .expect_err("refused")
        .to_string()
}

#[test]
fn a_stronger_layer_wins_and_the_origin_says_which() {
    let file = "[server]\nbind = \"127.0.0.1:1\"\n[log]\nlevel = \"warn\"\n[models]\npinned = [\"a\", \"b:c\"]\nthreads = 3";
    let loaded = with_file(
        file,
        &[
            ("FORNAX_SERVER__BIND", "127.0.0.1:2"),
            ("FORNAX_MODELS__KEEP_ALIVE", "forever"),
        ],
        &[("server.bind", "127.0.0.1:3")],
    )
    .expect("valid");
    let settings = &loaded.settings;
    assert_eq!(settings.server.bind.port(), 3);
    assert_eq!(settings.log.level, "warn");
    assert_eq!(settings.models.pinned, ["a", "b:c"]);
    assert_eq!(settings.models.threads, Auto::Exactly(3));
    assert_eq!(settings.models.keep_alive, Keep::Forever);
    assert_eq!(settings.server.drain_timeout.0, Duration::from_secs(30));
    let origin = |key: &str| loaded.values[key].1.clone();
    assert_eq!(origin("server.bind"), Origin::Flag("--set"));
    assert!(matches!(origin("log.level"), Origin::File(_)));
    assert_eq!(
        origin("models.keep_alive"),
        Origin::Variable("FORNAX_MODELS__KEEP_ALIVE".into())
    );
    assert_eq!(origin("metrics.public"), Origin::Default);
    assert_eq!(reference::overridden(&loaded).len(), 5);
}

#[test]
fn the_short_names_that_scripts_use_work() {
    let loaded = with_file(
        "",
        &[
            ("FORNAX_BIND", "0.0.0.0:9"),
            ("FORNAX_SERVER__BIND", "127.0.0.1:2"),
            ("FORNAX_DATA_DIR", "/srv/fornax"),
            ("FORNAX_URL", "http://h:1"),
            ("FORNAX_API_KEY", "fx-hunter2"),
        ],
        &[],
    )
    .expect("valid");
    assert_eq!(loaded.settings.server.bind.port(), 9);
    assert_eq!(
        loaded.settings.data.dir.as_deref(),
        Some(Path::new("/srv/fornax"))
    );
    assert_eq!(loaded.settings.client.url, "http://h:1");
    assert_eq!(loaded.settings.client.api_key.expose(), "fx-hunter2");
    let shown = reference::show(&loaded);
    assert!(
        !shown.contains("hunter2") && !format!("{loaded:?}").contains("hunter2"),
        "{shown}"
    );
    assert!(shown.contains("api_key = \"[secret]\""), "{shown}");
    toml::from_str::<toml::Table>(&shown).expect("what is shown is TOML");
}

#[test]
fn unknown_keys_are_errors_with_a_suggestion() {
    for (file, variables, expected) in [
        (
            "[server]\nbnid = \"127.0.0.1:1\"",
            &[][..],
            "did you mean server.bind?",
        ),
        (
            "[servr]\nbind = \"127.0.0.1:1\"",
            &[],
            "did you mean server.bind?",
        ),
        ("port = 8080", &[], "port is not a key"),
        (
            "",
            &[("FORNAX_SERVER__BNID", "x")],
            "did you mean FORNAX_SERVER__BIND?",
        ),
        (
            "",
            &[("FORNAX_DATADIR", "x")],
            "did you mean FORNAX_DATA_DIR?",
        ),
        (
            "",
            &[("FORNAX_SERVER_BIND", "x")],
            "did you mean FORNAX_SERVER__BIND?",
        ),
    ] {
        let text = problems(file, variables);
        assert!(text.contains(expected), "{expected} in {text}");
    }
}

#[test]
fn every_problem_is_named_at_once() {
    let text = problems(
        "[server]\nbind = \"here\"\n[models]\nthreads = \"many\"\nkeep_alive = 5\n[metrics]\npublic = \"perhaps\"\n[log]\nformat = \"xml\"",
        &[("FORNAX_HUB__OFLINE", "1")],
    );
    for expected in [
        "server.bind must be an address and port such as 127.0.0.1:8080, not \"here\"",
        "models.threads must be a whole number, not \"many\"; or \"auto\"",
        "models.keep_alive must be a time",
        "metrics.public must be true or false",
        "log.format must be pretty or json",
        "did you mean FORNAX_HUB__OFFLINE?",
    ] {
        assert!(text.contains(expected), "{expected} in {text}");
    }
    assert!(problems("[server]\ntls_cert = \"a.pem\"", &[]).contains("belong together"));
    assert!(problems("[telemetry]\nsample_ratio = 2", &[]).contains("between 0 and 1"));
    assert!(problems("[server", &[]).contains("config.toml"));
}

#[test]
fn a_file_that_was_named_must_exist() {
    let flags = Flags {
        config: Some("/nowhere/fornax.toml".into()),
        values: Vec::new(),
    };
    assert!(
        load(&Environment::default(), &flags)
            .expect_err("missing")
            .to_string()
            .contains("/nowhere/fornax.toml")
    );
    load(&Environment::default(), &Flags::default()).expect("no file at all is fine");
}

#[test]
fn sizes_and_times_are_read_and_shown() {
    use super::declare::{Raw, Value};
    let size = |text: &str| {
        ByteCount::read(&Raw::Text(text.into()))
            .ok()
            .map(|count| count.0)
    };
    for (text, expected) in [
        ("32MiB", Some(32 << 20)),
        ("1.5GiB", Some(3 << 29)),
        ("10 GB", Some(10_000_000_000)),
        ("1024", Some(1024)),
        ("0", Some(0)),
        ("x", None),
        ("", None),
        ("5 parsecs", None),
        ("99999999999999999999", Some(u64::MAX)),
        ("99999999999TiB", None),
    ] {
        if text.len() < 20 {
            assert_eq!(size(text), expected, "{text}");
        }
    }
    assert_eq!(ByteCount(32 << 20).show(), "32MiB");
    assert_eq!(ByteCount(1_000_000).show(), "1000000");
    for (text, milliseconds) in [
        ("250ms", 250),
        ("30s", 30_000),
        ("5m", 300_000),
        ("2h", 7_200_000),
        ("0s", 0),
    ] {
        let duration = values::read_duration(text).expect(text);
        assert_eq!(duration, Duration::from_millis(milliseconds));
        assert_eq!(values::show_duration(duration), text);
    }
    for wrong in ["", "5", "m", "5 weeks", "-1s", "99999999999999999999s"] {
        assert_eq!(values::read_duration(wrong), None, "{wrong}");
    }
}

#[test]
fn dot_env_is_read_as_people_write_it() {
    let text = "# comment\nexport FORNAX_A=1\nFORNAX_B = two # note\nOTHER=x\nodd line\nFORNAX_C='a # b'\nFORNAX_D=\"q\\\"n\\n\"\nFORNAX_E=";
    let expected = [
        ("FORNAX_A", "1"),
        ("FORNAX_B", "two"),
        ("FORNAX_C", "a # b"),
        ("FORNAX_D", "q\"n\n"),
        ("FORNAX_E", ""),
    ];
    assert_eq!(
        parse_dot_env(text).expect("valid"),
        expected.map(|(name, value)| (name.to_owned(), value.to_owned()))
    );
    assert!(
        parse_dot_env("\n\nFORNAX_A")
            .expect_err("no sign")
            .contains("line 3")
    );
    assert!(parse_dot_env("FORNAX_A=\"x").is_err());
}

#[test]
fn the_checked_in_reference_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config/reference.toml");
    let on_disk = std::fs::read_to_string(&path).expect("config/reference.toml");
    assert_eq!(
        on_disk,
        reference::reference(),
        "run `cargo run -- config reference > config/reference.toml`"
    );
    let mut uncommented = String::new();
    for line in on_disk.lines() {
        let is_key = line
            .strip_prefix('#')
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
        uncommented.push_str(if is_key { &line[1..] } else { line });
        uncommented.push('\n');
    }
    // Every default, uncommented, is a valid configuration equal to the defaults.
    let loaded = with_file(&uncommented, &[], &[]).expect("the reference is valid");
    let defaults = load(&Environment::default(), &Flags::default()).expect("defaults");
    assert_eq!(
        format!("{:?}", loaded.settings),
        format!("{:?}", defaults.settings)
    );
}

#[test]
fn times_that_would_refuse_every_request_are_refused_themselves() {
    for key in ["body_timeout", "keep_alive_interval"] {
        let said = problems(&format!("[server]\n{key} = \"0s\""), &[]);
        assert!(said.contains(&format!("server.{key}")), "{said}");
    }
}
