//! Marks of incoming messages that the server has not taken.

use estafette_protocol::{Mark, MessageId, PhoneNumber};

use super::people::number;
use super::{Store, StoreError, signed, unsigned};

/// A mark that a peer is owed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owed {
    /// Names it in the store.
    pub(crate) row: u64,
    pub(crate) peer: PhoneNumber,
    pub(crate) id: MessageId,
    pub(crate) mark: Mark,
}

/// The number of a mark in the store. Delivered is said by the server only.
fn stored(mark: Mark) -> i64 {
    match mark {
        Mark::Delivered => 0,
        Mark::Read => 1,
        Mark::Played => 2,
    }
}

fn mark(stored: i64) -> Result<Mark, StoreError> {
    match stored {
        1 => Ok(Mark::Read),
        2 => Ok(Mark::Played),
        _ => Err(StoreError::Corrupt),
    }
}

impl Store {
    /// Notes that a peer is owed a mark.
    pub(crate) fn owe(
        &self,
        peer: PhoneNumber,
        id: MessageId,
        mark: Mark,
    ) -> Result<Owed, StoreError> {
        self.connection
            .prepare_cached("INSERT INTO receipt (peer, stream, number, mark) VALUES (?, ?, ?, ?)")?
            .execute((signed(peer.digits()), signed(id.stream), signed(id.number), stored(mark)))?;
        Ok(Owed { row: unsigned(self.connection.last_insert_rowid()), peer, id, mark })
    }

    /// Everything that is owed, in order.
    pub(crate) fn owed(&self) -> Result<Vec<Owed>, StoreError> {
        let mut query = self
            .connection
            .prepare_cached("SELECT id, peer, stream, number, mark FROM receipt ORDER BY id")?;
        let mut rows = query.query([])?;
        let mut owed = Vec::new();
        while let Some(row) = rows.next()? {
            owed.push(Owed {
                row: unsigned(row.get(0)?),
                peer: number(row.get(1)?)?,
                id: MessageId { stream: unsigned(row.get(2)?), number: unsigned(row.get(3)?) },
                mark: mark(row.get(4)?)?,
            });
        }
        Ok(owed)
    }

    /// The server has taken these, or never will.
    pub(crate) fn settle_receipts(&self, rows: &[u64]) -> Result<(), StoreError> {
        let mut delete = self.connection.prepare_cached("DELETE FROM receipt WHERE id = ?")?;
        for &row in rows {
            delete.execute([signed(row)])?;
        }
        Ok(())
    }
}
