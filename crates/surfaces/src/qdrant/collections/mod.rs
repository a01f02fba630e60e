//! Collections: making, seeing, changing and deleting them, their aliases and payload indexes.

mod aliases;
mod convert;
mod indexes;
mod routes;
mod settings;
mod shown;
mod types;

pub use aliases::{aliases, aliases_of, change_aliases};
pub use indexes::{create_index, delete_index};
pub use routes::{
    Given, Name, cluster, create, exists, info, list, name_of, parameters, remove, update,
};
pub use settings::{described, index_kind_of, schema_of, update_of};
