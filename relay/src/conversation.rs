//! The decisions about one conversation. What it says to mailboxes is in [`call`].

pub(crate) mod call;
