//! What waits in a mailbox, without its body: enough to know who must have it, and who must be told.

use estafette_protocol::{DeviceId, MessageId, Millis, PhoneNumber, ServerFrame};
use serde::{Deserialize, Serialize};

/// The place of an item in the mailbox. Grows; never used for two items while a device that may
/// have seen the first is connected.
pub(crate) type Position = u64;

/// A set of devices, one bit for each slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Slots(u8);

impl Slots {
    pub(crate) fn insert(&mut self, slot: u8) {
        self.0 |= 1 << slot;
    }

    pub(crate) fn remove(&mut self, slot: u8) {
        self.0 &= !(1 << slot);
    }

    pub(crate) fn contains(self, slot: u8) -> bool {
        self.0 & (1 << slot) != 0
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// As a column has it: slot 0 is the lowest bit.
    pub(crate) fn bits(self) -> u64 {
        self.0.into()
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits as u8)
    }

    pub(crate) fn with(self, others: Self) -> Self {
        Self(self.0 | others.0)
    }
}

/// What a page says of each of its items, beside the frame itself. Stored as CBOR.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct StoredEntry {
    /// The distance to the position of the page.
    pub(crate) offset: u64,
    pub(crate) id: MessageId,
    pub(crate) from: PhoneNumber,
    /// The device that sent it; none for a receipt or a copy.
    pub(crate) device: Option<DeviceId>,
    /// The slot of the device that made what this is a copy of, and that needs none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) except: Option<u8>,
}

/// Where the frame of an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// In memory, and on the sockets of all devices. To be committed at `until`.
    Held {
        frame: ServerFrame,
        until: Millis,
        /// The device that repeats this receipt, or what this is a copy of, until it hears that it is safe.
        repeats: Option<DeviceId>,
    },
    /// In the page at this position.
    Page(Position),
}

/// One item that at least one device has not acknowledged, or of which the sender was not told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) id: MessageId,
    pub(crate) from: PhoneNumber,
    /// The device that sent it; none for a receipt or a copy, of which nobody is told.
    pub(crate) device: Option<DeviceId>,
    /// As in [`StoredEntry`].
    pub(crate) except: Option<u8>,
    pub(crate) waiting: Slots,
    /// The sender's mailbox is being told that a device has it.
    pub(crate) telling: bool,
    /// It knows, or is owed to know.
    pub(crate) told: bool,
    pub(crate) place: Place,
}

impl Entry {
    /// Nothing is left to do for it.
    pub(crate) fn is_done(&self) -> bool {
        self.waiting.is_empty() && (self.told || self.device.is_none())
    }
}
