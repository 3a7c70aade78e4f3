//! What an upload keeps: one row, because a row costs as much as seven requests.
//!
//! The row is written again with each commit. A file of 2 GiB has 256 parts of some 40 bytes each, and 64
//! fragments of the last: 12 KB.

use estafette_protocol::{MediaId, Millis};
use serde::{Deserialize, Serialize};

use super::call::{Finish, Fragment, Part, Piece, Standing};
use super::{part_start, plan};
use crate::peer::cbor;
use crate::sql::{Columns, Sql, StorageError};

/// The one table. Its row has the version of what is in it, so that a later one can be told apart; an
/// upload lives a day at most.
const TABLE: &str = "CREATE TABLE upload (
        id INTEGER PRIMARY KEY,
        version INTEGER NOT NULL,
        state BLOB NOT NULL
    ) STRICT";
const VERSION: u64 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) media: MediaId,
    pub(super) length: u64,
    pub(super) expires_at: Millis,
    /// R2's name of the multipart upload; absent for a file of at most one part.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) multipart: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) metadata: Option<String>,
    /// Requests that were to fill parts.
    pub(super) attempts: u64,
    parts: Vec<Part>,
    /// Of the part behind those.
    pub(super) fragments: Vec<Fragment>,
    /// The file is there, as one object.
    #[serde(default, skip_serializing)]
    whole: bool,
}

cbor!(State);

impl State {
    pub(super) fn new(
        media: MediaId,
        length: u64,
        expires_at: Millis,
        multipart: Option<String>,
        metadata: Option<String>,
    ) -> Self {
        let (parts, fragments) = (Vec::new(), Vec::new());
        Self {
            media,
            length,
            expires_at,
            multipart,
            metadata,
            attempts: 0,
            parts,
            fragments,
            whole: false,
        }
    }

    pub(super) fn load<S: Sql>(sql: &S) -> Result<Option<Self>, StorageError> {
        let table = sql.run("SELECT name FROM sqlite_master WHERE name = 'upload'", &[])?;
        if table.is_empty() {
            return Ok(None);
        }
        let Some(row) = sql.run("SELECT state FROM upload", &[])?.pop() else { return Ok(None) };
        let state = Self::decode(&Columns::of(row).blob()?);
        state.map(Some).ok_or(StorageError::Row("an upload's state"))
    }

    pub(super) fn create<S: Sql>(&self, sql: &S) -> Result<(), StorageError> {
        sql.run(TABLE, &[])?;
        let insert = "INSERT INTO upload (id, version, state) VALUES (1, ?, ?)";
        sql.run(insert, &[VERSION.into(), self.encode().into()])?;
        Ok(())
    }

    pub(super) fn save<S: Sql>(&self, sql: &S) -> Result<(), StorageError> {
        sql.run("UPDATE upload SET state = ? WHERE id = 1", &[self.encode().into()])?;
        Ok(())
    }

    /// How many bytes are safe.
    pub(super) fn offset(&self) -> u64 {
        if self.whole {
            return self.length;
        }
        let parts = part_start(self.parts.len() as u64).min(self.length);
        parts + self.fragments.iter().map(|fragment| fragment.bytes).sum::<u64>()
    }

    /// Where a part ends.
    pub(super) fn part_end(&self, index: u64) -> u64 {
        part_start(index + 1).min(self.length)
    }

    pub(super) fn is_whole(&self) -> bool {
        self.whole
    }

    pub(super) fn fragment_names(&self) -> Vec<u64> {
        self.fragments.iter().map(|fragment| fragment.name).collect()
    }

    pub(super) fn standing(&self, garbage: Vec<u64>) -> Standing {
        let offset = self.offset();
        let finish = self.multipart.clone().filter(|_| offset == self.length);
        Standing {
            offset,
            length: self.length,
            expires_at: self.expires_at,
            metadata: self.metadata.clone(),
            finish: finish.map(|multipart| Finish { multipart, parts: self.parts.clone() }),
            garbage,
        }
    }

    /// Adds what follows on the offset. `false`: it doesn't follow.
    pub(super) fn add(&mut self, piece: &Piece, garbage: &mut Vec<u64>) -> bool {
        let index = self.parts.len() as u64;
        let room = self.part_end(index).saturating_sub(self.offset());
        match piece {
            Piece::Whole if self.multipart.is_none() && !self.whole => {
                self.whole = true;
                garbage.append(&mut self.fragment_names());
                self.fragments.clear();
            }
            Piece::Part(part)
                if self.multipart.is_some()
                    && room > 0
                    && plan::part_index(part.number) == index =>
            {
                garbage.append(&mut self.fragment_names());
                self.fragments.clear();
                self.parts.push(part.clone());
            }
            Piece::Fragment(fragment) if (1..room).contains(&fragment.bytes) => {
                self.fragments.push(*fragment);
            }
            Piece::Merged(fragment) if (1..room).contains(&fragment.bytes) => {
                let before: u64 = self.fragments.iter().map(|fragment| fragment.bytes).sum();
                garbage.append(&mut self.fragment_names());
                let bytes = before + fragment.bytes;
                self.fragments = vec![Fragment { name: fragment.name, bytes }];
            }
            _ => return false,
        }
        true
    }
}
