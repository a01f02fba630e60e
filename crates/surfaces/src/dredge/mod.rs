//! DREDGE's dialect: a JSON body with `operation` on `/mcp`, its capabilities at `GET /dredge`, and `POST /lift`.
//!
//! Its clients expect status 200 with `{"success": false, "error": …}` for everything that goes wrong inside an operation, and
//! fields that are exactly as they were; what is new beside them has a name of its own.
//!
//! Deliberately absent: its operations on Dependabot alerts, which its capabilities here do not list.

mod convert;
mod meters;
mod operations;
mod routes;
mod types;

pub use meters::Meters;
pub use operations::operate;
pub use routes::{capabilities, lift};
