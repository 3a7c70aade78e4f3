//! Messages, as they come in, move forward and are shown.
//!
//! The table `heard` names a stream by who sent it: that of a copy by this account and the device that
//! wrote it, though the message itself lies in the peer's chat.

use estafette_protocol::{Deliver, DeviceId, MessageId, Millis, PhoneNumber};
use rusqlite::{OptionalExtension, Row};

use super::people::number;
use super::{Store, StoreError, signed, unsigned};
use crate::{Chat, Content, Message, Status};

/// How far an incoming stream was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heard {
    /// The last number seen.
    pub(crate) number: u64,
    /// Up to this number, messages were shown and are no longer kept.
    pub(crate) pruned: u64,
}

/// Where a delivery is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept {
    /// In whose chat.
    pub(crate) peer: PhoneNumber,
    /// Whether it came from the peer. Otherwise it is a copy of what goes there.
    pub(crate) incoming: bool,
    pub(crate) status: Status,
    /// Whether people do not see it.
    pub(crate) hidden: bool,
    /// From when its age counts.
    pub(crate) at: Millis,
}

/// The columns that [`message`] reads, in its order.
const COLUMNS: &str = "place, peer, device, stream, number, incoming, body, at, status";

fn message(row: &Row<'_>) -> Result<Message, StoreError> {
    let status: u8 = row.get(8)?;
    let status = Status::ALL.get(usize::from(status)).ok_or(StoreError::Corrupt)?;
    Ok(Message {
        place: unsigned(row.get(0)?),
        peer: number(row.get(1)?)?,
        device: DeviceId(unsigned(row.get(2)?)),
        id: MessageId { stream: unsigned(row.get(3)?), number: unsigned(row.get(4)?) },
        incoming: row.get(5)?,
        body: row.get(6)?,
        at: unsigned(row.get(7)?),
        status: *status,
    })
}

impl Store {
    /// Keeps a message that came in, or a copy. Returns its place; `None` when it is here already.
    pub(crate) fn receive(&self, deliver: &Deliver, kept: Kept) -> Result<Option<u64>, StoreError> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO message
                (peer, incoming, device, stream, number, follows, at, kept_at, status, settled, body,
                 hidden)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 1, ?, ?)
             ON CONFLICT (peer, incoming, stream, number) DO NOTHING",
        )?;
        let id = deliver.id;
        let inserted = insert.execute((
            signed(kept.peer.digits()),
            kept.incoming,
            signed(deliver.device.0),
            signed(id.stream),
            signed(id.number),
            signed(deliver.after.unwrap_or_else(|| id.previous())),
            signed(deliver.at),
            signed(kept.at),
            kept.status as u8,
            &deliver.body.0,
            kept.hidden,
        ))?;
        Ok((inserted > 0).then(|| unsigned(self.connection.last_insert_rowid())))
    }

    /// How far a stream of a peer's device was seen, if it ever was.
    pub(crate) fn heard(
        &self,
        peer: PhoneNumber,
        device: DeviceId,
        stream: u64,
    ) -> Result<Option<Heard>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT number, pruned FROM heard WHERE peer = ? AND device = ? AND stream = ?",
        )?;
        let key = (signed(peer.digits()), signed(device.0), signed(stream));
        let heard = query.query_row(key, |row| {
            Ok(Heard { number: unsigned(row.get(0)?), pruned: unsigned(row.get(1)?) })
        });
        Ok(heard.optional()?)
    }

    /// Notes how far a stream was seen.
    pub(crate) fn set_heard(
        &self,
        peer: PhoneNumber,
        device: DeviceId,
        stream: u64,
        last: u64,
        at: Millis,
    ) -> Result<(), StoreError> {
        self.connection
            .prepare_cached(
                "INSERT INTO heard (peer, device, stream, number, pruned, heard_at)
                 VALUES (?, ?, ?, ?, 0, ?)
                 ON CONFLICT (peer, device, stream)
                 DO UPDATE SET number = excluded.number, heard_at = excluded.heard_at",
            )?
            .execute((
                signed(peer.digits()),
                signed(device.0),
                signed(stream),
                signed(last),
                signed(at),
            ))?;
        Ok(())
    }

    /// Moves an outgoing message forward, and settles it if so. Returns whether it was not there yet.
    pub(crate) fn advance(
        &self,
        peer: PhoneNumber,
        id: MessageId,
        status: Status,
        settles: bool,
    ) -> Result<bool, StoreError> {
        let mut update = self.connection.prepare_cached(
            "UPDATE message SET status = ?4, settled = max(settled, ?6)
             WHERE peer = ?1 AND incoming = 0 AND stream = ?2 AND number = ?3
                AND (status < ?4 OR status = ?5) AND hidden = 0",
        )?;
        let failed = Status::Failed as u8;
        let key = (signed(peer.digits()), signed(id.stream), signed(id.number));
        Ok(update.execute((key.0, key.1, key.2, status as u8, failed, settles))? > 0)
    }

    /// Settles an outgoing message that is further than that already.
    pub(crate) fn settle(&self, place: u64) -> Result<(), StoreError> {
        let mut update =
            self.connection.prepare_cached("UPDATE message SET settled = 1 WHERE place = ?")?;
        update.execute([signed(place)])?;
        Ok(())
    }

    /// The place of a message.
    pub(crate) fn place_of(
        &self,
        peer: PhoneNumber,
        incoming: bool,
        id: MessageId,
    ) -> Result<Option<u64>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT place FROM message
             WHERE peer = ? AND incoming = ? AND stream = ? AND number = ?",
        )?;
        let key = (signed(peer.digits()), incoming, signed(id.stream), signed(id.number));
        Ok(query.query_row(key, |row| row.get(0)).optional()?.map(unsigned))
    }

    /// Marks what came from a peer as read, up to a place. Returns what was unread, in order.
    pub(crate) fn read_through(
        &self,
        peer: PhoneNumber,
        place: u64,
    ) -> Result<Vec<MessageId>, StoreError> {
        let unread = "peer = ? AND incoming = 1 AND status = 2 AND place <= ?";
        let key = (signed(peer.digits()), signed(place));
        let query = format!("SELECT stream, number FROM message WHERE {unread} ORDER BY place");
        let mut query = self.connection.prepare_cached(&query)?;
        let ids = query.query_map(key, |row| {
            Ok(MessageId { stream: unsigned(row.get(0)?), number: unsigned(row.get(1)?) })
        })?;
        let ids = ids.collect::<Result<Vec<_>, _>>()?;
        if !ids.is_empty() {
            let update = format!("UPDATE message SET status = 3 WHERE {unread}");
            self.connection.prepare_cached(&update)?.execute(key)?;
        }
        Ok(ids)
    }

    /// Marks these messages of a peer as read or played. Returns those that were not yet, in order.
    pub(crate) fn read_elsewhere(
        &self,
        peer: PhoneNumber,
        ids: &[MessageId],
        status: Status,
    ) -> Result<Vec<MessageId>, StoreError> {
        let mut update = self.connection.prepare_cached(
            "UPDATE message SET status = ?4
             WHERE peer = ?1 AND incoming = 1 AND stream = ?2 AND number = ?3 AND status < ?4",
        )?;
        let mut changed = Vec::new();
        for id in ids {
            let key = (signed(peer.digits()), signed(id.stream), signed(id.number));
            if update.execute((key.0, key.1, key.2, status as u8))? > 0 {
                changed.push(*id);
            }
        }
        Ok(changed)
    }

    /// What a message of this account says, if one of these devices wrote it.
    pub(crate) fn own_body(
        &self,
        peer: PhoneNumber,
        id: MessageId,
        writers: &[DeviceId],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let mut query = self.connection.prepare_cached(
            "SELECT device, body FROM message WHERE peer = ? AND incoming = 0 AND stream = ?
                AND number = ?",
        )?;
        let key = (signed(peer.digits()), signed(id.stream), signed(id.number));
        let found = query.query_row(key, |row| Ok((DeviceId(unsigned(row.get(0)?)), row.get(1)?)));
        let Some((device, body)): Option<(_, Vec<u8>)> = found.optional()? else {
            return Ok(None);
        };
        let is_there = !matches!(Content::read(&body), Ok(Content::Unopened(_)));
        Ok((writers.contains(&device) && is_there).then_some(body))
    }

    /// Puts what a message says in its place, if it could not be opened. It may be nothing for people.
    pub(crate) fn fill_in(
        &self,
        peer: PhoneNumber,
        incoming: bool,
        id: MessageId,
        content: &[u8],
        hidden: bool,
    ) -> Result<Option<Message>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM message WHERE peer = ? AND incoming = ? AND stream = ?
                AND number = ? AND hidden = 0"
        );
        let mut query = self.connection.prepare_cached(&query)?;
        let key = (signed(peer.digits()), incoming, signed(id.stream), signed(id.number));
        let mut rows = query.query(key)?;
        let Some(found) = rows.next()?.map(message).transpose()? else { return Ok(None) };
        if !matches!(found.content(), Ok(Content::Unopened(_))) {
            return Ok(None);
        }
        self.connection
            .prepare_cached(
                "UPDATE message SET body = ?1, hidden = ?2, status = iif(?2, max(status, 3), status)
                 WHERE place = ?3",
            )?
            .execute((content, hidden, signed(found.place)))?;
        Ok(Some(Message { body: content.to_vec(), ..found }))
    }

    /// The last messages of a chat, at most `limit`, the oldest first.
    pub fn history(&self, peer: PhoneNumber, limit: usize) -> Result<Vec<Message>, StoreError> {
        let query = format!(
            "SELECT {COLUMNS} FROM message WHERE peer = ? AND hidden = 0
                ORDER BY place DESC LIMIT ?"
        );
        let mut query = self.connection.prepare_cached(&query)?;
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let mut rows = query.query((signed(peer.digits()), limit))?;
        let mut messages = Vec::new();
        while let Some(row) = rows.next()? {
            messages.push(message(row)?);
        }
        messages.reverse();
        Ok(messages)
    }

    /// Every chat, the one with the latest message first.
    pub fn chats(&self) -> Result<Vec<Chat>, StoreError> {
        let query = format!(
            "WITH last AS (SELECT max(place) AS latest FROM message WHERE hidden = 0 GROUP BY peer)
             SELECT {COLUMNS},
                (SELECT name FROM contact WHERE contact.number = message.peer),
                (SELECT nullif(name, '') FROM profile WHERE profile.number = message.peer),
                (SELECT count(*) FROM message AS unread WHERE unread.peer = message.peer
                    AND unread.incoming = 1 AND unread.status = 2),
                NOT EXISTS
                    (SELECT 1 FROM chat WHERE chat.peer = message.peer AND chat.silent = 0)
                    AND message.peer <> coalesce((SELECT value FROM setting WHERE name = 'account'), 0)
             FROM last JOIN message ON place = latest ORDER BY place DESC"
        );
        let mut query = self.connection.prepare_cached(&query)?;
        let mut rows = query.query([])?;
        let mut chats = Vec::new();
        while let Some(row) = rows.next()? {
            let last = message(row)?;
            let (name, profile_name): (Option<String>, _) = (row.get(9)?, row.get(10)?);
            let unread = unsigned(row.get(11)?);
            let stranger = name.is_none() && row.get(12)?;
            chats.push(Chat { peer: last.peer, name, profile_name, last, unread, stranger });
        }
        Ok(chats)
    }
}
