//! The log of a conversation, in pages: an append is one row, and so is the removal of a page.
//!
//! A page is an array of entries in CBOR whose end is not written, so that what is appended to it is not read
//! again.

use estafette_protocol::{Entry, Millis, limits};

use crate::outgoing::entry_bytes;
use crate::sql::{Columns, Sql, StorageError};

/// A page takes so many entries and bytes. A long commit has one for itself.
const PAGE_ENTRIES: usize = 64;
const PAGE_BYTES: usize = 64 * 1024;
/// CBOR: an array of unknown length begins, and ends.
const BEGINS: u8 = 0x9f;
const ENDS: u8 = 0xff;

#[derive(Debug, Clone, Copy)]
struct Page {
    first: u64,
    last: u64,
    /// When its last entry was made.
    at: Millis,
    bytes: u64,
}

#[derive(Debug)]
struct Open {
    page: Page,
    entries: Vec<Entry>,
    encoded: Vec<u8>,
    /// The table has a row for it, and whether that is out of date.
    stored: bool,
    dirty: bool,
}

/// See the file's documentation.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// Those before the open one.
    closed: Vec<Page>,
    open: Option<Open>,
    /// A page that was closed and is not written.
    unwritten: Vec<Open>,
    /// Up to here, everybody has said to have it.
    passed: u64,
}

fn decode(encoded: &[u8]) -> Result<Vec<Entry>, StorageError> {
    let whole = [encoded, &[ENDS]].concat();
    minicbor_serde::from_slice(&whole).or(Err(StorageError::Row("a page of a log")))
}

impl Pages {
    pub(super) fn load<S: Sql>(sql: &S) -> Result<Self, StorageError> {
        let rows = sql.run("SELECT first, last, at, bytes FROM page ORDER BY first", &[])?;
        let mut pages = Self::default();
        for row in rows {
            let mut columns = Columns::of(row);
            pages.closed.push(Page {
                first: columns.integer()?,
                last: columns.integer()?,
                at: columns.integer()?,
                bytes: columns.integer()?,
            });
        }
        if let Some(page) = pages.closed.pop() {
            let encoded = Self::read(sql, page.first)?;
            let entries = decode(&encoded)?;
            pages.open = Some(Open { page, entries, encoded, stored: true, dirty: false });
        }
        Ok(pages)
    }

    fn read<S: Sql>(sql: &S, first: u64) -> Result<Vec<u8>, StorageError> {
        let row = sql.run("SELECT entries FROM page WHERE first = ?", &[first.into()])?.pop();
        Columns::of(row.ok_or(StorageError::Row("a page is missing"))?).blob()
    }

    /// The place of the last entry there ever was.
    pub(super) fn head(&self) -> u64 {
        self.open.as_ref().map_or(0, |open| open.page.last)
    }

    pub(super) fn open_entries(&self) -> &[Entry] {
        self.open.as_ref().map_or(&[], |open| &open.entries)
    }

    /// Whether it holds as much as it may.
    pub(super) fn is_full(&self) -> bool {
        let pages = || self.closed.iter().chain(self.open.as_ref().map(|open| &open.page));
        let bytes: u64 = pages().map(|page| page.bytes).sum();
        let entries: u64 = pages().map(|page| page.last + 1 - page.first).sum();
        bytes >= limits::LOG_BYTES_MAX || entries >= limits::LOG_ENTRIES_MAX
    }

    /// When what is oldest and not everybody's was made.
    pub(super) fn oldest(&self) -> Option<Millis> {
        let open = self.open.as_ref().filter(|open| !open.entries.is_empty());
        let mut pages = self.closed.iter().chain(open.map(|open| &open.page));
        pages.find(|page| page.last > self.passed).map(|page| page.at)
    }

    /// Appends an entry, in memory. Returns its place.
    pub(super) fn append(&mut self, now: Millis, entry: Entry) -> u64 {
        let place = self.head() + 1;
        let entry = Entry { place, ..entry };
        let bytes = entry_bytes(&entry) as u64;
        let has_room = self.open.as_ref().is_some_and(|open| {
            let fits = open.page.bytes + bytes <= PAGE_BYTES as u64;
            open.entries.len() < PAGE_ENTRIES && (fits || open.entries.is_empty())
        });
        if !has_room && let Some(open) = self.open.take() {
            self.closed.push(open.page);
            self.unwritten.push(open);
        }
        let open = self.open.get_or_insert_with(|| Open {
            page: Page { first: place, last: place, at: now, bytes: 0 },
            entries: Vec::new(),
            encoded: vec![BEGINS],
            stored: false,
            dirty: true,
        });
        // Encoding into memory cannot fail.
        open.encoded.extend(minicbor_serde::to_vec(&entry).unwrap_or_default());
        (open.page.last, open.page.at, open.dirty) = (place, now, true);
        open.page.bytes += bytes;
        open.entries.push(entry);
        place
    }

    /// Writes what was appended.
    pub(super) fn write<S: Sql>(&mut self, sql: &S) -> Result<(), StorageError> {
        for mut open in self.unwritten.drain(..) {
            open.write(sql)?;
        }
        self.open.as_mut().map_or(Ok(()), |open| open.write(sql))
    }

    /// What comes after a place: as much as one answer takes, and at least one entry.
    pub(super) fn after<S: Sql>(&self, sql: &S, after: u64) -> Result<Vec<Entry>, StorageError> {
        let (mut found, mut bytes) = (Vec::new(), 0);
        let mut take = |entries: Vec<Entry>| {
            for entry in entries.into_iter().filter(|entry| entry.place > after) {
                bytes += entry_bytes(&entry);
                let fits =
                    bytes <= limits::LOG_PAGE_BYTES_MAX && found.len() < limits::LOG_PAGE_MAX;
                if !fits && !found.is_empty() {
                    return false;
                }
                found.push(entry);
            }
            true
        };
        for page in self.closed.iter().filter(|page| page.last > after) {
            if !take(decode(&Self::read(sql, page.first)?)?) {
                return Ok(found);
            }
        }
        take(self.open_entries().to_vec());
        Ok(found)
    }

    /// Everybody has said to have the log up to here.
    pub(super) fn remove_passed<S: Sql>(
        &mut self,
        sql: &S,
        passed: u64,
    ) -> Result<(), StorageError> {
        self.passed = self.passed.max(passed);
        self.remove(sql, |page| page.last <= passed)
    }

    /// Removes what was made before this time.
    pub(super) fn remove_old<S: Sql>(
        &mut self,
        sql: &S,
        before: Millis,
    ) -> Result<(), StorageError> {
        self.remove(sql, |page| page.at < before)?;
        // The row of the last page stays: it says where the log goes on.
        if let Some(open) = self.open.as_mut().filter(|open| open.page.at < before)
            && !open.entries.is_empty()
        {
            open.entries.clear();
            open.encoded = vec![BEGINS];
            (open.page.bytes, open.dirty) = (0, true);
        }
        self.write(sql)
    }

    fn remove<S: Sql>(
        &mut self,
        sql: &S,
        goes: impl Fn(&Page) -> bool,
    ) -> Result<(), StorageError> {
        for page in self.closed.extract_if(.., |page| goes(page)) {
            sql.run("DELETE FROM page WHERE first = ?", &[page.first.into()])?;
        }
        Ok(())
    }
}

impl Open {
    fn write<S: Sql>(&mut self, sql: &S) -> Result<(), StorageError> {
        if !self.dirty {
            return Ok(());
        }
        let Page { first, last, at, bytes } = self.page;
        let statement = match self.stored {
            true => "UPDATE page SET last = ?, at = ?, bytes = ?, entries = ? WHERE first = ?",
            false => "INSERT INTO page (last, at, bytes, entries, first) VALUES (?, ?, ?, ?, ?)",
        };
        let entries = self.encoded.clone().into();
        sql.run(statement, &[last.into(), at.into(), bytes.into(), entries, first.into()])?;
        (self.stored, self.dirty) = (true, false);
        Ok(())
    }
}
