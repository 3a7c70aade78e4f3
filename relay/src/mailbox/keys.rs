//! Keys: the key packages of the account's devices, and the list that says which devices are its.
//!
//! Invariants:
//! - a single-use package is given out once; the last-resort one when none is left, and it stays;
//! - packages go with their device, and all of it when the number is registered anew;
//! - an entry of the list is never changed or removed, but by a list that begins anew;
//! - whoever asks is answered alike, the blocked too, and pays for what is written for them.
//!
//! The server reads neither a package nor an entry: devices check both.

use estafette_protocol::{
    Body, Denied, DeviceId, Done, Enlist, ErrorCode, FetchKeys, Keys, KeysChanged, Millis, Package,
    PublishKeys, ServerFrame, limits,
};

use super::Mailbox;
use crate::effect::Refusal;
use crate::lane::{Concern, LaneItem};
use crate::peer::{PeerItem, Verdict};
use crate::sql::{Columns, Sql, StorageError};

/// A device may ask so many times as many questions as it may send messages: who makes a group asks for the
/// keys of all who are to be in it.
const QUERIES_PER_SEND: u32 = 5;
/// How long a device waits before it asks again what nobody answered.
pub(crate) const RETRY: Millis = 1000;

/// What became of a question: its place in a log, if it has one.
pub(crate) type Outcome = Result<Option<u64>, Refusal>;

/// A device's packages.
#[derive(Default)]
struct KeyPackages {
    left: Vec<Body>,
    /// Empty where there is none.
    last_resort: Body,
}

impl<S: Sql> Mailbox<S> {
    /// What every question must pass: the device's rate, and the account's budget.
    pub(crate) fn admit_query(&mut self, now: Millis, device: DeviceId) -> Result<(), Refusal> {
        let limits = self.limits(now);
        let burst = limits.send_burst.saturating_mul(QUERIES_PER_SEND);
        let Some(known) = self.device_mut(device) else {
            return Err(ErrorCode::DeviceRemoved.into());
        };
        let refusal = |code| move |wait| Refusal { code, retry_after: Some(wait) };
        let taken = known.queries.take(now, burst, limits.sends_per_second);
        taken.map_err(refusal(ErrorCode::RateLimited))?;
        let checked = self.ledger.check(now, limits.daily_budget);
        checked.map_err(refusal(ErrorCode::BudgetExhausted))
    }

    /// Tells a device what became of its question.
    pub(crate) fn tell_outcome(&mut self, device: DeviceId, query: u64, outcome: Outcome) {
        let frame = match outcome {
            Ok(place) => ServerFrame::Done(Done { query, place }),
            Err(Refusal { code, retry_after }) => {
                ServerFrame::Denied(Denied { query, code, retry_after })
            }
        };
        self.tell(device, &frame);
    }

    /// A device gives key packages.
    pub(crate) fn on_publish_keys(
        &mut self,
        now: Millis,
        device: DeviceId,
        said: PublishKeys,
    ) -> Result<(), StorageError> {
        let query = said.query;
        let outcome = match self.admit_query(now, device) {
            Ok(()) => self.publish_keys(device, said)?,
            Err(refusal) => Err(refusal),
        };
        self.tell_outcome(device, query, outcome);
        Ok(())
    }

    fn publish_keys(
        &mut self,
        device: DeviceId,
        said: PublishKeys,
    ) -> Result<Outcome, StorageError> {
        let PublishKeys { packages, last_resort, anew, .. } = said;
        if packages.len() > limits::KEY_PACKAGES_MAX {
            return Ok(Err(ErrorCode::TooMany.into()));
        }
        for Body(package) in packages.iter().chain(&last_resort) {
            match package.len() {
                1..=limits::KEY_PACKAGE_BYTES_MAX => {}
                0 => return Ok(Err(ErrorCode::Malformed.into())),
                _ => return Ok(Err(ErrorCode::TooLarge.into())),
            }
        }
        let Some(slot) = self.device(device).map(|device| device.slot) else { return Ok(Ok(None)) };
        let kept = if anew { None } else { self.key_packages(slot, device)? };
        let mut kept = kept.unwrap_or_default();
        // A device that was not told repeats what it gave.
        for package in packages {
            if !kept.left.contains(&package) {
                kept.left.push(package);
            }
        }
        if kept.left.len() > limits::KEY_PACKAGES_MAX {
            return Ok(Err(ErrorCode::TooMany.into()));
        }
        if let Some(last_resort) = last_resort {
            kept.last_resort = last_resort;
        }
        self.sql.run(
            "INSERT INTO keys (slot, device, remaining, last_resort, packages)
             VALUES (?, ?, ?, ?, ?)
             ON CONFLICT (slot) DO UPDATE SET device = excluded.device,
                remaining = excluded.remaining, last_resort = excluded.last_resort,
                packages = excluded.packages",
            &[
                u64::from(slot).into(),
                device.to_bytes().to_vec().into(),
                (kept.left.len() as u64).into(),
                kept.last_resort.0.into(),
                list(&kept.left).into(),
            ],
        )?;
        Ok(Ok(None))
    }

    /// How many key packages of a device are left, if it ever gave any.
    pub(crate) fn keys_left(
        &self,
        slot: u8,
        device: DeviceId,
    ) -> Result<Option<u64>, StorageError> {
        let query = "SELECT remaining FROM keys WHERE slot = ? AND device = ?";
        let device = device.to_bytes().to_vec();
        let row = self.sql.run(query, &[u64::from(slot).into(), device.into()])?.pop();
        row.map(|row| Columns::of(row).integer()).transpose()
    }

    fn key_packages(
        &self,
        slot: u8,
        device: DeviceId,
    ) -> Result<Option<KeyPackages>, StorageError> {
        let query = "SELECT last_resort, packages FROM keys WHERE slot = ? AND device = ?";
        let device = device.to_bytes().to_vec();
        let row = self.sql.run(query, &[u64::from(slot).into(), device.into()])?.pop();
        let Some(row) = row else { return Ok(None) };
        let mut columns = Columns::of(row);
        let last_resort = Body(columns.blob()?);
        let left = minicbor_serde::from_slice(&columns.blob()?)
            .or(Err(StorageError::Row("key packages")))?;
        Ok(Some(KeyPackages { left, last_resort }))
    }

    /// Takes a key package of a device: the first, or the last-resort one. One row.
    fn take_package(&self, slot: u8, device: DeviceId) -> Result<Option<Body>, StorageError> {
        let Some(mut kept) = self.key_packages(slot, device)? else { return Ok(None) };
        if kept.left.is_empty() {
            return Ok(Some(kept.last_resort).filter(|package| !package.0.is_empty()));
        }
        let taken = kept.left.remove(0);
        self.sql.run(
            "UPDATE keys SET remaining = ?, packages = ? WHERE slot = ?",
            &[(kept.left.len() as u64).into(), list(&kept.left).into(), u64::from(slot).into()],
        )?;
        Ok(Some(taken))
    }

    /// A device appends to the list of devices.
    pub(crate) fn on_enlist(
        &mut self,
        now: Millis,
        device: DeviceId,
        said: Enlist,
    ) -> Result<(), StorageError> {
        let query = said.query;
        let outcome = match self.admit_query(now, device) {
            Ok(()) => self.enlist(now, device, said)?,
            Err(refusal) => Err(refusal),
        };
        self.tell_outcome(device, query, outcome);
        Ok(())
    }

    fn enlist(
        &mut self,
        now: Millis,
        device: DeviceId,
        said: Enlist,
    ) -> Result<Outcome, StorageError> {
        let Enlist { place, entry: Body(entry), anew, .. } = said;
        if entry.len() > limits::DEVICE_LIST_ENTRY_BYTES_MAX {
            return Ok(Err(ErrorCode::TooLarge.into()));
        }
        if entry.is_empty() || place == 0 || anew && place > 1 {
            return Ok(Err(ErrorCode::Malformed.into()));
        }
        // The others would follow a list that they have no key for.
        if anew && !self.is_primary(device) {
            return Ok(Err(ErrorCode::NotPrimary.into()));
        }
        let head = self.device_list_head()?;
        if place <= head {
            let query = "SELECT entry FROM device_list WHERE place = ?";
            let row = self.sql.run(query, &[place.into()])?.pop();
            let known = row.map(|row| Columns::of(row).blob()).transpose()?;
            // A device that was not told repeats what it said.
            if known.as_ref() == Some(&entry) {
                return Ok(Ok(None));
            }
        }
        if anew {
            self.sql.run("DELETE FROM device_list", &[])?;
        } else if place != head + 1 {
            return Ok(Err(ErrorCode::StaleList.into()));
        } else if head >= limits::DEVICE_LIST_MAX as u64 {
            return Ok(Err(ErrorCode::TooMany.into()));
        }
        let statement = "INSERT INTO device_list (place, entry) VALUES (?, ?)";
        self.sql.run(statement, &[place.into(), entry.into()])?;
        self.tell_siblings(now, device);
        Ok(Ok(None))
    }

    /// The other devices of the account are to look at its list.
    fn tell_siblings(&mut self, at: Millis, but: DeviceId) {
        let Some(from) = self.account else { return };
        let others = self.sessions.values().map(|session| session.device);
        let others: Vec<_> = others.filter(|device| *device != but).collect();
        for device in others {
            self.tell(device, &ServerFrame::KeysChanged(KeysChanged { from, at }));
        }
    }

    /// The place of the last entry of the list; 0: it is empty.
    fn device_list_head(&self) -> Result<u64, StorageError> {
        let row = self.sql.run("SELECT count(*) FROM device_list", &[])?.pop();
        row.map_or(Ok(0), |row| Columns::of(row).integer())
    }

    /// A device asks for an account's list, and for key packages.
    pub(crate) fn on_fetch_keys(
        &mut self,
        now: Millis,
        device: DeviceId,
        said: FetchKeys,
    ) -> Result<(), StorageError> {
        let FetchKeys { query, of, after, packages } = said;
        let admitted = self.admit_query(now, device).and_then(|()| self.has_room(of));
        match admitted {
            Err(refusal) => self.tell_outcome(device, query, Err(refusal)),
            Ok(()) if self.account == Some(of) => {
                let keys = self.hand_out(after, packages, Some(device))?;
                self.tell(device, &ServerFrame::Keys(Keys { query, ..keys }));
            }
            Ok(()) => {
                let item = PeerItem::Keys { after, packages };
                self.post(of, LaneItem { item, concern: Concern::Query { device, query } });
            }
        }
        Ok(())
    }

    /// Another mailbox asks for this account's list, and for key packages.
    pub(crate) fn on_peer_keys(
        &mut self,
        after: u64,
        packages: bool,
        found: &mut Vec<Keys>,
    ) -> Result<Verdict, StorageError> {
        let keys = self.others_pay(|mailbox| mailbox.hand_out(after, packages, None))?;
        found.push(keys);
        Ok(Verdict::Delivered)
    }

    /// The list after a place, and a key package of each device but one.
    fn hand_out(
        &mut self,
        after: u64,
        packages: bool,
        except: Option<DeviceId>,
    ) -> Result<Keys, StorageError> {
        let head = self.device_list_head()?;
        let first = after.min(head) + 1;
        let query = "SELECT entry FROM device_list WHERE place >= ? ORDER BY place";
        let rows = self.sql.run(query, &[first.into()])?;
        let entries = rows.into_iter().map(|row| Columns::of(row).blob().map(Body));
        let entries = entries.collect::<Result<_, _>>()?;
        let mut given = Vec::new();
        for device in self.devices.iter().filter(|device| packages && Some(device.id) != except) {
            if let Some(package) = self.take_package(device.slot, device.id)? {
                given.push(Package { device: device.id, package });
            }
        }
        Ok(Keys { query: 0, first, entries, packages: given })
    }

    /// Another mailbox has answered what a device asked, or has not.
    pub(crate) fn on_keys(
        &mut self,
        device: DeviceId,
        query: u64,
        verdict: Option<Verdict>,
        found: Option<Keys>,
    ) {
        if let Some(keys) = found {
            self.ledger.rows_elsewhere(keys.packages.len() as u64);
            return self.tell(device, &ServerFrame::Keys(Keys { query, ..keys }));
        }
        let refusal = match verdict {
            Some(Verdict::Refused { code, retry_after }) => Refusal { code, retry_after },
            _ => Refusal { code: ErrorCode::Unavailable, retry_after: Some(RETRY) },
        };
        self.tell_outcome(device, query, Err(refusal));
    }
}

/// Packages as their column has them. Encoding into memory cannot fail.
fn list(packages: &[Body]) -> Vec<u8> {
    minicbor_serde::to_vec(packages).unwrap_or_default()
}
