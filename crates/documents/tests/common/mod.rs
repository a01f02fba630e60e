//! What the tests of loading share.

use std::io::{Cursor, Write};
use std::path::Path;

use documents::{Error, Flow, Item, Limits, LoadOptions, Piece, Source, Summary};
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

/// What a load gave.
pub struct Loaded {
    /// Its pieces.
    pub pieces: Vec<Piece>,
    /// Faults of single places.
    pub faults: Vec<Error>,
    /// How it ended.
    pub end: Result<Summary, Error>,
}

/// Loads these bytes under this name.
pub fn load_with(name: &str, bytes: &[u8], options: &LoadOptions) -> Loaded {
    let mut file = tempfile::NamedTempFile::new().expect("file");
    file.write_all(bytes).expect("written");
    load_path(name, file.path(), options)
}

/// Loads the file at `path` under this name.
pub fn load_path(name: &str, path: &Path, options: &LoadOptions) -> Loaded {
    let source = Source::File {
        path: path.to_owned(),
        name: name.to_owned(),
    };
    let (mut pieces, mut faults) = (Vec::new(), Vec::new());
    let end = documents::load(&source, options, &mut |item| {
        match item {
            Item::Piece(piece) => pieces.push(piece),
            Item::Fault(fault) => faults.push(fault),
        }
        Flow::Continue
    });
    Loaded {
        pieces,
        faults,
        end,
    }
}

/// Small bounds, so that tests reach them in a moment.
pub fn small() -> LoadOptions {
    LoadOptions {
        limits: Limits {
            file_bytes_max: 64 << 20,
            whole_bytes_max: 4 << 20,
            text_bytes_max: 16 << 20,
            inflated_bytes_max: 8 << 20,
            ratio_max: 100,
            entries_max: 100,
            depth_max: 32,
            pages_max: 20,
            rows_max: 1000,
            columns_max: 50,
            cell_bytes_max: 64 << 10,
            faults_max: 10,
        },
        ..LoadOptions::default()
    }
}

/// An archive of these files.
pub fn archive(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut writer = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        writer
            .start_file(*name, SimpleFileOptions::default())
            .expect("entry");
        writer.write_all(bytes).expect("content");
    }
    writer.finish().expect("archive").into_inner()
}

/// A Word document with this body.
pub fn docx(body: &str) -> Vec<u8> {
    let document = format!(
        "<?xml version=\"1.0\"?><w:document xmlns:w=\"w\"><w:body>{body}</w:body></w:document>"
    );
    archive(&[("word/document.xml", document.as_bytes())])
}

/// A workbook whose only sheet has this content.
pub fn xlsx(sheet: &str) -> Vec<u8> {
    let relations = "http://schemas.openxmlformats.org/officeDocument/2006/relationships";
    let main = "http://schemas.openxmlformats.org/spreadsheetml/2006/main";
    let types = "<?xml version=\"1.0\"?><Types xmlns=\"http://schemas.openxmlformats.org/package/2006/content-types\"/>";
    let top = format!(
        "<?xml version=\"1.0\"?><Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
         <Relationship Id=\"rId1\" Type=\"{relations}/officeDocument\" Target=\"xl/workbook.xml\"/></Relationships>"
    );
    let book = format!(
        "<?xml version=\"1.0\"?><workbook xmlns=\"{main}\" xmlns:r=\"{relations}\">\
         <sheets><sheet name=\"People\" sheetId=\"1\" r:id=\"rId1\"/></sheets></workbook>"
    );
    let of_book = format!(
        "<?xml version=\"1.0\"?><Relationships xmlns=\"http://schemas.openxmlformats.org/package/2006/relationships\">\
         <Relationship Id=\"rId1\" Type=\"{relations}/worksheet\" Target=\"worksheets/sheet1.xml\"/></Relationships>"
    );
    let sheet = format!(
        "<?xml version=\"1.0\"?><worksheet xmlns=\"{main}\"><sheetData>{sheet}</sheetData></worksheet>"
    );
    archive(&[
        ("[Content_Types].xml", types.as_bytes()),
        ("_rels/.rels", top.as_bytes()),
        ("xl/workbook.xml", book.as_bytes()),
        ("xl/_rels/workbook.xml.rels", of_book.as_bytes()),
        ("xl/worksheets/sheet1.xml", sheet.as_bytes()),
    ])
}

/// A PDF of these objects, the first being the catalogue, with a true table of where they are.
pub fn pdf(objects: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = b"%PDF-1.4\n".to_vec();
    let mut offsets = Vec::new();
    for (index, object) in objects.iter().enumerate() {
        offsets.push(bytes.len());
        bytes.extend(format!("{} 0 obj\n", index + 1).bytes());
        bytes.extend(object);
        bytes.extend(b"\nendobj\n");
    }
    let table = bytes.len();
    bytes.extend(format!("xref\n0 {}\n0000000000 65535 f \n", objects.len() + 1).bytes());
    for offset in offsets {
        bytes.extend(format!("{offset:010} 00000 n \n").bytes());
    }
    bytes.extend(
        format!(
            "trailer\n<< /Size {} /Root 1 0 R >>\nstartxref\n{table}\n%%EOF\n",
            objects.len() + 1
        )
        .bytes(),
    );
    bytes
}

/// An object with a stream.
pub fn stream(dictionary: &str, content: &[u8]) -> Vec<u8> {
    let mut object = format!("<< {dictionary} /Length {} >>\nstream\n", content.len()).into_bytes();
    object.extend(content);
    object.extend(b"\nendstream");
    object
}

/// A PDF with a page for each text.
pub fn text_pdf(pages: &[&str]) -> Vec<u8> {
    let kids: Vec<String> = (0..pages.len())
        .map(|page| format!("{} 0 R", 4 + 2 * page))
        .collect();
    let mut objects = vec![
        b"<< /Type /Catalog /Pages 2 0 R >>".to_vec(),
        format!(
            "<< /Type /Pages /Kids [{}] /Count {} >>",
            kids.join(" "),
            pages.len()
        )
        .into_bytes(),
        b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica /Encoding /WinAnsiEncoding >>"
            .to_vec(),
    ];
    for (page, text) in pages.iter().enumerate() {
        objects.push(
            format!(
                "<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Contents {} 0 R /Resources << /Font << /F1 3 0 R >> >> >>",
                5 + 2 * page
            )
            .into_bytes(),
        );
        let content = format!("BT /F1 12 Tf 72 700 Td ({text}) Tj ET");
        objects.push(stream("", content.as_bytes()));
    }
    pdf(&objects)
}
