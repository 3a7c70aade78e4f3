//! Who there is, and what the users do.

use estafette_core::Identity;
use estafette_protocol::{DeviceId, Millis, PhoneNumber};
use estafette_relay::{AccountAnswer, AccountRequest, Config};
use fastrand::Rng;

use crate::Violation;
use crate::device::Device;
use crate::faults::Faults;
use crate::network::Event;
use crate::object::Object;
use crate::world::World;

/// Nobody registers here.
const NOBODY: u64 = 33_600_009_999;
/// How long everybody may take to come to rest once nothing fails.
const REST: Millis = 6 * 60 * 60 * 1000;
/// How long nobody says anything then.
const SILENCE: Millis = 60 * 60 * 1000;

impl World {
    /// A world as the seed wants it.
    pub fn new(seed: u64) -> Self {
        let mut rng = Rng::with_seed(seed);
        let faults = if rng.u8(0..8) == 0 { Faults::NONE } else { Faults::draw(&mut rng) };
        let accounts = rng.usize(2..=4);
        let config = Config {
            // Some mailboxes are small, so that they are full at times.
            queue_messages_max: if rng.u8(0..4) == 0 { rng.u64(8..40) } else { 20_000 },
            // Nobody is new: full lanes and queues find more.
            new_account: 0,
            ..Config::default()
        };
        let mut world = Self::empty(seed, rng, faults);
        world.small = config.queue_messages_max < 20_000;
        for account in 0..accounts {
            let devices = if world.rng.u8(0..3) == 0 { world.rng.u64(2..=5) } else { 1 };
            world.settle_in(33_600_000_001 + account as u64, devices, config);
        }
        let nobody = PhoneNumber::from_digits(NOBODY).unwrap();
        world.by_number.insert(nobody, world.objects.len());
        world.objects.push(Object::new(nobody, config));
        world
    }

    fn settle_in(&mut self, digits: u64, devices: u64, config: Config) {
        let number = PhoneNumber::from_digits(digits).unwrap();
        let mut object = Object::new(number, config);
        let hash = [1; 32];
        let register = AccountRequest::Register {
            number,
            hash,
            device: DeviceId(digits << 8),
            name: "first".into(),
            identity_key: [2; 32],
            pin: None,
        };
        for request in [AccountRequest::Code { hash }, register] {
            let answer = object.step(self.now, 1, crate::object::Fate::Done, |mailbox, now| {
                mailbox.on_account(now, request)
            });
            assert!(!matches!(answer, Ok((AccountAnswer::Refused { .. }, _)) | Err(_)));
        }
        for slot in 1..devices {
            let link = AccountRequest::Link {
                device: DeviceId(digits << 8),
                target: DeviceId((digits << 8) + slot),
                name: "linked".into(),
                identity_key: [2; 32],
            };
            let linked = object.step(self.now, 1, crate::object::Fate::Done, |mailbox, now| {
                mailbox.on_account(now, link)
            });
            assert!(matches!(linked, Ok((AccountAnswer::Granted, _))));
        }
        self.by_number.insert(number, self.objects.len());
        self.objects.push(object);
        for slot in 0..devices {
            let me = Identity { account: number, device: DeviceId((digits << 8) + slot) };
            let seed = self.rng.u64(..);
            self.devices.push(Device::new(me, seed, self.now));
        }
    }

    /// The first part of a run: people write and read, and much goes wrong.
    pub(crate) fn misbehave(&mut self) {
        let length = self.rng.u64(5_000..60_000);
        let end = self.now + length;
        for device in 0..self.devices.len() {
            self.device_input(device, estafette_core::Input::Tick);
            if self.rng.u8(0..4) > 0 {
                let at = self.now + self.rng.u64(0..2000);
                self.schedule(at, Event::Subscribe { device });
            }
            for _ in 0..self.rng.u64(0..30) {
                let at = self.now + self.rng.u64(0..length);
                self.schedule(at, Event::Write { device });
            }
            for _ in 0..self.rng.u64(0..6) {
                let at = self.now + self.rng.u64(0..length);
                self.schedule(at, Event::Read { device });
            }
            for _ in 0..self.rng.u64(0..4) {
                let at = self.now + self.rng.u64(0..length);
                self.schedule(at, Event::Look { device });
            }
        }
        self.schedule(self.now + 1000, Event::Outage);
        while self.advance(end) {}
    }

    /// The second part: nothing fails, every socket is cut once, and everybody comes to rest.
    pub(crate) fn heal(&mut self) -> Result<(), Violation> {
        self.faults = Faults::NONE;
        for device in 0..self.devices.len() {
            self.cut(device);
        }
        let cut = self.now + 40_000;
        while self.advance(cut) {}
        let end = self.now + REST;
        let mut steps = 0_u64;
        while self.violation.is_none() && !(steps.is_multiple_of(16) && self.is_quiet()) {
            steps += 1;
            if !self.advance(end) && self.violation.is_none() {
                let what = format!("no rest after six hours: {}", self.unrest());
                return Err(Violation::new(self.seed, what));
            }
        }
        self.report.time = self.now - 1_800_000_000_000;
        self.violation.take().map_or(Ok(()), Err)
    }

    /// Everybody is connected and silent: nothing wakes a mailbox but an alarm that is left over.
    pub(crate) fn idle(&mut self) -> Result<(), Violation> {
        let woken = self.woken;
        let end = self.now + SILENCE;
        while self.advance(end) {}
        if self.woken > woken {
            let what = format!("{} steps in an hour of silence", self.woken - woken);
            return Err(Violation::new(self.seed, what));
        }
        Ok(())
    }

    fn unrest(&mut self) -> String {
        let devices = self.devices.iter().map(|device| device.reader().pending());
        let devices: Vec<_> = devices.collect();
        let objects = self.objects.iter_mut().filter(|object| !object.is_empty());
        let objects: Vec<_> = objects.map(Object::contents).collect();
        format!("devices {devices:?}, objects {objects:?}")
    }

    /// A user writes one message, or several at once.
    pub(crate) fn write(&mut self, device: usize) {
        if self.devices[device].removed {
            return;
        }
        let own = self.devices[device].me;
        let burst = if self.rng.u8(0..6) == 0 { self.rng.u64(2..25) } else { 1 };
        let object = self.rng.usize(0..self.objects.len());
        let to = self.objects[object].number;
        for _ in 0..burst {
            self.report.written += 1;
            let body = format!("{} from {:?}", self.report.written, own.device).into_bytes();
            self.devices[device].bodies.insert(body.clone(), to);
            let clock = self.devices[device].clock(self.now);
            let (id, asks) = self.devices[device].client().send(clock, to, body).unwrap();
            self.people_wrote.insert(id);
            self.obey(device, asks);
        }
    }

    /// A user reads a chat to its end.
    pub(crate) fn read(&mut self, device: usize) {
        if self.devices[device].removed {
            return;
        }
        let clock = self.devices[device].clock(self.now);
        let client = self.devices[device].client();
        let mut last = Vec::new();
        for chat in client.chats().unwrap() {
            let history = client.history(chat.peer, 1000).unwrap();
            let incoming = history.iter().rev().find(|message| message.incoming);
            last.extend(incoming.map(|message| (chat.peer, message.id)));
        }
        for (peer, through) in last {
            let asks = self.devices[device].client().read(clock, peer, through).unwrap();
            self.obey(device, asks);
        }
    }
}
