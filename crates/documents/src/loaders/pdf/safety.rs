//! What is checked and taken away before a PDF's text is read.

use std::collections::{HashMap, HashSet};
use std::io::{Read, copy, sink};

use flate2::read::ZlibDecoder;
use pdf_extract::{Dictionary, Document, Object, ObjectId, Stream};

use crate::error::{Error, ErrorKind};
use crate::limits::Limits;
use crate::piece::Place;

/// Filters that a stream may stack, each unpacking the one before.
const STACKED_MAX: usize = 3;
/// Longest LZW stream: each of its codes of at least nine bits gives at most 4096 bytes, so this unpacks to 240 MB.
const LZW_BYTES_MAX: usize = 64 * 1024;
/// Forms inside forms.
const FORM_DEPTH_MAX: usize = 24;
/// Forms that one page may draw, counted with every repetition.
const FORMS_DRAWN_MAX: u64 = 100_000;
/// Levels between a page and the root of the tree of pages.
const PAGE_DEPTH_MAX: usize = 64;

/// Unpacks every compressed stream of the file into nothing, within the bounds. Streams are found by their keyword, as
/// the file's own directory may lie.
pub(super) fn check_streams(bytes: &[u8], limits: &Limits) -> Result<(), Error> {
    const BEGIN: &[u8] = b"stream";
    let mut left = limits.inflated_bytes_max;
    let mut from = 0;
    while let Some(found) = find(&bytes[from..], BEGIN) {
        let start = from + found + BEGIN.len();
        from = start;
        let data = &bytes[start..];
        let data = data.strip_prefix(b"\r").unwrap_or(data);
        let data = data.strip_prefix(b"\n").unwrap_or(data);
        // A zlib header: method 8, and a multiple of 31 as two bytes.
        let zlib = data.len() > 2
            && data[0] & 0x0f == 8
            && (u16::from(data[0]) << 8 | u16::from(data[1])) % 31 == 0;
        if !zlib {
            continue;
        }
        for layers in 1..=STACKED_MAX {
            let mut unpacked: Box<dyn Read> = Box::new(ZlibDecoder::new(data));
            for _ in 1..layers {
                unpacked = Box::new(ZlibDecoder::new(unpacked));
            }
            let (count, whole) = count(unpacked, left);
            if count > left {
                let error = Error::too_large("bytes unpacked", limits.inflated_bytes_max);
                return Err(error.at(Place::byte(start as u64)));
            }
            left -= count;
            if count == 0 || !whole {
                break;
            }
        }
    }
    Ok(())
}

/// Bytes that come out, at most one more than `bound`, and whether the end was reached without an error.
fn count(unpacked: Box<dyn Read + '_>, bound: u64) -> (u64, bool) {
    let mut counted = Counted {
        inner: unpacked.take(bound + 1),
        count: 0,
    };
    let whole = copy(&mut counted, &mut sink()).is_ok();
    (counted.count, whole)
}

struct Counted<R> {
    inner: R,
    count: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.count += count as u64;
        Ok(count)
    }
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    memchr::memmem::find(bytes, wanted)
}

/// Empties images and attached files: the reader of text would take the bytes of an image for instructions.
pub(super) fn blank_images(document: &mut Document) {
    for object in document.objects.values_mut() {
        if let Object::Stream(stream) = object
            && !is_form(stream)
            && (named(&stream.dict, b"Subtype", b"Image")
                || named(&stream.dict, b"Type", b"EmbeddedFile"))
        {
            stream.dict.remove(b"Filter");
            stream.dict.remove(b"DecodeParms");
            stream.set_content(Vec::new());
        }
    }
}

fn named(dictionary: &Dictionary, key: &[u8], wanted: &[u8]) -> bool {
    dictionary
        .get(key)
        .and_then(Object::as_name)
        .is_ok_and(|name| name == wanted)
}

fn is_form(stream: &Stream) -> bool {
    named(&stream.dict, b"Subtype", b"Form")
}

/// Refuses what would make the reader recurse or repeat without end: forms that draw themselves, forms that draw forms
/// a million times, pages whose parents go in a circle.
pub(super) fn check_forms(document: &Document, limits: &Limits) -> Result<(), Error> {
    for (id, object) in &document.objects {
        let place = || Place::part(format!("object {}", id.0));
        if let Object::Stream(stream) = object {
            let lzw = stream
                .filters()
                .is_ok_and(|filters| filters.contains(&b"LZWDecode".as_slice()));
            if lzw && stream.content.len() > LZW_BYTES_MAX {
                return Err(
                    Error::too_large("bytes packed by LZW", LZW_BYTES_MAX as u64).at(place()),
                );
            }
        }
    }
    let mut costs = HashMap::new();
    for (number, page) in document.get_pages() {
        let place = Place::page(number);
        check_parents(document, page).map_err(|error| error.at(place.clone()))?;
        let content = document.get_page_content(page).unwrap_or_default();
        if content.len() as u64 > limits.inflated_bytes_max {
            return Err(Error::too_large("bytes unpacked", limits.inflated_bytes_max).at(place));
        }
        let mut walk = Walk {
            document,
            costs: &mut costs,
            open: HashSet::new(),
        };
        let resources = inherited_resources(document, page);
        let drawn = walk
            .drawn(&content, resources, 0)
            .map_err(|error| error.at(place.clone()))?;
        if drawn > FORMS_DRAWN_MAX {
            return Err(Error::too_large("forms drawn on one page", FORMS_DRAWN_MAX).at(place));
        }
    }
    Ok(())
}

fn check_parents(document: &Document, page: ObjectId) -> Result<(), Error> {
    let mut current = page;
    for _ in 0..PAGE_DEPTH_MAX {
        let parent = document
            .get_dictionary(current)
            .and_then(|dictionary| dictionary.get(b"Parent"))
            .and_then(Object::as_reference);
        match parent {
            Ok(parent) => current = parent,
            Err(_) => return Ok(()),
        }
    }
    Err(Error::malformed("its parents go in a circle"))
}

/// The resources of a page, its own or those of the nearest parent that has some.
fn inherited_resources(document: &Document, page: ObjectId) -> Option<&Dictionary> {
    let mut current = page;
    for _ in 0..PAGE_DEPTH_MAX {
        let dictionary = document.get_dictionary(current).ok()?;
        if let Some(resources) = resolve(document, dictionary, b"Resources") {
            return Some(resources);
        }
        current = dictionary
            .get(b"Parent")
            .and_then(Object::as_reference)
            .ok()?;
    }
    None
}

/// The dictionary at `key`, itself or by reference.
fn resolve<'a>(
    document: &'a Document,
    dictionary: &'a Dictionary,
    key: &[u8],
) -> Option<&'a Dictionary> {
    match dictionary.get(key).ok()? {
        Object::Reference(id) => document.get_dictionary(*id).ok(),
        Object::Dictionary(inner) => Some(inner),
        _ => None,
    }
}

/// Counts how many forms a content draws, with all that they draw.
struct Walk<'a, 'c> {
    document: &'a Document,
    /// What is known of forms that bring their own resources.
    costs: &'c mut HashMap<ObjectId, u64>,
    open: HashSet<ObjectId>,
}

impl<'a> Walk<'a, '_> {
    fn drawn(
        &mut self,
        content: &[u8],
        resources: Option<&'a Dictionary>,
        depth: usize,
    ) -> Result<u64, Error> {
        // Every "Do" counts as if it drew the costliest form at hand: an upper bound that needs no parser.
        let calls = memchr::memmem::find_iter(content, b"Do").count() as u64;
        if calls == 0 {
            return Ok(0);
        }
        let Some(forms) = resources.and_then(|found| resolve(self.document, found, b"XObject"))
        else {
            return Ok(0);
        };
        if depth >= FORM_DEPTH_MAX {
            return Err(Error::too_large(
                "levels of forms inside forms",
                FORM_DEPTH_MAX as u64,
            ));
        }
        let mut costliest = 1;
        for (_, form) in forms.iter() {
            let Ok(id) = form.as_reference() else {
                continue;
            };
            if let Some(cost) = self.costs.get(&id) {
                costliest = costliest.max(*cost);
                continue;
            }
            let Ok(stream) = self.document.get_object(id).and_then(Object::as_stream) else {
                continue;
            };
            if !is_form(stream) {
                continue;
            }
            if !self.open.insert(id) {
                return Err(Error::new(ErrorKind::Malformed, "a form draws itself"));
            }
            let content = if stream.is_compressed() {
                stream.decompressed_content().unwrap_or_default()
            } else {
                stream.content.clone()
            };
            let own = resolve(self.document, &stream.dict, b"Resources");
            let cost = 1 + self.drawn(&content, own.or(resources), depth + 1)?;
            self.open.remove(&id);
            if own.is_some() {
                self.costs.insert(id, cost);
            }
            costliest = costliest.max(cost);
        }
        let drawn = calls.saturating_mul(costliest);
        if drawn > FORMS_DRAWN_MAX {
            return Err(Error::too_large("forms drawn on one page", FORMS_DRAWN_MAX));
        }
        Ok(drawn)
    }
}
