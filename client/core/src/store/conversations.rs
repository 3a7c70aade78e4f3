//! Conversations as this device knows them, and what came in that it could not open yet.
//!
//! Invariants:
//! - `place` is how far the log was carried out: the commits up to it are in the group's state, the messages up
//!   to it in the store, by one transaction;
//! - of one conversation, what is sealed is opened in the order in which it came, and nothing that comes later
//!   is opened before.

use estafette_protocol::{Body, ConversationId, Deliver, DeviceId, MessageId};
use rusqlite::{OptionalExtension, Row};

use super::people::number;
use super::{Store, StoreError, signed, unsigned};

/// A delivery that waits to be opened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Sealed {
    /// Its row.
    pub(crate) row: u64,
    /// As it came.
    pub(crate) deliver: Deliver,
}

fn sealed(row: &Row<'_>) -> Result<Sealed, StoreError> {
    let to: Option<i64> = row.get(7)?;
    let after: Option<i64> = row.get(6)?;
    Ok(Sealed {
        row: unsigned(row.get(0)?),
        deliver: Deliver {
            from: number(row.get(1)?)?,
            device: DeviceId(unsigned(row.get(2)?)),
            id: MessageId { stream: unsigned(row.get(3)?), number: unsigned(row.get(4)?) },
            at: unsigned(row.get(5)?),
            after: after.map(unsigned),
            to: to.map(number).transpose()?,
            body: Body(row.get(8)?),
        },
    })
}

impl Store {
    /// How far the log of a conversation was carried out; `None`: this device is not in it.
    pub(crate) fn log_place(&self, id: ConversationId) -> Result<Option<u64>, StoreError> {
        let mut query =
            self.connection.prepare_cached("SELECT place FROM conversation WHERE id = ?")?;
        Ok(query.query_row([id.to_bytes()], |row| row.get(0)).optional()?.map(unsigned))
    }

    /// Notes how far the log was carried out.
    pub(crate) fn set_log_place(&self, id: ConversationId, place: u64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO conversation (id, place) VALUES (?, ?)
                 ON CONFLICT (id) DO UPDATE SET place = excluded.place",
            )?
            .execute((id.to_bytes(), signed(place)))?;
        Ok(())
    }

    /// This device is not in the conversation any more.
    pub(crate) fn forget_log(&self, id: ConversationId) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("DELETE FROM conversation WHERE id = ?")?
            .execute([id.to_bytes()])?;
        Ok(())
    }

    /// Forgets every conversation, and this device's keys for new ones.
    pub(super) fn forget_conversations(&self) -> Result<(), StoreError> {
        self.connection.execute_batch(
            "DELETE FROM conversation; DELETE FROM sealed; DELETE FROM mls;
             DELETE FROM setting WHERE name = 'keys_published'",
        )?;
        Ok(())
    }

    /// The conversations that this device is in.
    pub(crate) fn conversations(&self) -> Result<Vec<ConversationId>, StoreError> {
        self.conversation_ids("SELECT id FROM conversation")
    }

    /// The conversations in which something waits to be opened.
    pub(crate) fn sealed_conversations(&self) -> Result<Vec<ConversationId>, StoreError> {
        self.conversation_ids("SELECT DISTINCT conversation FROM sealed")
    }

    fn conversation_ids(&self, query: &str) -> Result<Vec<ConversationId>, StoreError> {
        let mut query = self.connection.prepare_cached(query)?;
        let ids = query.query_map([], |row| Ok(ConversationId::from_bytes(row.get(0)?)))?;
        Ok(ids.collect::<Result<_, _>>()?)
    }

    /// Keeps a delivery that cannot be opened yet, if it is not kept already.
    pub(crate) fn keep_sealed(
        &self,
        id: ConversationId,
        deliver: &Deliver,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO sealed
                    (conversation, account, device, stream, number, at, follows, copied_to, body)
                 VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
                 ON CONFLICT (account, device, stream, number) DO NOTHING",
            )?
            .execute((
                id.to_bytes(),
                signed(deliver.from.digits()),
                signed(deliver.device.0),
                signed(deliver.id.stream),
                signed(deliver.id.number),
                signed(deliver.at),
                deliver.after.map(signed),
                deliver.to.map(|to| signed(to.digits())),
                &deliver.body.0,
            ))?;
        Ok(())
    }

    /// What waits to be opened in a conversation, the oldest.
    pub(crate) fn next_sealed(&self, id: ConversationId) -> Result<Option<Sealed>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT row, account, device, stream, number, at, follows, copied_to, body FROM sealed
             WHERE conversation = ? ORDER BY row LIMIT 1",
        )?;
        let mut rows = query.query([id.to_bytes()])?;
        rows.next()?.map(sealed).transpose()
    }

    /// It was opened, or never will be.
    pub(crate) fn drop_sealed(&self, row: u64) -> Result<(), StoreError> {
        self.connection
            .prepare_cached("DELETE FROM sealed WHERE row = ?")?
            .execute([signed(row)])?;
        Ok(())
    }

    /// Whether something waits to be opened in the conversation with a peer.
    pub(crate) fn has_sealed(&self, id: ConversationId) -> Result<bool, StoreError> {
        let mut query = self
            .connection
            .prepare_cached("SELECT 1 FROM sealed WHERE conversation = ? LIMIT 1")?;
        Ok(query.exists([id.to_bytes()])?)
    }
}
