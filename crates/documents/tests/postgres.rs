//! A table of a real PostgreSQL server (Debian package `postgresql`).

#[path = "../../service/src/records/tests/postgres.rs"]
mod server;

use documents::{Flow, Item, LoadOptions, Source};
use platform::Secret;
use sqlx::{ConnectOptions, Connection};

fn load(url: Secret, table: &str) -> (Vec<documents::Piece>, Result<(), documents::Error>) {
    let source = Source::Postgres {
        url,
        table: table.to_owned(),
    };
    let mut pieces = Vec::new();
    let end = documents::load(&source, &LoadOptions::default(), &mut |item| {
        match item {
            Item::Piece(piece) => pieces.push(piece),
            Item::Fault(fault) => panic!("{fault}"),
        }
        Flow::Continue
    });
    (pieces, end.map(drop))
}

#[test]
fn rows_are_records_and_a_column_of_vectors_is_their_vector() {
    let server = server::Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("runtime");
    runtime.block_on(async {
        let options: sqlx::postgres::PgConnectOptions = server.url().expose().parse().expect("url");
        let mut connection = options.connect().await.expect("connected");
        for statement in [
            // pgvector is not among Debian's packages of this release; its values are such text on the wire.
            "CREATE DOMAIN vector AS text",
            "CREATE TABLE \"odd name\" (id int, title text, tags text[], at timestamptz, embedding vector)",
            "INSERT INTO \"odd name\" VALUES (1, 'one', '{a,b}', '2026-01-02T03:04:05Z', '[1,2.5]'), (2, 'two', NULL, NULL, '[3,4]')",
        ] {
            sqlx::query(statement).execute(&mut connection).await.expect(statement);
        }
        connection.close().await.expect("closed");
    });
    let (pieces, end) = load(server.url(), "odd name");
    end.expect("read");
    assert_eq!(pieces.len(), 2);
    assert!(
        pieces[0]
            .text
            .starts_with("id: 1\ntitle: one\ntags: [\"a\",\"b\"]\nat: 2026-01-02T")
    );
    assert_eq!(pieces[0].vector.as_deref(), Some(&[1.0, 2.5][..]));
    assert_eq!(pieces[1].text, "id: 2\ntitle: two");
    assert_eq!(pieces[1].place.row, Some(2));
    let (_, end) = load(server.url(), "public.missing");
    let said = end.expect_err("no such table").to_string();
    assert!(said.contains("does not exist"), "{said}");
    let wrong = server
        .url()
        .expose()
        .replace("open%20sesame", "guessed-word");
    let (_, end) = load(Secret::new(wrong), "odd name");
    let said = end.expect_err("refused").to_string();
    assert!(!said.contains("guessed-word"), "{said}");
}
