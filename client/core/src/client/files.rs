//! Files on their way out.
//!
//! Invariant: the message that tells of a file is queued in the transaction that forgets its upload,
//! so that a crash leaves one of the two, and a file is told of once.

use estafette_protocol::{MediaId, MessageId, Millis};

use super::{Client, ClientError};
use crate::media::Layout;
use crate::{ContentError, Effect, Media, Outgoing, OutgoingFile, StoreError};

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
        Layout::of_size(file.size).or(Err(ContentError::Field("size")))?;
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

    /// The server has these files: tells the peer of them, in this order, of all or of none. They
    /// are for one peer.
    ///
    /// # Errors
    /// [`ClientError::NoSuchUpload`] when that was done before for one of them, or one is for
    /// somebody else; as [`Client::send_all`] otherwise.
    pub fn send_uploads(
        &mut self,
        now: Millis,
        uploaded: &[(u64, MediaId)],
    ) -> Result<(Vec<MessageId>, Vec<Effect>), ClientError> {
        if self.outbox.len() + uploaded.len() > self.config.outbox_max {
            return Err(ClientError::OutboxFull(self.outbox.len()));
        }
        let mut peer = None;
        let mut bodies = Vec::with_capacity(uploaded.len());
        for (upload, id) in uploaded {
            let outgoing = self.store.upload(*upload)?.ok_or(ClientError::NoSuchUpload)?;
            let OutgoingFile { peer: to, key, size, digest, about, .. } = outgoing.file;
            if peer.replace(to).is_some_and(|before| before != to) {
                return Err(ClientError::NoSuchUpload);
            }
            bodies.push(Media { id: *id, key, size, digest, about }.to_body()?);
        }
        let Some(peer) = peer else { return Ok((Vec::new(), Vec::new())) };
        Ok(self.step(now, |client| {
            client.enqueue(now, peer, &bodies, |store| {
                uploaded.iter().try_for_each(|(upload, _)| store.drop_upload(*upload).map(drop))
            })
        })?)
    }
}
