//! Files on their way out.
//!
//! Invariant: the message that tells of a file is queued in the transaction that forgets its upload,
//! so that a crash leaves one of the two, and a file is told of once.

use estafette_protocol::{MediaId, MessageId, Millis};

use super::{Client, ClientError};
use crate::media::{Layout, MediaError};
use crate::{Effect, Media, Outgoing, OutgoingFile, StoreError};

impl Client {
    /// The most files on their way.
    pub const FILES_MAX: usize = 256;

    /// Keeps a file that is to be sent, with its key: before a byte of it leaves. Returns the number
    /// of its upload.
    ///
    /// # Errors
    /// When what is said of it cannot be sent, or too many are on their way.
    pub fn begin_upload(&mut self, file: &OutgoingFile) -> Result<u64, ClientError> {
        let about = file.about_map()?;
        Layout::of_size(file.size).map_err(|_: MediaError| crate::ContentError::Field("size"))?;
        let waiting = self.store.uploads_count()?;
        if waiting >= Self::FILES_MAX {
            return Err(ClientError::TooManyFiles(waiting));
        }
        Ok(self.store.begin_upload(file, &about, self.clock.age_from())?)
    }

    /// Every file on its way, the oldest first.
    pub fn uploads(&self) -> Result<Vec<Outgoing>, StoreError> {
        self.store.uploads()
    }

    /// The server has the file: tells the peer of it.
    ///
    /// # Errors
    /// [`ClientError::NoSuchUpload`] when that was done before; as [`Client::send`] otherwise.
    pub fn send_upload(
        &mut self,
        now: Millis,
        upload: u64,
        id: MediaId,
    ) -> Result<(MessageId, Vec<Effect>), ClientError> {
        if self.outbox.len() >= self.config.outbox_max {
            return Err(ClientError::OutboxFull(self.outbox.len()));
        }
        let outgoing = self.store.upload(upload)?.ok_or(ClientError::NoSuchUpload)?;
        let OutgoingFile { peer, key, size, digest, about, .. } = outgoing.file;
        let body = Media { id, key, size, digest, about }.to_body()?;
        let (ids, effects) = self.step(now, |client| {
            client.enqueue(now, peer, &[body], |store| store.drop_upload(upload).map(drop))
        })?;
        let message = ids.first().copied().ok_or(StoreError::Corrupt)?;
        Ok((message, effects))
    }
}
