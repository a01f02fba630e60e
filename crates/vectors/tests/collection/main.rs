//! A collection through its public face: what is written comes back, by id, by search, by walk, before and after
//! sealing, merging and reopening. Expectations are computed by hand or by a naive loop here.

mod absent;
mod budget;
mod fields;
mod lexical;
mod life;
mod multi;
mod on_disk;
mod reads;
mod snapshots;
mod support;
#[cfg(unix)]
mod verify;
mod writes;
