//! Every bound of reading a document.

/// Bounds of one input. The defaults let a large book, a workbook of a million rows and a table of a gigabyte pass, and
/// keep what a parser holds in memory near `whole_bytes_max`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file.
    pub file_bytes_max: u64,
    /// Bytes of a file of a kind that is parsed as a whole in memory (Markdown, one JSON value, PDF), and of one line
    /// of JSON Lines.
    pub whole_bytes_max: u64,
    /// Bytes of text that one input gives.
    pub text_bytes_max: u64,
    /// Bytes that the compressed parts of a file may unpack to, all together.
    pub inflated_bytes_max: u64,
    /// How many times larger than packed a part may become; below [`RATIO_FREE_BYTES`] nobody asks.
    pub ratio_max: u64,
    /// Files in an archive.
    pub entries_max: u64,
    /// Nesting of elements, objects, arrays and lists.
    pub depth_max: usize,
    /// Pages of a PDF.
    pub pages_max: u64,
    /// Rows, records and list items, all tables and sheets together.
    pub rows_max: u64,
    /// Columns of a row.
    pub columns_max: usize,
    /// Bytes of one cell.
    pub cell_bytes_max: usize,
    /// Faults that are reported one by one before the input is given up.
    pub faults_max: usize,
}

/// What any part may unpack to without a question of ratio: small regular files pack very well.
pub const RATIO_FREE_BYTES: u64 = 1 << 20;

impl Default for Limits {
    fn default() -> Self {
        Limits {
            file_bytes_max: 4 << 30,
            whole_bytes_max: 64 << 20,
            text_bytes_max: 4 << 30,
            inflated_bytes_max: 512 << 20,
            ratio_max: 200,
            entries_max: 10_000,
            depth_max: 64,
            pages_max: 10_000,
            rows_max: 10_000_000,
            columns_max: 4096,
            cell_bytes_max: 1 << 20,
            faults_max: 1000,
        }
    }
}
