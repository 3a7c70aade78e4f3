//! Files on their way to the server.
//!
//! Invariants:
//! - a key is in the store before a byte that it sealed leaves, with the digest of all that it seals.
//!   So an upload goes on with the same key only where the bytes are the same;
//! - a number means one upload for ever: a shell that works with one that is over finds none.

use core::fmt;

use estafette_protocol::{Millis, PhoneNumber};
use rusqlite::{OptionalExtension as _, Row};

use super::people::number;
use super::{Store, StoreError, signed, unsigned};
use crate::media::{MediaDigest, MediaKey};
use crate::{About, ContentError};

/// A file that is to be uploaded and told of.
#[derive(Clone, PartialEq, Eq)]
pub struct OutgoingFile {
    /// Whom it is for.
    pub peer: PhoneNumber,
    /// Where the shell reads it. Opaque here.
    pub source: Vec<u8>,
    /// What the shell knows its bytes by: a file with another stamp is another file. Opaque here.
    pub stamp: Vec<u8>,
    /// What seals it, and nothing else ever.
    pub key: MediaKey,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of it once sealed.
    pub digest: MediaDigest,
    /// What is said of it.
    pub about: About,
}

/// Shows no path, number or key.
impl fmt::Debug for OutgoingFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutgoingFile")
            .field("size", &self.size)
            .field("about", &self.about)
            .finish_non_exhaustive()
    }
}

/// A file whose message was not sent yet.
#[derive(Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Its number in this store, which no other ever had or will have.
    pub id: u64,
    /// The file.
    pub file: OutgoingFile,
    /// The path of its upload on the server, once there is one.
    pub path: Option<String>,
}

/// Shows no path.
impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outgoing").field("id", &self.id).field("file", &self.file).finish()
    }
}

const COLUMNS: &str = "id, peer, source, stamp, key, size, digest, about, path";

fn outgoing(row: &Row<'_>) -> Result<Outgoing, StoreError> {
    let about: Vec<u8> = row.get(7)?;
    let file = OutgoingFile {
        peer: number(row.get(1)?)?,
        source: row.get(2)?,
        stamp: row.get(3)?,
        key: MediaKey(row.get(4)?),
        size: unsigned(row.get(5)?),
        digest: row.get(6)?,
        about: About::from_map(&about).or(Err(StoreError::Corrupt))?,
    };
    Ok(Outgoing { id: unsigned(row.get(0)?), file, path: row.get(8)? })
}

impl Store {
    /// Every file on its way, the oldest first.
    pub fn uploads(&self) -> Result<Vec<Outgoing>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM upload ORDER BY id");
        let mut query = self.connection.prepare_cached(&query)?;
        let mut rows = query.query([])?;
        let mut uploads = Vec::new();
        while let Some(row) = rows.next()? {
            uploads.push(outgoing(row)?);
        }
        Ok(uploads)
    }

    /// One of them; `None` when it is over.
    pub fn upload(&self, id: u64) -> Result<Option<Outgoing>, StoreError> {
        let query = format!("SELECT {COLUMNS} FROM upload WHERE id = ?");
        let mut query = self.connection.prepare_cached(&query)?;
        let mut rows = query.query([signed(id)])?;
        rows.next()?.map(outgoing).transpose()
    }

    pub(crate) fn uploads_count(&self) -> Result<usize, StoreError> {
        let mut query = self.connection.prepare_cached("SELECT count(*) FROM upload")?;
        let count: Option<i64> = query.query_row([], |row| row.get(0)).optional()?;
        // A count is not negative.
        Ok(count.map_or(0, unsigned) as usize)
    }

    /// Keeps a file with its key. Returns its number.
    pub(crate) fn begin_upload(
        &self,
        file: &OutgoingFile,
        about: &[u8],
        begun_at: Millis,
    ) -> Result<u64, StoreError> {
        let mut insert = self.connection.prepare_cached(
            "INSERT INTO upload (peer, source, stamp, key, size, digest, about, path, begun_at)
             VALUES (?, ?, ?, ?, ?, ?, ?, NULL, ?)",
        )?;
        insert.execute((
            signed(file.peer.digits()),
            &file.source,
            &file.stamp,
            file.key.0,
            signed(file.size),
            file.digest,
            about,
            signed(begun_at),
        ))?;
        Ok(unsigned(self.connection.last_insert_rowid()))
    }

    /// Keeps where on the server the upload is, or that it is nowhere any more.
    pub fn place_upload(&self, id: u64, path: Option<&str>) -> Result<(), StoreError> {
        let mut update =
            self.connection.prepare_cached("UPDATE upload SET path = ? WHERE id = ?")?;
        update.execute((path, signed(id)))?;
        Ok(())
    }

    /// Forgets an upload and its key. Returns whether it was there.
    pub fn drop_upload(&self, id: u64) -> Result<bool, StoreError> {
        let mut delete = self.connection.prepare_cached("DELETE FROM upload WHERE id = ?")?;
        Ok(delete.execute([signed(id)])? > 0)
    }
}

impl OutgoingFile {
    /// What is said of it, as the store keeps it.
    pub(crate) fn about_map(&self) -> Result<Vec<u8>, ContentError> {
        self.about.to_map()
    }
}
