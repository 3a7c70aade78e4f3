//! The way to one other mailbox: at most one call is under way, and what comes meanwhile travels
//! together in the next.

use estafette_protocol::{DeviceId, MessageId, PhoneNumber, limits};

use crate::entry::Position;
use crate::peer::{PeerItem, PeerRequest};

/// Items that may wait for one call; about four bursts of a device.
pub(crate) const LANE_ITEMS_MAX: usize = 512;

/// Whom the fate of an item concerns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Concern {
    /// A device asked for it and repeats it until it is told.
    Device { device: DeviceId, id: MessageId },
    /// These entries are done with once it is told; if it can't be, it is owed.
    Told(Vec<Position>),
    /// It is repeated by the device at the other end.
    Nobody,
    /// It is recorded as owed under this id.
    Owed(u64),
    /// A device asked a question, which it repeats until it is answered.
    Query { device: DeviceId, query: u64 },
    /// Sockets wait for the presence of the other end.
    Watch,
    /// The other end watches, or did.
    Watcher,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LaneItem {
    pub(crate) item: PeerItem,
    pub(crate) concern: Concern,
}

#[derive(Debug, Default)]
pub(crate) struct Lane {
    pub(crate) under_way: Option<Vec<LaneItem>>,
    pub(crate) waiting: Vec<LaneItem>,
}

impl Lane {
    /// Lets an item wait in place of one of its kind, which is out of date.
    pub(crate) fn replace(&mut self, item: LaneItem) {
        let kind = core::mem::discriminant(&item.item);
        self.waiting.retain(|waiting| core::mem::discriminant(&waiting.item) != kind);
        self.waiting.push(item);
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.waiting.is_empty()
    }

    /// The next call, if none is under way and something waits.
    pub(crate) fn depart(&mut self, from: PhoneNumber, to: PhoneNumber) -> Option<PeerRequest> {
        if self.under_way.is_some() || self.waiting.is_empty() {
            return None;
        }
        let mut bytes = 0;
        let fits = self.waiting.iter().take(limits::BATCH_FRAMES_MAX).take_while(|waiting| {
            bytes += PeerRequest::weight(&waiting.item);
            bytes <= limits::BATCH_BYTES_MAX
        });
        let count = fits.count().max(1);
        let rest = self.waiting.split_off(count.min(self.waiting.len()));
        let departing = std::mem::replace(&mut self.waiting, rest);
        let items = departing.iter().map(|departing| departing.item.clone()).collect();
        self.under_way = Some(departing);
        Some(PeerRequest { from, to, items })
    }
}
