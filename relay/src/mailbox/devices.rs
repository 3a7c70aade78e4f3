//! The devices of an account: one primary, in slot 0, and those that were linked to it.
//!
//! Invariants:
//! - a linked device is given what comes after it was linked, and nothing from before;
//! - a device acts on itself; the primary acts on all;
//! - a device that does not connect for long lapses: nothing waits for it any more.

use estafette_protocol::http::Device as DeviceInfo;
use estafette_protocol::{DeviceId, ErrorCode, Millis, limits};

use super::{Device, Mailbox};
use crate::account::AccountAnswer;
use crate::effect::Refusal;
use crate::sql::{Sql, StorageError, Value};

const DAY: Millis = 24 * 60 * 60 * 1000;
/// The slot of the primary device.
const PRIMARY: u8 = 0;

/// A device as it comes to be.
pub(crate) struct NewDevice {
    pub(crate) id: DeviceId,
    pub(crate) name: String,
    pub(crate) identity_key: [u8; 32],
}

impl Device {
    /// The end of the day on which it last connected, or when it came to be.
    pub(crate) fn seen_until(&self) -> Millis {
        self.registered_at.max((self.seen_on + 1) * DAY)
    }
}

impl<S: Sql> Mailbox<S> {
    /// Adds a device that one of the account's has approved.
    pub(crate) fn link(
        &mut self,
        now: Millis,
        device: NewDevice,
    ) -> Result<AccountAnswer, StorageError> {
        if self.device(device.id).is_some() {
            return Ok(AccountAnswer::Granted);
        }
        let last = limits::DEVICES_MAX as u8 - 1;
        let free =
            (PRIMARY + 1..=last).find(|&slot| self.devices.iter().all(|known| known.slot != slot));
        let Some(slot) = free else { return Ok(Refusal::from(ErrorCode::TooManyDevices).into()) };
        // What is held is for the devices that there were.
        self.commit_held(now)?;
        let since = self.queue.last();
        self.add(now, slot, since, 0, device)?;
        Ok(AccountAnswer::Granted)
    }

    /// Adds the only device of the account, which inherits what comes after `cursor`.
    pub(crate) fn add_primary(
        &mut self,
        now: Millis,
        cursor: u64,
        device: NewDevice,
    ) -> Result<(), StorageError> {
        self.add(now, PRIMARY, 0, cursor, device)
    }

    fn add(
        &mut self,
        now: Millis,
        slot: u8,
        since: u64,
        cursor: u64,
        device: NewDevice,
    ) -> Result<(), StorageError> {
        let NewDevice { id, name, identity_key } = device;
        self.sql.run(
            "INSERT INTO device
                (slot, device, name, identity_key, registered_at, cursor, since, seen_on)
             VALUES (?, ?, ?, ?, ?, ?, ?, 0)",
            &[
                u64::from(slot).into(),
                id.to_bytes().to_vec().into(),
                Value::Text(name.clone()),
                identity_key.to_vec().into(),
                now.into(),
                cursor.into(),
                since.into(),
            ],
        )?;
        self.devices.push(Device {
            slot,
            id,
            name,
            registered_at: now,
            cursor,
            since,
            seen_on: 0,
            sends: Default::default(),
            receipts: Default::default(),
            signals: Default::default(),
            queries: Default::default(),
            push: None,
        });
        Ok(())
    }

    pub(crate) fn is_primary(&self, device: DeviceId) -> bool {
        self.device(device).is_some_and(|device| device.slot == PRIMARY)
    }

    /// Whether a device may act on another.
    fn may_act(&self, device: DeviceId, target: DeviceId) -> bool {
        device == target || self.is_primary(device)
    }

    pub(crate) fn rename(
        &mut self,
        device: DeviceId,
        target: DeviceId,
        name: String,
    ) -> Result<AccountAnswer, StorageError> {
        let allowed = self.may_act(device, target);
        let Some(known) = self.device_mut(target) else {
            return Ok(Refusal::from(ErrorCode::NotFound).into());
        };
        if !allowed {
            return Ok(Refusal::from(ErrorCode::NotPrimary).into());
        }
        if known.name != name {
            known.name.clone_from(&name);
            let slot = u64::from(known.slot);
            let statement = "UPDATE device SET name = ? WHERE slot = ?";
            self.sql.run(statement, &[Value::Text(name), slot.into()])?;
        }
        Ok(AccountAnswer::Granted)
    }

    pub(crate) fn remove(
        &mut self,
        now: Millis,
        device: DeviceId,
        target: DeviceId,
    ) -> Result<AccountAnswer, StorageError> {
        if self.device(target).is_none() {
            return Ok(Refusal::from(ErrorCode::NotFound).into());
        }
        if !self.may_act(device, target) {
            return Ok(Refusal::from(ErrorCode::NotPrimary).into());
        }
        self.drop_device(now, target)?;
        self.pin_owner_is_there(now)?;
        Ok(AccountAnswer::Granted)
    }

    fn drop_device(&mut self, now: Millis, target: DeviceId) -> Result<(), StorageError> {
        let Some(place) = self.devices.iter().position(|device| device.id == target) else {
            return Ok(());
        };
        self.commit_held(now)?;
        let device = self.devices.remove(place);
        for statement in [
            "DELETE FROM device WHERE slot = ?",
            "DELETE FROM push WHERE slot = ?",
            "DELETE FROM keys WHERE slot = ?",
            "UPDATE mark SET slots = slots & ~(1 << ?1) WHERE slots & (1 << ?1)",
        ] {
            self.sql.run(statement, &[u64::from(device.slot).into()])?;
        }
        self.sql.run("DELETE FROM mark WHERE slots = 0", &[])?;
        self.cut_off(&device);
        // Without any device, what waits, waits for the next.
        if !self.devices.is_empty() {
            self.queue.remove_done();
        }
        self.record()
    }

    /// Ends the connection of a device that is no longer the account's.
    pub(crate) fn cut_off(&mut self, device: &Device) {
        if let Some(socket) = self.socket_of(device.id) {
            self.dismiss(socket, ErrorCode::DeviceRemoved);
        }
        self.copies.forget(device.id);
        self.marks.forget(device.id);
        self.queue.forget_device(device.slot);
    }

    pub(crate) fn list(&self, current: DeviceId) -> Vec<DeviceInfo> {
        let devices = self.devices.iter().map(|device| DeviceInfo {
            id: device.id,
            name: device.name.clone(),
            registered_at: device.registered_at,
            connected: self.socket_of(device.id).is_some(),
            current: device.id == current,
            primary: device.slot == PRIMARY,
            seen_at: Some(device.seen_on * DAY).filter(|&at| at > 0),
        });
        devices.collect()
    }

    /// A device is there. Noted once a day.
    pub(crate) fn touch(&mut self, now: Millis, device: DeviceId) -> Result<(), StorageError> {
        let today = now / DAY;
        let Some(known) = self.device_mut(device).filter(|known| known.seen_on < today) else {
            return Ok(());
        };
        known.seen_on = today;
        let slot = u64::from(known.slot);
        let statement = "UPDATE device SET seen_on = ? WHERE slot = ?";
        self.sql.run(statement, &[today.into(), slot.into()]).map(drop)
    }

    /// Removes the devices that did not connect for too long. Looks once a day and waking.
    pub(crate) fn lapse(&mut self, now: Millis) -> Result<(), StorageError> {
        let today = now / DAY;
        if self.lapsed_on == today {
            return Ok(());
        }
        self.lapsed_on = today;
        let over = self.devices.iter().filter(|device| {
            let life = match device.slot {
                PRIMARY => limits::PRIMARY_DEVICE_LIFE,
                _ => limits::LINKED_DEVICE_LIFE,
            };
            device.seen_until().saturating_add(life) <= now && self.socket_of(device.id).is_none()
        });
        let over: Vec<_> = over.map(|device| device.id).collect();
        over.into_iter().try_for_each(|device| self.drop_device(now, device))
    }
}
