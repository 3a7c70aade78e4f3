//! Push services, which fail as everything does, and what must hold of pushes: none goes to a device
//! that is connected, and a device that sleeps is pushed to for every message that is said to be stored.

use estafette_protocol::http::{PushKeys, PushSubscription};
use estafette_protocol::{DeviceId, MessageId, Millis, PhoneNumber, limits::PUSH_BURST};
use estafette_relay::{
    AccountRequest, PeerAnswer, PeerItem, PeerRequest, Push, PushId, PushOutcome, Verdict,
};

use crate::Violation;
use crate::network::Event;
use crate::world::World;

/// When a service that does not answer is given up.
const PATIENCE: Millis = 8000;

/// The messages of a call: who is called, by whom, and which of the items they are, each with the
/// device that wrote it.
pub(crate) struct Handed {
    to: usize,
    from: PhoneNumber,
    messages: Vec<(usize, MessageId, DeviceId)>,
}

impl World {
    /// A device says where to push to it.
    pub(crate) fn subscribe(&mut self, device: usize) {
        let me = self.devices[device].me;
        let object = self.by_number[&me.account];
        let keys = PushKeys { p256dh: String::new(), auth: String::new() };
        let endpoint = format!("https://push.example/{}", me.device);
        let subscription = PushSubscription { endpoint, keys };
        let request = AccountRequest::Subscribe { device: me.device, subscription };
        self.step_with(object, |mailbox, now| mailbox.on_account(now, request));
    }

    /// An object hands something to a push service.
    pub(crate) fn push(&mut self, object: usize, push: &Push) {
        self.report.pushes += 1;
        self.pushed.insert((object, push.device), self.now);
        if self.is_connected(object, push.device) {
            let what = format!("{:?} is connected and pushed to", push.device);
            self.violation = Some(Violation::new(self.seed, what));
        }
        let quick = self.now + self.latency();
        let (at, outcome) = if self.chance(self.faults.push) {
            match self.rng.u8(0..8) {
                0 => (quick, PushOutcome::Gone),
                1 => (quick, PushOutcome::Refused),
                2 => (quick, PushOutcome::TooLarge),
                3 => {
                    let retry_after = Some(self.rng.u64(0..120_000));
                    (quick, PushOutcome::Unavailable { retry_after })
                }
                4 => (quick, PushOutcome::Unavailable { retry_after: None }),
                5 => (self.now + PATIENCE, PushOutcome::Unavailable { retry_after: None }),
                // It took its time.
                _ => (self.now + self.rng.u64(0..PATIENCE), PushOutcome::Accepted),
            }
        } else {
            (quick, PushOutcome::Accepted)
        };
        let generation = self.objects[object].generation;
        let (push, device) = (push.id, push.device);
        self.schedule(at, Event::Pushed { object, generation, push, device, outcome });
    }

    /// A push service answers. Whose subscription is over subscribes anew.
    pub(crate) fn service_answers(
        &mut self,
        object: usize,
        push: PushId,
        device: DeviceId,
        outcome: PushOutcome,
    ) {
        self.step(object, |mailbox, now| mailbox.on_pushed(now, push, outcome));
        let device = self.devices.iter().position(|known| known.me.device == device);
        if let (PushOutcome::Gone, Some(device)) = (outcome, device) {
            let at = self.now + self.rng.u64(0..20_000);
            self.schedule(at, Event::Subscribe { device });
        }
    }

    fn is_connected(&self, object: usize, device: DeviceId) -> bool {
        let mut sockets = self.objects[object].sockets.values();
        sockets.any(|&(connection, _)| self.device_of(connection) == device)
    }

    /// The messages of a call that arrives.
    pub(crate) fn handed(&mut self, to: usize, request: &PeerRequest) -> Handed {
        let items = request.items.iter().enumerate();
        let messages = items.filter_map(|(index, item)| match item {
            PeerItem::Message(message) => Some((index, message.id, message.device)),
            _ => None,
        });
        let messages: Vec<_> = messages.collect();
        for &(_, id, _) in &messages {
            self.arrived.entry((to, request.from, id)).or_insert(self.now);
        }
        Handed { to, from: request.from, messages }
    }

    /// A mailbox says of messages that they are stored: whoever sleeps was pushed to since they came,
    /// or shortly before, unless the last push failed.
    pub(crate) fn check_woken(&mut self, handed: &Handed, answer: &PeerAnswer) {
        let clock = self.objects[handed.to].clock(self.now);
        let pushable = self.objects[handed.to].pushable(clock);
        for &(index, id, writer) in &handed.messages {
            if answer.verdicts.get(index) != Some(&Verdict::Stored) {
                continue;
            }
            let came = self.arrived[&(handed.to, handed.from, id)];
            for &device in &pushable {
                // Who wrote a note to oneself has it.
                let has = device == writer
                    || !self.people_wrote.contains(&id)
                    || self.has(device, handed.from, id);
                if has || self.is_connected(handed.to, device) {
                    continue;
                }
                let pushed = self.pushed.get(&(handed.to, device));
                if pushed.is_none_or(|&at| at + PUSH_BURST < came) {
                    let what = format!("{device:?} sleeps and was not pushed to for {id:?}");
                    self.violation = Some(Violation::new(self.seed, what));
                }
            }
        }
    }

    /// Whether a device has a message, or had it before its store was deleted.
    fn has(&self, device: DeviceId, from: PhoneNumber, id: MessageId) -> bool {
        let device = self.devices.iter().find(|known| known.me.device == device);
        device.is_none_or(|device| {
            let mut wiped = device.wiped.iter().flatten();
            device.shown.contains(&(from, id))
                || wiped.any(|message| (message.peer, message.id) == (from, id))
        })
    }

    /// The clock of an object has jumped: for a while it may take a push of long ago for the last.
    pub(crate) fn excuse_pushes(&mut self, object: usize) {
        let devices: Vec<_> = self.devices.iter().map(|device| device.me.device).collect();
        for device in devices {
            self.pushed.insert((object, device), self.now + 2 * PUSH_BURST);
        }
    }
}
