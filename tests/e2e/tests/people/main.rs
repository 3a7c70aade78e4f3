//! Several devices of one person, and what people see of each other.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod alike;
mod codes;
mod find;
mod linking;
mod moving;
mod ownership;
mod pin;
mod presence;
mod privacy;
mod profiles;
mod sealed;
mod silence;
