//! Hostile and broken inputs of every kind: each a clear error that says where, in bounded memory, and none a panic.

mod common;

use common::{archive, docx, load_with, pdf, small, stream, text_pdf, xlsx};
use documents::ErrorKind::{self, Malformed, TooLarge, Unsupported};

/// The error of an input as a whole, or its first fault.
fn refused(name: &str, bytes: &[u8]) -> documents::Error {
    let loaded = load_with(name, bytes, &small());
    match loaded.end {
        Err(error) => error,
        Ok(_) => loaded
            .faults
            .into_iter()
            .next()
            .unwrap_or_else(|| panic!("{name} was read: {:?}", loaded.pieces.first())),
    }
}

#[track_caller]
fn check(name: &str, bytes: &[u8], kind: ErrorKind, says: &str) {
    let error = refused(name, bytes);
    let text = error.to_string();
    assert_eq!(error.kind, kind, "{text}");
    assert!(text.contains(says), "'{says}' is not in '{text}'");
}

fn zeros(megabytes: usize) -> Vec<u8> {
    vec![b' '; megabytes << 20]
}

#[test]
fn archives() {
    // 1-9: bombs and broken archives, as Word and Excel.
    check(
        "a.docx",
        &docx(&" ".repeat(7 << 20)),
        TooLarge,
        "'word/document.xml': unpacks to more than 100 times",
    );
    check(
        "a.xlsx",
        &xlsx(&" ".repeat(7 << 20)),
        TooLarge,
        "unpacks to more than 100 times",
    );
    let four: Vec<(String, Vec<u8>)> = (0..12)
        .map(|index| (format!("xl/{index}"), noise(1 << 20)))
        .collect();
    let files: Vec<(&str, &[u8])> = four
        .iter()
        .map(|(name, bytes)| (name.as_str(), bytes.as_slice()))
        .collect();
    check("a.xlsx", &archive(&files), TooLarge, "bytes unpacked");
    let many: Vec<String> = (0..200).map(|index| format!("xl/{index}")).collect();
    let files: Vec<(&str, &[u8])> = many
        .iter()
        .map(|name| (name.as_str(), b"x".as_slice()))
        .collect();
    check(
        "a.xlsx",
        &archive(&files),
        TooLarge,
        "more than 100 files in the archive",
    );
    let whole = docx("<w:p/>");
    check(
        "a.docx",
        &whole[..whole.len() / 2],
        Malformed,
        "is no whole archive",
    );
    check("a.docx", b"PK\x03\x04", Malformed, "is no whole archive");
    check(
        "a.docx",
        &archive(&[("other.xml", b"<a/>")]),
        Malformed,
        "holds no 'word/document.xml'",
    );
    check(
        "a.docx",
        b"plain text",
        Malformed,
        "does not begin like one",
    );
    let mut flipped = docx(&format!("<w:p>{}</w:p>", "words ".repeat(2000)));
    let middle = flipped.len() / 3;
    flipped[middle] ^= 0xff;
    let error = refused("a.docx", &flipped);
    assert_eq!(error.kind, Malformed, "{error}");
}

/// Bytes that do not pack.
fn noise(count: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15u64;
    (0..count)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}

#[test]
fn word_and_excel() {
    // 10-15
    check(
        "a.docx",
        &docx("<w:p><w:r>"),
        Malformed,
        "'word/document.xml'",
    );
    check(
        "a.docx",
        &docx(&"<w:a>".repeat(1000)),
        TooLarge,
        "levels of elements",
    );
    check(
        "a.docx",
        &docx("<w:p><w:r><w:t>&bomb;</w:t></w:r></w:p>"),
        Unsupported,
        "the entity 'bomb'",
    );
    let bad = archive(&[("word/document.xml", b"<a>\xff\xfe\xfd</a>")]);
    check("a.docx", &bad, Malformed, "is not UTF-8 text");
    check(
        "a.xlsx",
        &archive(&[("xl/workbook.xml", b"<workbook")]),
        Malformed,
        "is no whole workbook",
    );
    let cell = "x".repeat(100 << 10);
    let sheet = format!(
        "<row r=\"1\"><c t=\"inlineStr\"><is><t>{cell}{}</t></is></c></row>",
        String::from_utf8_lossy(&noise(3000)).replace(['<', '&', '\0', ']'], "")
    );
    let error = refused("a.xlsx", &xlsx(&sheet));
    assert!(matches!(error.kind, TooLarge | Malformed), "{error}");
    let wide: String = (0..100).map(|_| "<c><v>1</v></c>").collect();
    check(
        "a.xlsx",
        &xlsx(&format!("<row r=\"1\">{wide}</row>")),
        TooLarge,
        "'People': more than 50 columns",
    );
}

fn page_with(resources: &str, content: &[u8], more: &[Vec<u8>]) -> Vec<u8> {
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        format!("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents 4 0 R /Resources << {resources} >> >>").into_bytes(),
        stream("", content),
    ];
    objects.extend_from_slice(more);
    pdf(&objects)
}

#[test]
fn pdfs() {
    // 16-27
    check("a.pdf", b"%PDF-1.4\n", Malformed, "is no whole PDF");
    check(
        "a.pdf",
        b"nothing of the kind",
        Malformed,
        "does not begin like one",
    );
    let whole = text_pdf(&["text"]);
    check("a.pdf", &whole[..whole.len() / 2], Malformed, "");
    check(
        "a.pdf",
        &pdf(&[b"<< /Type /Catalog >>".to_vec()]),
        Malformed,
        "holds no page",
    );
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    let loaded = load_with("a.pdf", &pdf(&[deep.into_bytes()]), &small());
    assert!(loaded.end.is_err());
    let packed = deflated(&zeros(20));
    check(
        "a.pdf",
        &page_with("", b"", &[stream("/Filter /FlateDecode", &packed)]),
        TooLarge,
        "bytes unpacked",
    );
    let twice = deflated(&packed);
    check(
        "a.pdf",
        &page_with(
            "",
            b"",
            &[stream("/Filter [/FlateDecode /FlateDecode]", &twice)],
        ),
        TooLarge,
        "bytes unpacked",
    );
    let itself = stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X 5 0 R >> >>",
        b"/X Do",
    );
    check(
        "a.pdf",
        &page_with("/XObject << /X 5 0 R >>", b"/X Do", &[itself]),
        Malformed,
        "page 1: a form draws itself",
    );
    let mut forms = Vec::new();
    for level in 0..6 {
        let next = format!(
            "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << /XObject << /X {} 0 R >> >>",
            6 + level
        );
        forms.push(stream(&next, "/X Do ".repeat(50).as_bytes()));
    }
    forms.push(stream(
        "/Type /XObject /Subtype /Form /BBox [0 0 9 9] /Resources << >>",
        b"",
    ));
    check(
        "a.pdf",
        &page_with("/XObject << /X 5 0 R >>", b"/X Do", &forms),
        TooLarge,
        "forms drawn on one page",
    );
    let lzw = stream("/Filter /LZWDecode", &noise(100 << 10));
    check(
        "a.pdf",
        &page_with("", b"", &[lzw]),
        TooLarge,
        "packed by LZW",
    );
    let circle = pdf(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 /Parent 2 0 R >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 9 9] /Contents 4 0 R >>".to_vec(),
        stream("", b""),
    ]);
    check("a.pdf", &circle, Malformed, "go in a circle");
    let pages: Vec<&str> = vec!["text"; 30];
    check("a.pdf", &text_pdf(&pages), TooLarge, "more than 20 pages");
    // No MediaBox: the library panics, the page is lost, the others are not.
    let unboxed = pdf(&[
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>".to_vec(),
        b"<< /Type /Page /Parent 2 0 R /Contents 4 0 R >>".to_vec(),
        stream("", b"BT ET"),
    ]);
    check(
        "a.pdf",
        &unboxed,
        ErrorKind::Crashed,
        "page 1: the parser failed",
    );
}

fn deflated(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(bytes).expect("packed");
    encoder.finish().expect("packed")
}

#[test]
fn text_and_tables() {
    // 28-36
    check(
        "a.txt",
        b"good \xc3\x28 bad",
        Malformed,
        "byte 5: is not UTF-8 text",
    );
    check("a.md", b"# \xff", Malformed, "byte 2");
    check("a.md", &zeros(5), TooLarge, "to be read as a whole");
    check(
        "a.html",
        b"<meta charset='no-such'>",
        Malformed,
        "unknown encoding",
    );
    check(
        "blob",
        b"\x00\x01\x02\x03",
        Unsupported,
        "neither text nor a known kind",
    );
    check(
        "a.csv",
        format!("a\n\"{}", "x".repeat(2 << 20)).as_bytes(),
        TooLarge,
        "row 1, line 2: more than",
    );
    check(
        "a.csv",
        format!("a\n\"{}\"\n", "x".repeat(100 << 10)).as_bytes(),
        TooLarge,
        "bytes in one cell",
    );
    check(
        "a.csv",
        ",".repeat(100).as_bytes(),
        TooLarge,
        "more than 50 columns",
    );
    check(
        "a.csv",
        "a\n1\n".repeat(2000).as_bytes(),
        TooLarge,
        "more than 1000 rows",
    );
    check(
        "a.csv",
        format!("a\n{}", "1,2\n".repeat(20)).as_bytes(),
        TooLarge,
        "more than 10 faults",
    );
    check(
        "a.csv",
        b"\xff,b\n1,2",
        Malformed,
        "line 1: the header is not UTF-8",
    );
}

#[test]
fn json_and_xml() {
    // 37-48
    check(
        "a.json",
        "[".repeat(100_000).as_bytes(),
        TooLarge,
        "byte 32: more than 32 levels of nesting",
    );
    check(
        "a.json",
        "{\"a\":".repeat(100).as_bytes(),
        TooLarge,
        "levels of nesting",
    );
    check("a.json", b"{\"a\": ", Malformed, "is no JSON");
    check("a.json", b"[1, 2", Malformed, "is no JSON");
    check("a.json", b"[1] trailing", Malformed, "is no JSON");
    check("a.json", b"", Malformed, "is no JSON");
    check(
        "a.jsonl",
        format!("{}\n", "[".repeat(100)).as_bytes(),
        TooLarge,
        "row 1, line 1",
    );
    check("a.jsonl", &zeros(5), TooLarge, "bytes in one line");
    check("a.jsonl", b"{\"a\": \"\xff\"}", Malformed, "is not UTF-8");
    let bomb = "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b \"&c;&c;&c;&c;\"><!ENTITY c \"&d;&d;&d;&d;\">]><a>&b;</a>";
    check("a.xml", bomb.as_bytes(), Unsupported, "the entity 'b'");
    let file =
        "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY x SYSTEM \"file:///etc/passwd\">]><a>&x;</a>";
    check("a.xml", file.as_bytes(), Unsupported, "the entity 'x'");
    check(
        "a.xml",
        "<a>".repeat(100).as_bytes(),
        TooLarge,
        "levels of elements",
    );
    check("a.xml", b"<a><b></a>", Malformed, "is no well-formed XML");
    check("a.xml", b"<a><b>", Malformed, "still open");
    check("a.xml", b"words only", Malformed, "holds no element");
    check("a.xml", b"<a>&#xD800;</a>", Malformed, "is no character");
}

#[test]
fn databases_and_parquet() {
    // 49-54
    check("a.parquet", b"PAR1", Malformed, "is no whole Parquet file");
    check(
        "a.parquet",
        b"PAR1 some bytes PAR1",
        Malformed,
        "is no whole Parquet file",
    );
    let mut huge = b"PAR1".to_vec();
    huge.extend([0xff; 64]);
    huge.extend(0x7fff_fff0u32.to_le_bytes());
    huge.extend(b"PAR1");
    check("a.parquet", &huge, Malformed, "is no whole Parquet file");
    check(
        "a.parquet",
        b"no parquet",
        Malformed,
        "does not begin like one",
    );
    check("a.db", b"SQLite format 3\0", Malformed, "");
    let mut torn = b"SQLite format 3\0".to_vec();
    torn.extend(noise(8192));
    check("a.db", &torn, Malformed, "the database says");
}

#[test]
fn files_that_are_none() {
    // 55-56
    let source = documents::Source::File {
        path: "/proc/self".into(),
        name: "a.txt".into(),
    };
    let mut take = |_| documents::Flow::Continue;
    let error = documents::load(&source, &small(), &mut take).expect_err("a directory");
    assert_eq!(error.kind, Unsupported);
    let source = documents::Source::File {
        path: "/nowhere".into(),
        name: "a.txt".into(),
    };
    let error = documents::load(&source, &small(), &mut take).expect_err("missing");
    assert_eq!(error.kind, ErrorKind::Unreadable);
}

#[test]
fn bytes_changed_at_random_never_panic_through() {
    let seed = 0x5eed_u64;
    println!("seed {seed:#x}");
    let mut state = seed;
    let mut next = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let samples: Vec<(&str, Vec<u8>)> = vec![
        ("a.docx", docx("<w:p><w:r><w:t>words</w:t></w:r></w:p>")),
        (
            "a.xlsx",
            xlsx("<row r=\"1\"><c><v>1</v></c></row><row r=\"2\"><c><v>2</v></c></row>"),
        ),
        ("a.pdf", text_pdf(&["some text", "more"])),
        ("a.html", b"<h1>x</h1><p>y<table><tr><td>z".to_vec()),
        ("a.xml", b"<a><b c='d'>e</b></a>".to_vec()),
        ("a.json", b"[{\"a\": [1, 2, {\"b\": null}]}]".to_vec()),
    ];
    for (name, sample) in &samples {
        for _ in 0..60 {
            let mut bytes = sample.clone();
            for _ in 0..1 + next() % 8 {
                let place = next() as usize % bytes.len();
                bytes[place] = next() as u8;
            }
            if next() % 4 == 0 {
                bytes.truncate(next() as usize % bytes.len());
            }
            // Whatever comes of it, it comes back.
            drop(load_with(name, &bytes, &small()));
        }
    }
}

/// After everything above, in whatever order: the process never held much.
#[cfg(target_os = "linux")]
#[test]
fn memory_stays_bounded() {
    check(
        "a.docx",
        &docx(&" ".repeat(7 << 20)),
        TooLarge,
        "unpacks to more than",
    );
    check(
        "a.json",
        "[".repeat(3 << 20).as_bytes(),
        TooLarge,
        "levels of nesting",
    );
    let status = std::fs::read_to_string("/proc/self/status").expect("status");
    let peak = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .and_then(|rest| rest.trim().strip_suffix(" kB"))
        .and_then(|kilobytes| kilobytes.trim().parse::<u64>().ok())
        .expect("the peak");
    assert!(peak < 512 << 10, "{peak} kB");
}
