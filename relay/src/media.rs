//! What an account may upload and fetch: its quotas, and what files cost it.
//!
//! A file is charged before its first byte is read, whole, and is not paid back when it does not come.
//! An upload that takes more than one request has a row here until it ends; one that comes whole has
//! none, because a cut leaves nothing of it.

use estafette_protocol::{DeviceId, ErrorCode, MediaId, Millis};
use serde::{Deserialize, Serialize};

use crate::account::AccountAnswer;
use crate::effect::Refusal;
use crate::mailbox::Mailbox;
use crate::sql::{Columns, Sql, StorageError};

/// What is billed for files, beside the call that tells of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct MediaWork {
    /// Operations that write to R2: of class A.
    pub writes: u32,
    /// Operations that read: of class B.
    pub reads: u32,
    /// Requests to the upload's object.
    pub requests: u32,
    /// Rows that it writes.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub rows: u32,
}

fn is_zero(count: &u32) -> bool {
    *count == 0
}

impl<S: Sql> Mailbox<S> {
    /// A device begins an upload.
    pub(crate) fn on_upload(
        &mut self,
        now: Millis,
        media: MediaId,
        bytes: u64,
        open_until: Option<Millis>,
        work: MediaWork,
    ) -> Result<AccountAnswer, StorageError> {
        if let Err(wait) = self.ledger.check(now, self.limits(now).daily_budget) {
            return Ok(refused(ErrorCode::BudgetExhausted, wait));
        }
        if open_until.is_some()
            && let Some(wait) = self.wait_for_place(now)?
        {
            return Ok(refused(ErrorCode::TooManyUploads, wait));
        }
        if let Err(wait) = self.ledger.upload(now, bytes, self.limits(now).upload_bytes_a_day) {
            return Ok(refused(ErrorCode::QuotaExhausted, wait));
        }
        if let Some(expires_at) = open_until {
            self.sql.run(
                "INSERT INTO upload (media, expires_at) VALUES (?, ?)",
                &[media.to_bytes().to_vec().into(), expires_at.into()],
            )?;
        }
        self.ledger.media(work);
        Ok(AccountAnswer::Granted)
    }

    /// How long until one of the unfinished uploads ends by itself, when there are as many as may be.
    fn wait_for_place(&mut self, now: Millis) -> Result<Option<Millis>, StorageError> {
        let query = "SELECT expires_at FROM upload ORDER BY expires_at";
        let mut ends = Vec::new();
        for row in self.sql.run(query, &[])? {
            ends.push(Columns::of(row).integer()?);
        }
        if ends.first().is_some_and(|&first| first <= now) {
            self.sql.run("DELETE FROM upload WHERE expires_at <= ?", &[now.into()])?;
            ends.retain(|&end| end > now);
        }
        let full = ends.len() as u64 >= self.config.uploads_max;
        Ok(ends.first().filter(|_| full).map(|first| first - now))
    }

    /// The unfinished uploads, for the device that may delete the account.
    pub(crate) fn uploads_of(&self, device: DeviceId) -> Result<AccountAnswer, StorageError> {
        if !self.is_primary(device) {
            return Ok(Refusal::from(ErrorCode::NotPrimary).into());
        }
        Ok(AccountAnswer::Uploads(self.uploads()?))
    }

    pub(crate) fn uploads(&self) -> Result<Vec<MediaId>, StorageError> {
        let rows = self.sql.run("SELECT media FROM upload", &[])?.into_iter();
        rows.map(|row| Ok(MediaId::from_bytes(Columns::of(row).array()?))).collect()
    }

    /// Work is to be done for a device's files.
    pub(crate) fn on_media(&mut self, now: Millis, work: MediaWork) -> AccountAnswer {
        if let Err(wait) = self.ledger.check(now, self.limits(now).daily_budget) {
            return refused(ErrorCode::BudgetExhausted, wait);
        }
        self.ledger.media(work);
        AccountAnswer::Granted
    }

    /// An unfinished upload leaves its place.
    pub(crate) fn on_upload_ended(
        &mut self,
        media: MediaId,
    ) -> Result<AccountAnswer, StorageError> {
        if self.account.is_some() {
            let media = media.to_bytes().to_vec().into();
            self.sql.run("DELETE FROM upload WHERE media = ?", &[media])?;
        }
        Ok(AccountAnswer::Granted)
    }
}

fn refused(code: ErrorCode, wait: Millis) -> AccountAnswer {
    Refusal { code, retry_after: Some(wait) }.into()
}
