//! What waits in a mailbox: an index of every entry in memory, and pages of many frames in storage.
//!
//! Invariants:
//! - an entry leaves only when every device that was to have it has acknowledged it and its sender's
//!   mailbox was told, or its life is over;
//! - while anything is held, nothing stored waits for a connected device, so what is held comes after
//!   all that is stored, and positions give the order on every device;
//! - a page row exists exactly as long as one of its entries does.

mod messages;

use std::collections::{BTreeMap, BTreeSet};

use estafette_protocol::{DeviceId, MessageId, Millis, PhoneNumber, ServerFrame, frame_to_cbor};

use crate::entry::{Entry, Place, Position, Slots, StoredEntry};
use crate::outgoing::read_frames;
use crate::sql::{Columns, Sql, StorageError};

/// Frames in one page: a row stays far under the platform's 2 MB.
const PAGE_ENTRIES_MAX: usize = 256;
const PAGE_BYTES_MAX: usize = 768 * 1024;

#[derive(Debug)]
struct Page {
    expires_at: Millis,
    /// Frames in it.
    frames: usize,
    /// Entries that are not done.
    live: usize,
    bytes: u64,
    /// The slot that all of them are copies for the others of, if there is one.
    except: Option<u8>,
}

/// An item that comes in.
#[derive(Debug, Clone)]
pub(crate) struct Incoming {
    pub(crate) id: MessageId,
    pub(crate) from: PhoneNumber,
    /// The device that sent the message; none for a receipt or a copy.
    pub(crate) device: Option<DeviceId>,
    /// The device that made the receipt, or what this is a copy of; none for a message.
    pub(crate) repeats: Option<DeviceId>,
    /// The slot of that device, where this is a copy for the others.
    pub(crate) except: Option<u8>,
    /// Whether it must be stored, because nobody asks for it again.
    pub(crate) must_store: bool,
    pub(crate) frame: ServerFrame,
}

/// How far a device is.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reach {
    pub(crate) slot: u8,
    /// Everything at or before it was acknowledged, and its senders told.
    pub(crate) cursor: Position,
    /// Nothing at or before it is for this device.
    pub(crate) since: Position,
}

/// Frames of one page, or of a part of it, for a device.
pub(crate) struct Chunk {
    pub(crate) through: Position,
    pub(crate) count: usize,
    pub(crate) frames: Vec<u8>,
}

#[derive(Debug, Default)]
pub(crate) struct Queue {
    entries: BTreeMap<Position, Entry>,
    by_id: BTreeSet<(MessageId, Position)>,
    pages: BTreeMap<Position, Page>,
    /// Entries that are held, in order.
    held: Vec<Position>,
    /// The last position given out; the first is 1.
    last: Position,
    bytes: u64,
}

impl Queue {
    /// Reads the index. `reaches` says how far each device is; `beyond` is a position that no new item
    /// may reach.
    pub(crate) fn load<S: Sql>(
        sql: &S,
        reaches: &[Reach],
        beyond: Position,
    ) -> Result<Self, StorageError> {
        let mut queue = Self::default();
        let query =
            "SELECT position, expires_at, length(frames), entries FROM page ORDER BY position";
        for row in sql.run(query, &[])? {
            let mut columns = Columns::of(row);
            let (position, expires_at) = (columns.integer()?, columns.integer()?);
            let (bytes, entries) = (columns.integer()?, columns.blob()?);
            let entries: Vec<StoredEntry> = minicbor_serde::from_slice(&entries)
                .or(Err(StorageError::Row("the entries of a page")))?;
            let (frames, live, except) = (entries.len(), entries.len(), shared_except(&entries));
            let page = Page { expires_at, frames, live, bytes, except };
            queue.pages.insert(position, page);
            queue.bytes += bytes;
            for stored in entries {
                queue.recall(position, stored, reaches);
            }
        }
        let reached = reaches.iter().map(|reach| reach.cursor.max(reach.since)).max();
        queue.last = queue.last.max(reached.unwrap_or(0)).max(beyond);
        Ok(queue)
    }

    fn recall(&mut self, page: Position, stored: StoredEntry, reaches: &[Reach]) {
        let position = page + stored.offset;
        let mut waiting = Slots::default();
        for reach in reaches {
            if reach.cursor.max(reach.since) < position && stored.except != Some(reach.slot) {
                waiting.insert(reach.slot);
            }
        }
        // A cursor moves only past what the sender was told of.
        let told = reaches.iter().any(|reach| reach.cursor >= position);
        self.last = self.last.max(position);
        let place = Place::Page(page);
        let StoredEntry { id, from, device, except, .. } = stored;
        let entry = Entry { id, from, device, except, waiting, telling: told, told, place };
        // Without any device, what waits, waits for the next.
        if waiting.is_empty() && (told || device.is_none() && !reaches.is_empty()) {
            if let Some(page) = self.pages.get_mut(&page) {
                page.live = page.live.saturating_sub(1);
            }
            return;
        }
        self.by_id.insert((id, position));
        self.entries.insert(position, entry);
    }

    pub(crate) fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    pub(crate) fn len(&self) -> u64 {
        self.entries.len() as u64
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.pages.is_empty()
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(crate) fn entry_mut(&mut self, position: Position) -> Option<&mut Entry> {
        self.entries.get_mut(&position)
    }

    /// Entries with this id, in order.
    pub(crate) fn positions_of(&self, id: MessageId) -> impl Iterator<Item = Position> + '_ {
        self.by_id.range((id, 0)..=(id, Position::MAX)).map(|&(_, position)| position)
    }

    /// Where the copy of what the device in this slot made under this id is, if it waits.
    pub(crate) fn copy(&self, slot: u8, id: MessageId) -> Option<&Place> {
        let entries = self.positions_of(id).filter_map(|position| self.entries.get(&position));
        let mut copies = entries.filter(|entry| entry.except == Some(slot));
        copies.next().map(|entry| &entry.place)
    }

    /// Whether anything stored waits for this device.
    pub(crate) fn has_stored_for(&self, slot: u8) -> bool {
        self.pages.keys().next().is_some_and(|&first| {
            let stored = self.entries.range(first..);
            stored
                .filter(|(_, entry)| matches!(entry.place, Place::Page(_)))
                .any(|(_, entry)| entry.waiting.contains(slot))
        })
    }

    pub(crate) fn waiting_for(&self, slot: u8) -> u64 {
        self.entries.values().filter(|entry| entry.waiting.contains(slot)).count() as u64
    }

    /// How many stored entries at or before `through` wait for this device, and all held ones.
    pub(crate) fn unacknowledged(&self, slot: u8, through: Position) -> usize {
        let sent = self.entries.range(..=through);
        sent.filter(|(_, entry)| entry.waiting.contains(slot)).count()
    }

    /// Whether anything after `after`, up to `last`, waits for this device.
    pub(crate) fn waits_after(&self, slot: u8, after: Position, last: Position) -> bool {
        after < last
            && self.entries.range(after + 1..=last).any(|(_, entry)| entry.waiting.contains(slot))
    }

    /// The last position given out.
    pub(crate) fn last(&self) -> Position {
        self.last
    }

    fn new_position(&mut self) -> Position {
        self.last += 1;
        self.last
    }

    /// Keeps an item in memory, for the devices in `waiting`, which are all connected.
    pub(crate) fn hold(&mut self, incoming: Incoming, waiting: Slots, until: Millis) {
        let position = self.new_position();
        self.by_id.insert((incoming.id, position));
        self.held.push(position);
        self.entries.insert(
            position,
            Entry {
                id: incoming.id,
                from: incoming.from,
                device: incoming.device,
                except: incoming.except,
                waiting,
                telling: false,
                told: false,
                place: Place::Held { frame: incoming.frame, until, repeats: incoming.repeats },
            },
        );
    }

    /// The position before the first that is held.
    pub(crate) fn before_held(&self) -> Option<Position> {
        self.held.first().map(|first| first - 1)
    }

    /// When the first held item is due to be committed.
    pub(crate) fn held_until(&self) -> Option<Millis> {
        let first = self.held.first()?;
        match self.entries.get(first)?.place {
            Place::Held { until, .. } => Some(until),
            Place::Page(_) => None,
        }
    }

    /// Commits everything that is held, in order. Returns the positions, each with the device that
    /// repeats it if it is a receipt.
    pub(crate) fn commit_held<S: Sql>(
        &mut self,
        sql: &S,
        expires_at: Millis,
    ) -> Result<Vec<(Position, Option<DeviceId>)>, StorageError> {
        let held = std::mem::take(&mut self.held);
        let mut committed = Vec::with_capacity(held.len());
        let mut frames = Vec::with_capacity(held.len());
        for position in held {
            let Some(entry) = self.entries.get(&position) else { continue };
            if let Place::Held { frame, repeats, .. } = &entry.place {
                committed.push((position, *repeats));
                frames.push((position, frame_to_cbor(frame)));
            }
        }
        self.write_pages(sql, expires_at, frames)?;
        Ok(committed)
    }

    /// Commits items that just came in. Returns their positions.
    pub(crate) fn store<S: Sql>(
        &mut self,
        sql: &S,
        expires_at: Millis,
        incoming: &[Incoming],
        waiting: Slots,
    ) -> Result<Vec<Position>, StorageError> {
        let mut frames = Vec::with_capacity(incoming.len());
        for Incoming { id, from, device, except, frame, .. } in incoming {
            let position = self.new_position();
            self.by_id.insert((*id, position));
            let (id, from, device, except) = (*id, *from, *device, *except);
            let (telling, told, place) = (false, false, Place::Page(position));
            let entry = Entry { id, from, device, except, waiting, telling, told, place };
            self.entries.insert(position, entry);
            frames.push((position, frame_to_cbor(frame)));
        }
        let positions = frames.iter().map(|&(position, _)| position).collect();
        self.write_pages(sql, expires_at, frames)?;
        Ok(positions)
    }

    fn write_pages<S: Sql>(
        &mut self,
        sql: &S,
        expires_at: Millis,
        frames: Vec<(Position, Vec<u8>)>,
    ) -> Result<(), StorageError> {
        let mut frames = frames.into_iter().peekable();
        while let Some(&(first, _)) = frames.peek() {
            let (mut bytes, mut stored) = (Vec::new(), Vec::new());
            while let Some((position, frame)) = frames.next_if(|(_, frame)| {
                stored.len() < PAGE_ENTRIES_MAX
                    && (stored.is_empty() || bytes.len() + frame.len() <= PAGE_BYTES_MAX)
            }) {
                bytes.extend(frame);
                if let Some(entry) = self.entries.get_mut(&position) {
                    entry.place = Place::Page(first);
                    let Entry { id, from, device, except, .. } = *entry;
                    let offset = position - first;
                    stored.push(StoredEntry { offset, id, from, device, except });
                }
            }
            let page = Page {
                expires_at,
                frames: stored.len(),
                live: stored.len(),
                bytes: bytes.len() as u64,
                except: shared_except(&stored),
            };
            self.bytes += page.bytes;
            self.pages.insert(first, page);
            // Encoding into memory cannot fail.
            let entries = minicbor_serde::to_vec(&stored).unwrap_or_default();
            sql.run(
                "INSERT INTO page (position, expires_at, entries, frames) VALUES (?, ?, ?, ?)",
                &[first.into(), expires_at.into(), entries.into(), bytes.into()],
            )?;
        }
        Ok(())
    }

    /// The next stored frames for a device after `after`: at most `count`, out of one page.
    pub(crate) fn next_chunk<S: Sql>(
        &self,
        sql: &S,
        slot: u8,
        after: Position,
        count: usize,
    ) -> Result<Option<Chunk>, StorageError> {
        let mut wanted = self.entries.range(after + 1..).filter_map(|(&position, entry)| {
            let Place::Page(page) = entry.place else { return None };
            let frame = (entry.id, entry.from, entry.device);
            entry.waiting.contains(slot).then_some((position, page, frame))
        });
        let Some((first, page, frame)) = wanted.next() else { return Ok(None) };
        let same = wanted.take_while(|&(_, next, _)| next == page).take(count.saturating_sub(1));
        let same = same.map(|(position, _, frame)| (position, frame));
        let chosen: Vec<_> = [(first, frame)].into_iter().chain(same).collect();
        let frames = Self::read_page(sql, page)?;
        let total = self.pages.get(&page).map_or(0, |page| page.frames);
        let through = chosen.last().map_or(first, |&(position, _)| position);
        if chosen.len() == total {
            return Ok(Some(Chunk { through, count: total, frames }));
        }
        // Both are in order. Ids alone don't tell frames apart: they are their senders' choice.
        let mut chosen = chosen.into_iter().map(|(_, frame)| frame).peekable();
        let mut part = read_frames(total, &frames)?;
        part.retain(|frame| chosen.next_if(|wanted| key(frame).as_ref() == Some(wanted)).is_some());
        let frames = part.iter().flat_map(frame_to_cbor).collect();
        Ok(Some(Chunk { through, count: part.len(), frames }))
    }

    fn read_page<S: Sql>(sql: &S, page: Position) -> Result<Vec<u8>, StorageError> {
        let rows = sql.run("SELECT frames FROM page WHERE position = ?", &[page.into()])?;
        let row = rows.into_iter().next().ok_or(StorageError::Row("a page is missing"))?;
        Columns::of(row).blob()
    }

    /// Takes out an entry of which nothing is left to do.
    pub(crate) fn remove(&mut self, position: Position) {
        let Some(entry) = self.entries.remove(&position) else { return };
        self.by_id.remove(&(entry.id, position));
        match entry.place {
            Place::Held { .. } => {
                if let Ok(at) = self.held.binary_search(&position) {
                    self.held.remove(at);
                }
            }
            Place::Page(page) => {
                if let Some(page) = self.pages.get_mut(&page) {
                    page.live = page.live.saturating_sub(1);
                }
            }
        }
    }

    /// Takes out all of which nothing is left to do, after the set of devices has changed.
    pub(crate) fn remove_done(&mut self) {
        let done = self.entries.iter().filter(|(_, entry)| entry.is_done());
        let done: Vec<_> = done.map(|(&position, _)| position).collect();
        done.into_iter().for_each(|position| self.remove(position));
    }

    /// Deletes the pages whose entries are all done. Consecutive ones go in one statement.
    pub(crate) fn delete_done<S: Sql>(&mut self, sql: &S) -> Result<(), StorageError> {
        let mut runs: Vec<(Position, Position)> = Vec::new();
        let mut adjacent = false;
        for (&position, page) in &self.pages {
            if page.live > 0 {
                adjacent = false;
                continue;
            }
            match runs.last_mut() {
                Some((_, last)) if adjacent => *last = position,
                _ => runs.push((position, position)),
            }
            adjacent = true;
            self.bytes -= page.bytes;
        }
        for (first, last) in runs {
            let statement = "DELETE FROM page WHERE position BETWEEN ? AND ?";
            sql.run(statement, &[first.into(), last.into()])?;
        }
        self.pages.retain(|_, page| page.live > 0);
        Ok(())
    }

    /// What this device has acknowledged without a gap, where a page still holds any of it.
    pub(crate) fn cursor(&self, slot: u8) -> Option<Position> {
        let mut others = self.pages.iter().filter(|(_, page)| page.except != Some(slot));
        let (&first_page, _) = others.next()?;
        let open = self.entries.iter().find(|(_, entry)| {
            let untold = !entry.told && entry.device.is_some();
            entry.waiting.contains(slot) || untold
        });
        let cursor = open.map_or(self.last, |(&position, _)| position - 1);
        (cursor >= first_page).then_some(cursor)
    }

    /// Drops the pages whose life is over. Returns when the next one's is.
    pub(crate) fn expire<S: Sql>(
        &mut self,
        sql: &S,
        now: Millis,
    ) -> Result<Option<Millis>, StorageError> {
        let over: Vec<_> = self
            .pages
            .iter()
            .filter(|(_, page)| page.expires_at <= now)
            .map(|(&position, _)| position)
            .collect();
        let entries = self.entries.iter().filter(|(_, entry)| match entry.place {
            Place::Page(page) => over.binary_search(&page).is_ok(),
            Place::Held { .. } => false,
        });
        let expired: Vec<_> = entries.map(|(&position, _)| position).collect();
        for position in expired {
            self.remove(position);
        }
        self.delete_done(sql)?;
        Ok(self.pages.values().map(|page| page.expires_at).min())
    }

    /// A device is gone: nothing waits for it any longer.
    pub(crate) fn forget_device(&mut self, slot: u8) {
        for entry in self.entries.values_mut() {
            entry.waiting.remove(slot);
        }
    }

    /// A device takes the place of earlier ones: what waits, waits for it.
    pub(crate) fn inherit(&mut self, slot: u8, after: Position) {
        for (_, entry) in self.entries.range_mut(after + 1..) {
            if entry.except != Some(slot) {
                entry.waiting.insert(slot);
            }
        }
    }
}

/// The slot that needs none of these, as they are copies of what its device made.
fn shared_except(entries: &[StoredEntry]) -> Option<u8> {
    let slot = entries.first()?.except?;
    entries.iter().all(|entry| entry.except == Some(slot)).then_some(slot)
}

/// What an entry says of its frame.
fn key(frame: &ServerFrame) -> Option<(MessageId, PhoneNumber, Option<DeviceId>)> {
    match frame {
        // A copy, like a receipt, is of no device.
        ServerFrame::Deliver(deliver) => {
            let device = Some(deliver.device).filter(|_| deliver.to.is_none());
            Some((deliver.id, deliver.from, device))
        }
        ServerFrame::Receipt(receipt) => Some((receipt.id, receipt.from, None)),
        _ => None,
    }
}
