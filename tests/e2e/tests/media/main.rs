//! Files go up and come down, whole, in pieces and over cuts; what is wrong, too much or not allowed is
//! refused, and wakes no object that it need not.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod download;
mod memory;
mod ownership;
mod pieces;
mod quotas;
mod refusals;
mod time;
