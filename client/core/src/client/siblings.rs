//! What the other devices of this account do: they write, and they read.
//!
//! Invariants:
//! - what a sibling wrote is settled when it comes: this device never sends it;
//! - what a sibling has read owes the peer nothing: the sibling has told them;
//! - a copy's place is known in a stream of this account, never in one of the peer's. A gap between
//!   copies is not told: the peer misses nothing, and what was given up the sibling shows.

use estafette_protocol::{Mark, MessageId, PhoneNumber};

use super::Client;
use crate::{Event, Message, Status, StoreError};

impl Client {
    /// Whom a delivery went to, if it is a copy. What one sends to oneself is delivered to all devices
    /// alike.
    pub(super) fn copied_to(
        &self,
        from: PhoneNumber,
        to: Option<PhoneNumber>,
    ) -> Option<PhoneNumber> {
        to.filter(|to| from == self.me.account && *to != from)
    }

    /// A copy is kept.
    pub(super) fn written_elsewhere(&mut self, message: Message) -> Result<(), StoreError> {
        let Self { store, entropy, .. } = self;
        store.writes_to(message.peer, || entropy.draw())?;
        self.tell(Event::Written(message));
        Ok(())
    }

    /// What became of a message that this store has no stream of: another device wrote it, or this one
    /// before its store was lost.
    pub(super) fn written_came_further(
        &mut self,
        peer: PhoneNumber,
        id: MessageId,
        status: Status,
    ) -> Result<(), StoreError> {
        if self.store.advance(peer, id, status, false)? {
            self.tell(Event::Status { peer, id, status });
        }
        Ok(())
    }

    /// Another device has said that these were read or played.
    pub(super) fn read_elsewhere(
        &mut self,
        peer: PhoneNumber,
        ids: &[MessageId],
        mark: Mark,
    ) -> Result<(), StoreError> {
        let unread = self.store.read_elsewhere(peer, ids, mark.into())?;
        let settled = self.receipts.said_elsewhere(peer, ids, mark);
        self.store.settle_receipts(&settled)?;
        if !unread.is_empty() {
            self.tell(Event::ReadElsewhere { peer, ids: unread });
        }
        Ok(())
    }
}
