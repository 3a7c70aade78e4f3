//! What a conversation keeps beside its log: who is in it, its epoch, and what lets devices in.

use estafette_protocol::{Body, ConversationId, Millis, PhoneNumber, Roster, Welcome, limits};
use serde::{Deserialize, Serialize};

use crate::peer::cbor;
use crate::sql::{Columns, Sql, StorageError};

/// The tables. `conversation` has one row: the version of these tables, a [`State`], and the GroupInfo of the
/// present epoch. `page` is the log: see `log.rs`. `welcome` has the Welcomes by the places of their commits,
/// with the accounts that came by them in CBOR; none: devices of who was in it before.
const TABLES: [&str; 3] = [
    "CREATE TABLE conversation (
        id INTEGER PRIMARY KEY,
        version INTEGER NOT NULL,
        state BLOB NOT NULL,
        info BLOB NOT NULL
    ) STRICT",
    "CREATE TABLE page (
        first INTEGER PRIMARY KEY,
        last INTEGER NOT NULL,
        at INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        entries BLOB NOT NULL
    ) STRICT",
    "CREATE TABLE welcome (
        place INTEGER PRIMARY KEY,
        at INTEGER NOT NULL,
        accounts BLOB NOT NULL,
        welcome BLOB NOT NULL
    ) STRICT",
];
const VERSION: u64 = 1;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct State {
    pub(super) conversation: ConversationId,
    pub(super) epoch: u64,
    /// The place of the commit that the GroupInfo was made with.
    pub(super) place: u64,
    /// Absent in a conversation of two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) roster: Option<Roster>,
    /// Accounts that were invited and wait for an admin.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) asking: Vec<PhoneNumber>,
}

cbor!(State);

impl State {
    pub(super) fn new(conversation: ConversationId) -> Self {
        Self { conversation, epoch: 0, place: 0, roster: None, asking: Vec::new() }
    }

    pub(super) fn members(&self) -> Vec<PhoneNumber> {
        match (self.conversation.parties(), &self.roster) {
            (Some((one, other)), _) if one == other => vec![one],
            (Some((one, other)), _) => vec![one, other],
            (None, Some(roster)) => roster.members.iter().map(|member| member.account).collect(),
            (None, None) => Vec::new(),
        }
    }

    pub(super) fn has(&self, account: PhoneNumber) -> bool {
        match (self.conversation.parties(), &self.roster) {
            (Some((one, other)), _) => account == one || account == other,
            (None, roster) => roster.as_ref().is_some_and(|roster| roster.role(account).is_some()),
        }
    }

    pub(super) fn load<S: Sql>(sql: &S) -> Result<Option<Self>, StorageError> {
        let query = "SELECT name FROM sqlite_master WHERE name = 'conversation'";
        if sql.run(query, &[])?.is_empty() {
            return Ok(None);
        }
        let row = sql.run("SELECT state FROM conversation", &[])?.pop();
        let Some(row) = row else { return Ok(None) };
        let state = Self::decode(&Columns::of(row).blob()?);
        state.map(Some).ok_or(StorageError::Row("a conversation's state"))
    }

    pub(super) fn create<S: Sql>(sql: &S) -> Result<(), StorageError> {
        for table in TABLES {
            sql.run(table, &[])?;
        }
        Ok(())
    }

    /// Writes it, with the GroupInfo if that is another.
    pub(super) fn save<S: Sql>(&self, sql: &S, info: Option<&Body>) -> Result<(), StorageError> {
        let state = self.encode().into();
        match info {
            Some(info) => sql.run(
                "INSERT INTO conversation (id, version, state, info) VALUES (1, ?, ?, ?)
                 ON CONFLICT (id) DO UPDATE SET state = excluded.state, info = excluded.info",
                &[VERSION.into(), state, info.0.clone().into()],
            )?,
            None => sql.run("UPDATE conversation SET state = ?", &[state])?,
        };
        Ok(())
    }

    pub(super) fn info<S: Sql>(sql: &S) -> Result<Body, StorageError> {
        let row = sql.run("SELECT info FROM conversation", &[])?.pop();
        let row = row.ok_or(StorageError::Row("a conversation without a GroupInfo"))?;
        Columns::of(row).blob().map(Body)
    }

    /// Keeps a Welcome, and no more than there may be.
    pub(super) fn keep_welcome<S: Sql>(
        sql: &S,
        now: Millis,
        place: u64,
        accounts: &[PhoneNumber],
        welcome: &Body,
    ) -> Result<(), StorageError> {
        let accounts = minicbor_serde::to_vec(accounts).unwrap_or_default();
        sql.run(
            "INSERT INTO welcome (place, at, accounts, welcome) VALUES (?, ?, ?, ?)",
            &[place.into(), now.into(), accounts.into(), welcome.0.clone().into()],
        )?;
        sql.run(
            "DELETE FROM welcome WHERE place NOT IN
                (SELECT place FROM welcome ORDER BY place DESC LIMIT ?)",
            &[(limits::WELCOMES_MAX as u64).into()],
        )?;
        Ok(())
    }

    /// The latest Welcome that an account, or devices of it, came by, of a commit before a place.
    pub(super) fn welcome_for<S: Sql>(
        sql: &S,
        now: Millis,
        account: PhoneNumber,
        before: Option<u64>,
    ) -> Result<Option<Welcome>, StorageError> {
        let query =
            "SELECT place, accounts FROM welcome WHERE at > ? AND place < ? ORDER BY place DESC";
        let since = now.saturating_sub(limits::MESSAGE_LIFE);
        let before = before.unwrap_or(limits::MESSAGE_NUMBER_MAX).min(limits::MESSAGE_NUMBER_MAX);
        for row in sql.run(query, &[since.into(), before.into()])? {
            let mut columns = Columns::of(row);
            let place = columns.integer()?;
            let accounts: Vec<PhoneNumber> = minicbor_serde::from_slice(&columns.blob()?)
                .or(Err(StorageError::Row("the accounts of a Welcome")))?;
            if accounts.is_empty() || accounts.contains(&account) {
                let query = "SELECT welcome FROM welcome WHERE place = ?";
                let row = sql.run(query, &[place.into()])?.pop();
                let row = row.ok_or(StorageError::Row("a Welcome is missing"))?;
                let welcome = Columns::of(row).blob().map(Body)?;
                return Ok(Some(Welcome { welcome, place }));
            }
        }
        Ok(None)
    }

    /// Removes the Welcomes whose time is over.
    pub(super) fn remove_welcomes<S: Sql>(sql: &S, now: Millis) -> Result<(), StorageError> {
        if Self::load(sql)?.is_none() {
            return Ok(());
        }
        let since = now.saturating_sub(limits::MESSAGE_LIFE);
        sql.run("DELETE FROM welcome WHERE at <= ?", &[since.into()])?;
        Ok(())
    }
}
