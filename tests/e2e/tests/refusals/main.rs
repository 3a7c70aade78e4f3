//! What is wrong, too much or not allowed is refused with its documented code, changes nothing, and
//! wakes no object that it need not.
#![allow(missing_docs, clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

mod clock;
mod codes;
mod floods;
mod frames;
mod registration;
mod tokens;
