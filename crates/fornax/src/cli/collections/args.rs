//! The command line of `collections`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum, ValueHint};

/// Commands about collections.
#[derive(Debug, Subcommand)]
pub enum CollectionsCommand {
    /// List the collections of the key's tenant
    #[command(visible_alias = "ls")]
    List {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Show one: points, segments, vectors, payload indexes
    Show {
        /// Its name
        name: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make one
    #[command(
        after_help = "Examples:\n  fornax collections create docs --size 384\n  fornax collections create docs --size 384 --sparse bm25      for hybrid search of texts"
    )]
    Create(CreateArguments),
    /// Delete one, its snapshots and its aliases
    #[command(visible_alias = "rm")]
    Delete {
        /// Its name
        name: String,
    },
    /// Take, list, fetch and restore snapshots
    Snapshot {
        /// What to do
        #[command(subcommand)]
        command: SnapshotCommand,
    },
}

/// Arguments of `collections create`.
#[derive(Debug, Args)]
pub struct CreateArguments {
    /// Its name
    pub name: String,
    /// Values of the dense vector
    #[arg(long, value_name = "COUNT")]
    pub size: Option<u32>,
    /// How dense vectors are compared
    #[arg(long, value_enum, default_value_t = Distance::Cosine)]
    pub distance: Distance,
    /// Name of the dense vector; without it, it has none
    #[arg(long, value_name = "NAME")]
    pub vector: Option<String>,
    /// A sparse vector, weighed by inverse document frequencies; may be repeated
    #[arg(long, value_name = "NAME")]
    pub sparse: Vec<String>,
    /// Keep original vectors on disk, and only codes in memory
    #[arg(long)]
    pub on_disk: bool,
}

/// How vectors are compared.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Distance {
    /// Angle between them
    Cosine,
    /// Inner product
    Dot,
    /// Straight line
    Euclid,
    /// Sum of differences
    Manhattan,
}

/// Commands about snapshots.
#[derive(Debug, Subcommand)]
pub enum SnapshotCommand {
    /// Take one, while the collection is read and written
    Create {
        /// The collection
        collection: String,
    },
    /// List those of a collection
    #[command(visible_alias = "ls")]
    List {
        /// The collection
        collection: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Fetch one as a file
    Download {
        /// The collection
        collection: String,
        /// The snapshot's name
        snapshot: String,
        /// Where to (default: the snapshot's name)
        #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
        out: Option<PathBuf>,
    },
    /// Make a fetched file into a collection, a new one or in the place of the one there is
    Upload {
        /// The collection
        collection: String,
        /// The file
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
    },
    /// Make a snapshot into its collection again; writes since then are gone
    Restore {
        /// The collection
        collection: String,
        /// The snapshot's name
        snapshot: String,
    },
    /// Delete one
    #[command(visible_alias = "rm")]
    Delete {
        /// The collection
        collection: String,
        /// The snapshot's name
        snapshot: String,
    },
}
