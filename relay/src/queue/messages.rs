//! What a device is woken for: messages only, since nobody is woken for a receipt.

use estafette_protocol::{Deliver, Millis, ServerFrame};

use super::{Queue, key};
use crate::entry::{Entry, Place};
use crate::outgoing::read_frames;
use crate::sql::{Sql, StorageError};

impl Queue {
    /// How many messages wait for this device.
    pub(crate) fn messages_for(&self, slot: u8) -> u64 {
        self.messages(slot).count() as u64
    }

    /// The newest stored message that waits for this device, and when its life is over.
    pub(crate) fn newest_message<S: Sql>(
        &self,
        sql: &S,
        slot: u8,
    ) -> Result<Option<(Deliver, Millis)>, StorageError> {
        let newest = self.messages(slot).rev().find_map(|entry| match entry.place {
            Place::Page(position) => Some((position, (entry.id, entry.from, entry.device))),
            Place::Held { .. } => None,
        });
        let Some((position, wanted)) = newest else { return Ok(None) };
        let page = self.pages.get(&position).ok_or(StorageError::Row("a page is missing"))?;
        let frames = read_frames(page.frames, &Self::read_page(sql, position)?)?;
        let mut frames = frames.into_iter().rev().filter(|frame| key(frame) == Some(wanted));
        match frames.next() {
            Some(ServerFrame::Deliver(message)) => Ok(Some((message, page.expires_at))),
            _ => Err(StorageError::Row("a page lacks a message")),
        }
    }

    fn messages(&self, slot: u8) -> impl DoubleEndedIterator<Item = &Entry> {
        let entries = self.entries.values();
        entries.filter(move |entry| entry.device.is_some() && entry.waiting.contains(slot))
    }
}
