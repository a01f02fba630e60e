//! Changes of payloads by path, and the parts of them that are asked for.

use serde_json::Value;

use super::request::PayloadSelection;
use crate::filter::{FieldPath, PathStep};
use crate::point::Payload;

/// Sets the keys of `patch` in the objects at `at`, or in the payload itself. What is missing on the way is made;
/// what is in the way and no object is replaced by one. Elements of an array are only reached when they are there.
/// A key whose value in `patch` is null is taken away.
pub(crate) fn set(payload: &mut Payload, at: Option<&FieldPath>, patch: &Payload) {
    let Some(path) = at else {
        merge(payload, patch);
        return;
    };
    let slot = payload
        .entry(path.first())
        .or_insert_with(|| Value::Object(Payload::new()));
    set_at(slot, path.steps(), patch);
}

fn merge(into: &mut Payload, patch: &Payload) {
    for (key, value) in patch {
        match value {
            Value::Null => {
                into.remove(key);
            }
            value => {
                into.insert(key.clone(), value.clone());
            }
        }
    }
}

/// Recursion is bounded by the steps of a path.
fn set_at(value: &mut Value, steps: &[PathStep], patch: &Payload) {
    let Some((step, rest)) = steps.split_first() else {
        merge(object_of(value), patch);
        return;
    };
    match step {
        PathStep::Key(key) => {
            let slot = object_of(value)
                .entry(key)
                .or_insert_with(|| Value::Object(Payload::new()));
            set_at(slot, rest, patch);
        }
        PathStep::Index(index) => {
            if let Some(element) = value.as_array_mut().and_then(|all| all.get_mut(*index)) {
                set_at(element, rest, patch);
            }
        }
        PathStep::Every => {
            for element in value.as_array_mut().into_iter().flatten() {
                set_at(element, rest, patch);
            }
        }
    }
}

fn object_of(value: &mut Value) -> &mut Payload {
    if !value.is_object() {
        *value = Value::Object(Payload::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("an object was put there"),
    }
}

/// Takes out what lies at `path`: a key of an object, an element of an array, or all elements. True when something did.
pub(crate) fn delete(payload: &mut Payload, path: &FieldPath) -> bool {
    if path.steps().is_empty() {
        return payload.remove(path.first()).is_some();
    }
    payload
        .get_mut(path.first())
        .is_some_and(|value| delete_at(value, path.steps()))
}

fn delete_at(value: &mut Value, steps: &[PathStep]) -> bool {
    let Some((step, rest)) = steps.split_first() else {
        return false;
    };
    match (step, value) {
        (PathStep::Key(key), Value::Object(map)) if rest.is_empty() => map.remove(key).is_some(),
        (PathStep::Key(key), Value::Object(map)) => {
            map.get_mut(key).is_some_and(|value| delete_at(value, rest))
        }
        (PathStep::Index(index), Value::Array(all)) if rest.is_empty() => {
            let there = *index < all.len();
            if there {
                all.remove(*index);
            }
            there
        }
        (PathStep::Index(index), Value::Array(all)) => all
            .get_mut(*index)
            .is_some_and(|value| delete_at(value, rest)),
        (PathStep::Every, Value::Array(all)) if rest.is_empty() => {
            let any = !all.is_empty();
            all.clear();
            any
        }
        (PathStep::Every, Value::Array(all)) => {
            // Every element, also behind the first that had something to delete.
            let mut any = false;
            for value in all {
                any |= delete_at(value, rest);
            }
            any
        }
        _ => false,
    }
}

/// The part of a payload that is asked for.
pub(crate) fn select(payload: &Payload, selection: &PayloadSelection) -> Option<Payload> {
    match selection {
        PayloadSelection::None => None,
        PayloadSelection::All => Some(payload.clone()),
        PayloadSelection::Exclude(paths) => {
            let mut rest = payload.clone();
            for path in paths {
                delete(&mut rest, path);
            }
            Some(rest)
        }
        PayloadSelection::Include(paths) => {
            let mut kept = Payload::new();
            for (key, value) in payload {
                let steps: Vec<&[PathStep]> = paths
                    .iter()
                    .filter(|path| path.first() == key)
                    .map(FieldPath::steps)
                    .collect();
                if let Some(value) = included(value, &steps) {
                    kept.insert(key.clone(), value);
                }
            }
            Some(kept)
        }
    }
}

/// What of `value` lies at one of the paths `steps`; a path without steps is all of it.
fn included(value: &Value, steps: &[&[PathStep]]) -> Option<Value> {
    if steps.is_empty() {
        return None;
    }
    if steps.iter().any(|steps| steps.is_empty()) {
        return Some(value.clone());
    }
    match value {
        Value::Object(map) => {
            let mut kept = Payload::new();
            for (key, value) in map {
                let inner: Vec<&[PathStep]> = steps
                    .iter()
                    .filter(|steps| matches!(&steps[0], PathStep::Key(step) if step == key))
                    .map(|steps| &steps[1..])
                    .collect();
                if let Some(value) = included(value, &inner) {
                    kept.insert(key.clone(), value);
                }
            }
            (!kept.is_empty()).then_some(Value::Object(kept))
        }
        Value::Array(all) => {
            let kept: Vec<Value> = all
                .iter()
                .enumerate()
                .filter_map(|(index, value)| {
                    let inner: Vec<&[PathStep]> = steps
                        .iter()
                        .filter(|steps| match steps[0] {
                            PathStep::Every => true,
                            PathStep::Index(at) => at == index,
                            PathStep::Key(_) => false,
                        })
                        .map(|steps| &steps[1..])
                        .collect();
                    included(value, &inner)
                })
                .collect();
            (!kept.is_empty()).then_some(Value::Array(kept))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(value: Value) -> Payload {
        match value {
            Value::Object(map) => map,
            other => panic!("{other} is no object"),
        }
    }

    fn path(text: &str) -> FieldPath {
        text.parse().expect("path")
    }

    #[test]
    fn keys_are_set_where_the_path_says() {
        for (before, at, after) in [
            (json!({"a": 1}), None, json!({"a": 1, "x": 2})),
            (json!({"x": 1}), None, json!({"x": 2})),
            (json!({}), Some("a.b"), json!({"a": {"b": {"x": 2}}})),
            (
                json!({"a": {"b": {"y": 1}, "c": 3}}),
                Some("a.b"),
                json!({"a": {"b": {"y": 1, "x": 2}, "c": 3}}),
            ),
            (json!({"a": 7}), Some("a"), json!({"a": {"x": 2}})),
            (
                json!({"a": [{"x": 1}, {}]}),
                Some("a[]"),
                json!({"a": [{"x": 2}, {"x": 2}]}),
            ),
            (
                json!({"a": [{"x": 1}, {}]}),
                Some("a[1]"),
                json!({"a": [{"x": 1}, {"x": 2}]}),
            ),
            (json!({"a": []}), Some("a[4]"), json!({"a": []})),
        ] {
            let mut payload = object(before.clone());
            let at = at.map(path);
            set(&mut payload, at.as_ref(), &object(json!({"x": 2})));
            assert_eq!(Value::Object(payload), after, "{before} at {at:?}");
        }
    }

    #[test]
    fn a_null_takes_its_key_away() {
        for (before, at, after) in [
            (json!({"x": 1, "y": 2}), None, json!({"y": 2, "z": [null]})),
            (
                json!({"a": {"x": 1}}),
                Some("a"),
                json!({"a": {"z": [null]}}),
            ),
            (json!({}), Some("a"), json!({"a": {"z": [null]}})),
        ] {
            let mut payload = object(before.clone());
            let at = at.map(path);
            let patch = object(json!({"x": null, "z": [null]}));
            set(&mut payload, at.as_ref(), &patch);
            assert_eq!(Value::Object(payload), after, "{before} at {at:?}");
        }
    }

    #[test]
    fn keys_are_deleted_where_the_path_says() {
        for (at, there, after) in [
            ("a", true, json!({"l": [{"x": 1}, {"x": 2, "y": 3}]})),
            (
                "a.b",
                true,
                json!({"a": {"c": 2}, "l": [{"x": 1}, {"x": 2, "y": 3}]}),
            ),
            (
                "l[].x",
                true,
                json!({"a": {"b": 1, "c": 2}, "l": [{}, {"y": 3}]}),
            ),
            (
                "l[0]",
                true,
                json!({"a": {"b": 1, "c": 2}, "l": [{"x": 2, "y": 3}]}),
            ),
            ("l[]", true, json!({"a": {"b": 1, "c": 2}, "l": []})),
            (
                "l.x",
                false,
                json!({"a": {"b": 1, "c": 2}, "l": [{"x": 1}, {"x": 2, "y": 3}]}),
            ),
            (
                "z.y",
                false,
                json!({"a": {"b": 1, "c": 2}, "l": [{"x": 1}, {"x": 2, "y": 3}]}),
            ),
        ] {
            let mut payload =
                object(json!({"a": {"b": 1, "c": 2}, "l": [{"x": 1}, {"x": 2, "y": 3}]}));
            assert_eq!(delete(&mut payload, &path(at)), there, "{at}");
            assert_eq!(Value::Object(payload), after, "{at}");
        }
    }

    #[test]
    fn parts_are_selected() {
        let payload =
            object(json!({"a": {"b": 1, "c": 2}, "l": [{"x": 1}, {"x": 2, "y": 3}], "z": 4}));
        let include = |paths: &[&str]| {
            let selection =
                PayloadSelection::Include(paths.iter().map(|text| path(text)).collect());
            Value::Object(select(&payload, &selection).expect("asked for"))
        };
        assert_eq!(include(&["a.b", "z"]), json!({"a": {"b": 1}, "z": 4}));
        assert_eq!(include(&["l[].x"]), json!({"l": [{"x": 1}, {"x": 2}]}));
        assert_eq!(
            include(&["l[1]", "a"]),
            json!({"a": {"b": 1, "c": 2}, "l": [{"x": 2, "y": 3}]})
        );
        assert_eq!(include(&["q", "z.y"]), json!({}));
        let exclude = PayloadSelection::Exclude(vec![path("l"), path("a.c")]);
        let rest = select(&payload, &exclude).expect("asked for");
        assert_eq!(Value::Object(rest), json!({"a": {"b": 1}, "z": 4}));
        assert_eq!(select(&payload, &PayloadSelection::None), None);
    }
}
