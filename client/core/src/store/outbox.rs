//! Outgoing messages that are not settled, and the streams that they are numbered in.
//!
//! Invariant: the messages of a stream that were not given up form a chain by `follows`, from each to
//! the one before; `chat.follows` is its end.

use estafette_protocol::{DeviceId, MessageId, Millis, PhoneNumber};
use rusqlite::OptionalExtension;

use super::people::number;
use super::{Store, StoreError, signed, unsigned};
use crate::Status;

/// An outgoing message that is not settled, without its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Queued {
    pub(crate) place: u64,
    pub(crate) peer: PhoneNumber,
    pub(crate) id: MessageId,
    /// The last number before it that was not given up.
    pub(crate) follows: u64,
}

impl Store {
    /// Keeps outgoing messages, to be sent, hidden or not. `stream` names the stream if the chat has none yet.
    pub(crate) fn enqueue(
        &self,
        (peer, hidden): (PhoneNumber, bool),
        device: DeviceId,
        bodies: &[Vec<u8>],
        (at, kept_at): (Millis, Millis),
        stream: impl FnOnce() -> u64,
    ) -> Result<Vec<Queued>, StoreError> {
        let digits = signed(peer.digits());
        let mut query = self
            .connection
            .prepare_cached("SELECT stream, number, follows FROM chat WHERE peer = ?")?;
        let known = query.query_row([digits], |row| {
            Ok((unsigned(row.get(0)?), unsigned(row.get(1)?), unsigned(row.get(2)?)))
        });
        let (stream, mut last, mut follows) = known.optional()?.unwrap_or_else(|| (stream(), 0, 0));
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO message
                (peer, incoming, device, stream, number, follows, at, kept_at, status, settled, body,
                 hidden)
             VALUES (?, 0, ?, ?, ?, ?, ?, ?, ?, 0, ?, ?)",
        )?;
        let mut queued = Vec::with_capacity(bodies.len());
        for body in bodies {
            last += 1;
            insert.execute((
                digits,
                signed(device.0),
                signed(stream),
                signed(last),
                signed(follows),
                signed(at),
                signed(kept_at),
                Status::Queued as u8,
                body,
                hidden,
            ))?;
            let place = unsigned(self.connection.last_insert_rowid());
            queued.push(Queued { place, peer, id: MessageId { stream, number: last }, follows });
            follows = last;
        }
        self.connection
            .prepare_cached(
                "INSERT INTO chat (peer, stream, number, follows, silent) VALUES (?, ?, ?, ?, ?)
                 ON CONFLICT (peer) DO UPDATE SET number = excluded.number,
                    follows = excluded.follows, silent = min(silent, excluded.silent)",
            )?
            .execute((digits, signed(stream), signed(last), signed(follows), hidden))?;
        Ok(queued)
    }

    /// Notes that this account writes to a peer, from whichever device. `stream` names the stream of
    /// this one, if the chat has none yet.
    pub(crate) fn writes_to(
        &self,
        peer: PhoneNumber,
        stream: impl FnOnce() -> u64,
    ) -> Result<(), StoreError> {
        let digits = signed(peer.digits());
        let mut query =
            self.connection.prepare_cached("SELECT 1 FROM chat WHERE peer = ? AND silent = 0")?;
        if query.exists([digits])? {
            return Ok(());
        }
        self.connection
            .prepare_cached(
                "INSERT INTO chat (peer, stream, number, follows) VALUES (?, ?, 0, 0)
                 ON CONFLICT (peer) DO UPDATE SET silent = 0",
            )?
            .execute((digits, signed(stream())))?;
        Ok(())
    }

    /// The streams of outgoing messages.
    pub(crate) fn streams(&self) -> Result<Vec<(u64, PhoneNumber)>, StoreError> {
        let mut query = self.connection.prepare_cached("SELECT stream, peer FROM chat")?;
        let mut rows = query.query([])?;
        let mut streams = Vec::new();
        while let Some(row) = rows.next()? {
            streams.push((unsigned(row.get(0)?), number(row.get(1)?)?));
        }
        Ok(streams)
    }

    /// The messages that are not settled, in order. Those kept since `before` or longer, if given.
    pub(crate) fn queued(&self, before: Option<Millis>) -> Result<Vec<Queued>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT place, peer, stream, number, follows FROM message
             WHERE settled = 0 AND kept_at <= ? ORDER BY place",
        )?;
        let mut rows = query.query([before.map_or(i64::MAX, signed)])?;
        let mut queued = Vec::new();
        while let Some(row) = rows.next()? {
            queued.push(Queued {
                place: unsigned(row.get(0)?),
                peer: number(row.get(1)?)?,
                id: MessageId { stream: unsigned(row.get(2)?), number: unsigned(row.get(3)?) },
                follows: unsigned(row.get(4)?),
            });
        }
        Ok(queued)
    }

    /// The body of a message.
    pub(crate) fn body(&self, place: u64) -> Result<Vec<u8>, StoreError> {
        let mut query =
            self.connection.prepare_cached("SELECT body FROM message WHERE place = ?")?;
        let body = query.query_row([signed(place)], |row| row.get(0)).optional()?;
        body.ok_or(StoreError::Corrupt)
    }

    /// Gives a message up: what comes after it in the stream follows what came before it. Returns
    /// whether it failed; otherwise somebody has it, and it is only not sent again.
    pub(crate) fn give_up(&self, peer: PhoneNumber, id: MessageId) -> Result<bool, StoreError> {
        let key = (signed(peer.digits()), signed(id.stream), signed(id.number));
        let given_up: Option<(i64, bool)> = self
            .connection
            .prepare_cached(
                "UPDATE message SET settled = 1, status = iif(status = 0, 5, status)
                 WHERE peer = ? AND incoming = 0 AND stream = ? AND number = ? AND settled = 0
                 RETURNING follows, status = 5 AND hidden = 0",
            )?
            .query_row(key, |row| Ok((row.get(0)?, row.get(1)?)))
            .optional()?;
        let Some((follows, failed)) = given_up else { return Ok(false) };
        let (peer, stream, given_up) = key;
        self.connection
            .prepare_cached(
                "UPDATE message SET follows = ?4
                 WHERE peer = ?1 AND incoming = 0 AND stream = ?2 AND follows = ?3 AND number =
                    (SELECT min(number) FROM message AS next
                     WHERE next.peer = ?1 AND next.incoming = 0 AND next.stream = ?2
                        AND next.number > ?3 AND next.settled = 0)",
            )?
            .execute((peer, stream, given_up, follows))?;
        self.connection
            .prepare_cached("UPDATE chat SET follows = ? WHERE peer = ? AND follows = ?")?
            .execute((follows, peer, given_up))?;
        Ok(failed)
    }
}
