//! Lists in pages. A cursor is the place of the next item, in a form that clients do not read meaning into; lists are short
//! and their order does not change while nothing is added, so a place is enough.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rmcp::ErrorData;
use rmcp::model::PaginatedRequestParams;

/// Items of one page. A tool with its schemas takes some two kilobytes, so a page stays below a quarter of a megabyte.
pub const PAGE_ITEMS: usize = 100;

/// The page of `items` that `request` asks for, and the cursor of the next one.
///
/// # Errors
/// The cursor is not one of ours.
pub fn page<T>(
    items: Vec<T>,
    request: Option<&PaginatedRequestParams>,
) -> Result<(Vec<T>, Option<String>), ErrorData> {
    let start = match request.and_then(|request| request.cursor.as_deref()) {
        None => 0,
        Some(cursor) => place(cursor)
            .filter(|place| *place <= items.len())
            .ok_or_else(|| ErrorData::invalid_params("this cursor is not valid", None))?,
    };
    let end = items.len().min(start + PAGE_ITEMS);
    let next = (end < items.len()).then(|| URL_SAFE_NO_PAD.encode(format!("p{end}")));
    let page = items.into_iter().skip(start).take(PAGE_ITEMS).collect();
    Ok((page, next))
}

fn place(cursor: &str) -> Option<usize> {
    let bytes = URL_SAFE_NO_PAD.decode(cursor).ok()?;
    let text = std::str::from_utf8(&bytes).ok()?;
    text.strip_prefix('p')?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_follow_each_other_and_hold_everything_once() {
        let mut seen = Vec::new();
        let mut cursor = None;
        let mut pages = 0;
        loop {
            let request = PaginatedRequestParams::default().with_cursor(cursor.take());
            let (items, next) = page((0..250).collect(), Some(&request)).expect("a page");
            assert!(items.len() <= PAGE_ITEMS);
            seen.extend(items);
            pages += 1;
            match next {
                Some(next) => cursor = Some(next),
                None => break,
            }
        }
        assert_eq!(seen, (0..250).collect::<Vec<_>>());
        assert_eq!(pages, 3);
    }

    #[test]
    fn a_cursor_that_is_not_ours_is_refused() {
        for cursor in ["", "x", "cDk5OTk5", "!!", "cC0x"] {
            let request = PaginatedRequestParams::default().with_cursor(Some(cursor.to_owned()));
            assert!(page(vec![1, 2, 3], Some(&request)).is_err(), "{cursor}");
        }
    }
}
