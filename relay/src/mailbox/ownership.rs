//! The account is its owner's: all that is held on it can be had, and deleted.
//!
//! Invariant: after a deletion the object is as if nobody had ever registered: no row, no alarm, no
//! socket, and nothing under way. But for two things that would be a way round a limit: where codes were sent
//! to the number on that day their count stays for a day, and the alarm that ends it; and that the number is
//! suspended stays until an admin restores it.

use base64ct::{Base64, Encoding as _};
use estafette_protocol::http::{Export, ExportedDevice, Waiting};
use estafette_protocol::{DeviceId, ErrorCode, Millis};

use super::{Copies, Lookups, Mailbox, Marks, Presence, Privacy};
use crate::account::AccountAnswer;
use crate::effect::Refusal;
use crate::queue::Queue;
use crate::sql::{Columns, Sql, StorageError};
use crate::stream::Streams;

impl<S: Sql> Mailbox<S> {
    /// All that is held, but for bodies.
    pub(crate) fn export(
        &mut self,
        now: Millis,
        current: DeviceId,
    ) -> Result<AccountAnswer, StorageError> {
        let Some(number) = self.account else {
            return Ok(Refusal::from(ErrorCode::DeviceRemoved).into());
        };
        let mut devices = Vec::new();
        for device in self.list(current) {
            let push = self.device(device.id).and_then(|device| device.push.as_ref());
            let push = push.map(|pusher| pusher.subscription.endpoint.clone());
            let query = "SELECT identity_key FROM device WHERE device = ?";
            let row = self.sql.run(query, &[device.id.to_bytes().to_vec().into()])?.pop();
            let key = row.map_or(Ok(Vec::new()), |row| Columns::of(row).blob())?;
            let identity_key = Base64::encode_string(&key);
            devices.push(ExportedDevice { device, identity_key, push });
        }
        let (profile, picture_bytes) = self.kept_profile()?;
        let waiting = self.queue.entries().map(|entry| Waiting {
            id: entry.id,
            from: entry.from,
            device: entry.device,
        });
        Ok(AccountAnswer::Export(Box::new(Export {
            number,
            registered_at: self.registered_at,
            last_seen: Some(self.presence.last_seen).filter(|&at| at > 0),
            suspended_at: self.suspended_at,
            devices,
            privacy: self.audiences(),
            people: self.people()?,
            pin: self.has_pin()?,
            waiting: waiting.collect(),
            watchers: self.watcher_numbers()?,
            uploads: self.uploads()?.iter().map(ToString::to_string).collect(),
            usage: self.usage(now),
            profile,
            picture_bytes,
        })))
    }

    /// Deletes the account, if its primary device asks. Peers find nobody registered.
    pub(crate) fn delete(
        &mut self,
        now: Millis,
        device: DeviceId,
    ) -> Result<AccountAnswer, StorageError> {
        if !self.is_primary(device) {
            return Ok(Refusal::from(ErrorCode::NotPrimary).into());
        }
        for socket in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.dismiss(socket, ErrorCode::DeviceRemoved);
        }
        self.account = None;
        self.devices.clear();
        (self.lanes, self.conversations) = Default::default();
        self.marks = Marks::default();
        (self.queue, self.streams) = (Queue::default(), Streams::default());
        (self.copies, self.presence) = (Copies::default(), Presence::default());
        (self.privacy, self.lookups) = (Privacy::default(), Lookups::default());
        self.registered_at = 0;
        self.forget_account(now)?;
        Ok(AccountAnswer::Granted)
    }
}
