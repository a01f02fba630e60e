//! Whole documents of every kind: their text, where it is, and what goes on when a part is broken.

mod common;

use common::{docx, load_path, load_with, small, text_pdf, xlsx};
use documents::{Kind, LoadOptions, Piece, RecordOptions};
use serde_json::json;
use sqlx::{ConnectOptions, Connection};

fn pieces(name: &str, bytes: &[u8]) -> Vec<Piece> {
    let loaded = load_with(name, bytes, &LoadOptions::default());
    assert_eq!(loaded.faults, [], "{name}");
    loaded.end.expect(name);
    loaded.pieces
}

#[test]
fn text_comes_in_runs_whose_places_follow_each_other() {
    let text = "Ein Absatz über Grüße.\n\n".repeat(150_000);
    let runs = pieces("a.txt", text.as_bytes());
    assert!(runs.len() > 2);
    let joined: String = runs.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(joined, text);
    let mut characters = 0;
    for run in &runs {
        assert_eq!(run.characters_before, characters);
        characters += run.text.chars().count() as u64;
        assert!(run.text.ends_with("\n\n"));
    }
}

#[test]
fn pages_of_a_pdf_are_pieces() {
    let found = pieces("a.pdf", &text_pdf(&["Hello first page", "And the second"]));
    assert_eq!(found.len(), 2);
    assert!(
        found[0].text.contains("Hello first page"),
        "{:?}",
        found[0].text
    );
    assert_eq!(found[1].place.page, Some(2));
    assert_eq!(found[1].text, "And the second");
}

#[test]
fn a_word_document_keeps_headings_lists_tables_and_no_deleted_text() {
    let styles = r#"<w:styles xmlns:w="w"><w:style w:styleId="Kop1"><w:pPr><w:outlineLvl w:val="0"/></w:pPr></w:style></w:styles>"#;
    let body = r#"<w:document xmlns:w="w"><w:body>
        <w:p><w:pPr><w:pStyle w:val="Kop1"/></w:pPr><w:r><w:t>Title &amp; more</w:t></w:r></w:p>
        <w:p><w:r><w:t xml:space="preserve">Some </w:t></w:r><w:r><w:t>words</w:t></w:r><w:del><w:r><w:t>gone</w:t></w:r></w:del></w:p>
        <w:p><w:pPr><w:numPr/></w:pPr><w:r><w:t>item</w:t></w:r></w:p>
        <w:tbl><w:tr><w:tc><w:p><w:r><w:t>a</w:t></w:r></w:p></w:tc></w:tr></w:tbl>
        </w:body></w:document>"#;
    let bytes = common::archive(&[
        ("word/styles.xml", styles.as_bytes()),
        ("word/document.xml", body.as_bytes()),
        (
            "word/footnotes.xml",
            br#"<w:footnotes xmlns:w="w"><w:p><w:r><w:t>A note.</w:t></w:r></w:p></w:footnotes>"#,
        ),
    ]);
    let found = pieces("a.docx", &bytes);
    assert_eq!(found[0].text, "Title & more\n\nSome words\n- item\n\na");
    assert_eq!(found[0].headings.len(), 1);
    assert_eq!(found[0].headings[0].title, "Title & more");
    assert_eq!(found[1].text, "A note.");
    assert_eq!(found[1].place.part.as_deref(), Some("word/footnotes.xml"));
}

#[test]
fn rows_of_csv_are_records_and_a_broken_row_costs_itself() {
    let found = pieces(
        "a.csv",
        "name;note\nAda;\"two\nlines; one cell\"\nBob;x\n".as_bytes(),
    );
    assert_eq!(found.len(), 2);
    assert_eq!(found[0].text, "name: Ada\nnote: two\nlines; one cell");
    assert_eq!(
        (found[1].place.row, found[1].place.line),
        (Some(2), Some(4))
    );
    let loaded = load_with("a.csv", b"a,b\n1,2\n1,2,3\n4,\xff\n5,6\n", &small());
    assert!(loaded.end.is_ok());
    assert_eq!(loaded.pieces.len(), 2);
    let said: Vec<String> = loaded.faults.iter().map(ToString::to_string).collect();
    assert_eq!(
        said,
        [
            "row 2, line 3: has 3 cells, and the header names 2 columns",
            "row 3, line 4: column 'b' is not UTF-8 text"
        ]
    );
}

#[test]
fn json_and_its_lines_are_records() {
    let found = pieces("a.json", br#"[{"a": 1}, "text", {"b": {"c": [1]}}]"#);
    let texts: Vec<&str> = found.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(texts, ["a: 1", "text", "b: {\"c\":[1]}"]);
    assert_eq!(found[2].place.row, Some(3));
    let loaded = load_with("a.jsonl", b"{\"a\":1}\n\nnot json\n{\"a\":2}", &small());
    assert_eq!(loaded.pieces.len(), 2);
    assert_eq!(loaded.pieces[1].place.line, Some(4));
    assert!(
        loaded.faults[0]
            .to_string()
            .starts_with("row 2, line 3: is no JSON")
    );
}

#[test]
fn xml_gives_a_piece_for_each_child_of_its_root() {
    let xml = "<?xml version=\"1.0\"?><feed><item><t>One &lt; two</t><d>x</d></item><item><![CDATA[<raw>]]></item></feed>";
    let found = pieces("a.xml", xml.as_bytes());
    let texts: Vec<&str> = found.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(texts, ["One < two\nx", "<raw>"]);
    assert_eq!(found[1].place.row, Some(2));
}

#[test]
fn rows_of_a_workbook_are_records() {
    let cell = |text: &str| format!("<c t=\"inlineStr\"><is><t>{text}</t></is></c>");
    let sheet = format!(
        "<row r=\"1\">{}{}</row><row r=\"2\">{}<c><v>36</v></c></row><row r=\"4\">{}<c><v>1.5</v></c></row>",
        cell("name"),
        cell("age"),
        cell("Ada"),
        cell("Bob")
    );
    let found = pieces("a.xlsx", &xlsx(&sheet));
    let texts: Vec<&str> = found.iter().map(|piece| piece.text.as_str()).collect();
    assert_eq!(texts, ["name: Ada\nage: 36", "name: Bob\nage: 1.5"]);
    assert_eq!(found[1].place.row, Some(4));
    assert_eq!(found[1].place.part.as_deref(), Some("People"));
}

#[test]
fn tables_of_sqlite_are_read_without_touching_the_file() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("a.db");
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let mut connection = sqlx::sqlite::SqliteConnectOptions::new()
            .filename(&path)
            .create_if_missing(true)
            .connect()
            .await
            .expect("database");
        for statement in [
            "CREATE TABLE \"odd \"\"name\" (id INTEGER, title TEXT, blob BLOB, twice INTEGER GENERATED ALWAYS AS (id * 2))",
            "INSERT INTO \"odd \"\"name\" (id, title, blob) VALUES (1, 'one', x'ff00'), (2, NULL, NULL)",
            "CREATE VIEW bomb AS SELECT 1",
        ] {
            sqlx::query(statement).execute(&mut connection).await.expect(statement);
        }
        connection.close().await.expect("closed");
    });
    let before = std::fs::read(&path).expect("bytes");
    let loaded = load_path("a.db", &path, &LoadOptions::default());
    assert_eq!(loaded.faults, []);
    loaded.end.expect("read");
    let texts: Vec<&str> = loaded
        .pieces
        .iter()
        .map(|piece| piece.text.as_str())
        .collect();
    assert_eq!(texts, ["id: 1\ntitle: one\nblob: 2 bytes", "id: 2"]);
    assert_eq!(loaded.pieces[1].place.part.as_deref(), Some("odd \"name"));
    assert_eq!(std::fs::read(&path).expect("bytes"), before);
    let names: Vec<_> = std::fs::read_dir(home.path()).expect("listed").collect();
    assert_eq!(names.len(), 1, "nothing was written beside it");
}

#[test]
fn parquet_rows_are_records_with_their_vectors() {
    let loaded = load_with(
        "a.parquet",
        &parquet_file(),
        &LoadOptions {
            records: RecordOptions {
                text: vec!["title".into()],
                vector: None,
            },
            ..LoadOptions::default()
        },
    );
    loaded.end.expect("read");
    let texts: Vec<&str> = loaded
        .pieces
        .iter()
        .map(|piece| piece.text.as_str())
        .collect();
    assert_eq!(texts, ["first", "second"]);
    let fields = loaded.pieces[1].fields.as_ref().expect("fields");
    assert_eq!(fields["id"], json!(2));
}

/// Two rows of a number and a text.
pub fn parquet_file() -> Vec<u8> {
    use std::sync::Arc;

    use parquet::data_type::{ByteArray, ByteArrayType, Int64Type};
    use parquet::file::properties::WriterProperties;
    use parquet::file::writer::SerializedFileWriter;
    use parquet::schema::parser::parse_message_type;

    let schema = "message rows { required int64 id; required binary title (utf8); }";
    let schema = Arc::new(parse_message_type(schema).expect("schema"));
    let mut writer =
        SerializedFileWriter::new(Vec::new(), schema, Arc::new(WriterProperties::default()))
            .expect("writer");
    let mut group = writer.next_row_group().expect("group");
    let mut column = group.next_column().expect("column").expect("first");
    column
        .typed::<Int64Type>()
        .write_batch(&[1, 2], None, None)
        .expect("numbers");
    column.close().expect("closed");
    let mut column = group.next_column().expect("column").expect("second");
    column
        .typed::<ByteArrayType>()
        .write_batch(
            &[ByteArray::from("first"), ByteArray::from("second")],
            None,
            None,
        )
        .expect("texts");
    column.close().expect("closed");
    group.close().expect("closed");
    writer.into_inner().expect("file")
}

#[test]
fn a_reader_that_has_enough_stops_the_loader() {
    let mut file = tempfile::NamedTempFile::new().expect("file");
    std::io::Write::write_all(&mut file, "a\n1\n".repeat(100_000).as_bytes()).expect("written");
    let source = documents::Source::File {
        path: file.path().to_owned(),
        name: "a.csv".into(),
    };
    let mut count = 0;
    let end = documents::load(&source, &LoadOptions::default(), &mut |_| {
        count += 1;
        documents::Flow::Stop
    });
    assert_eq!(count, 1);
    assert_eq!(
        end.expect_err("stopped").kind,
        documents::ErrorKind::Stopped
    );
}

#[test]
fn a_kind_that_is_given_wins() {
    let options = LoadOptions {
        kind: Some(Kind::Text),
        ..LoadOptions::default()
    };
    let loaded = load_with("a.csv", b"a,b\n1,2\n", &options);
    assert_eq!(loaded.pieces[0].text, "a,b\n1,2\n");
    drop(docx(""));
}
