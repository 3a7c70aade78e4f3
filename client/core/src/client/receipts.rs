//! What peers are owed: that their messages were read.
//!
//! Invariants:
//! - a mark that is owed is in the store until the server has taken it, or never will;
//! - at most one frame for each peer and mark is under way; what is owed meanwhile leaves together in
//!   the next.

use std::collections::BTreeMap;

use estafette_protocol::{Mark, MessageId, Millis, PhoneNumber, Receipt, limits};

use super::retry::{Refusal, Retry};
use crate::clock::Entropy;
use crate::store::Owed;
use crate::{Config, Store, StoreError};

#[derive(Debug, Default)]
struct Debt {
    /// By row in the store, so in the order in which they came to be.
    owed: BTreeMap<u64, MessageId>,
    /// The frame that is under way, and the rows that it settles.
    under_way: Option<(MessageId, Vec<u64>)>,
    retry: Retry,
}

/// See the file's documentation.
#[derive(Debug)]
pub(super) struct Receipts {
    /// The stream of the frames that this start of the client makes.
    stream: u64,
    last: u64,
    debts: BTreeMap<(PhoneNumber, Mark), Debt>,
}

impl Receipts {
    pub(super) fn load(store: &Store, stream: u64) -> Result<Self, StoreError> {
        let mut receipts = Self { stream, last: 0, debts: BTreeMap::new() };
        receipts.add(store.owed()?);
        Ok(receipts)
    }

    pub(super) fn add(&mut self, owed: Vec<Owed>) {
        for Owed { row, peer, id, mark } in owed {
            self.debts.entry((peer, mark)).or_default().owed.insert(row, id);
        }
    }

    pub(super) fn len(&self) -> usize {
        self.debts.values().map(|debt| debt.owed.len()).sum()
    }

    /// The frame that leaves next, if any may.
    pub(super) fn depart(
        &mut self,
        now: Millis,
        config: &Config,
        entropy: &mut Entropy,
    ) -> Option<Receipt> {
        let mut debts = self.debts.iter_mut();
        let (&(to, mark), debt) = debts.find(|(_, debt)| {
            debt.under_way.is_none() && !debt.retry.is_waiting() && !debt.owed.is_empty()
        })?;
        self.last += 1;
        let id = MessageId { stream: self.stream, number: self.last };
        let (rows, ids) = debt.owed.iter().take(limits::IDS_MAX).unzip();
        debt.under_way = Some((id, rows));
        debt.retry.departed(now, config, entropy);
        Some(Receipt { id, to, ids, mark })
    }

    /// Whether this is the id of a receipt of this start.
    pub(super) fn made(&self, id: MessageId) -> bool {
        id.stream == self.stream
    }

    /// The server has taken a frame, or never will. Returns the rows that it settles.
    pub(super) fn settle(
        &mut self,
        now: Millis,
        id: MessageId,
        config: &Config,
        entropy: &mut Entropy,
    ) -> Vec<u64> {
        let Some((&key, debt)) = self.find(id) else { return Vec::new() };
        let (_, rows) = debt.under_way.take().unwrap_or((id, Vec::new()));
        for row in &rows {
            debt.owed.remove(row);
        }
        debt.retry.progressed(now, false, config, entropy);
        if debt.owed.is_empty() {
            self.debts.remove(&key);
        }
        rows
    }

    /// Another device has said this to the peer, or more. Returns the rows that need not be said any
    /// more; what is under way is left to its answer.
    pub(super) fn said_elsewhere(
        &mut self,
        peer: PhoneNumber,
        ids: &[MessageId],
        said: Mark,
    ) -> Vec<u64> {
        let mut rows = Vec::new();
        self.debts.retain(|&(to, mark), debt| {
            if to != peer || mark > said {
                return true;
            }
            let under_way = debt.under_way.as_ref().map_or(&[][..], |(_, rows)| rows);
            debt.owed.retain(|row, id| {
                let needed = under_way.contains(row) || !ids.contains(id);
                if !needed {
                    rows.push(*row);
                }
                needed
            });
            !debt.owed.is_empty()
        });
        rows
    }

    /// The server did not take a frame yet.
    pub(super) fn refused(
        &mut self,
        now: Millis,
        id: MessageId,
        refusal: Refusal,
        config: &Config,
        entropy: &mut Entropy,
    ) {
        if let Some((_, debt)) = self.find(id) {
            debt.under_way = None;
            debt.retry.refused(now, refusal, config, entropy);
        }
    }

    /// The connection is gone: what is owed leaves again on the next.
    pub(super) fn disconnected(&mut self) {
        for debt in self.debts.values_mut() {
            debt.under_way = None;
            debt.retry.disconnected();
        }
    }

    /// Sends again what was not answered in time.
    pub(super) fn on_time(&mut self, now: Millis) {
        for debt in self.debts.values_mut() {
            if debt.retry.is_unanswered(now) {
                debt.under_way = None;
            }
        }
    }

    pub(super) fn next_time(&self) -> Option<Millis> {
        self.debts.values().filter_map(|debt| debt.retry.next()).min()
    }

    fn find(&mut self, id: MessageId) -> Option<(&(PhoneNumber, Mark), &mut Debt)> {
        self.debts.iter_mut().find(|(_, debt)| {
            debt.under_way.as_ref().is_some_and(|(under_way, _)| *under_way == id)
        })
    }
}
