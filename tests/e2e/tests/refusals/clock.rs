//! A device whose clock is wrong by an hour: the client's core, driven with that clock over a real
//! socket.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use estafette::{Account, Event, MessageId, Millis, Status, Store};
use estafette_core::{Client, Config, Effect, Identity, Input};
use estafette_e2e::{Stage, Wire, number};
use estafette_protocol::Encoding;
use tokio::time::sleep;

const HOUR: i64 = 60 * 60 * 1000;

/// A device with a wrong clock.
struct Device {
    core: Client,
    wire: Wire,
    /// How far its clock is ahead, in milliseconds.
    ahead: i64,
    wake_at: Option<Millis>,
    events: Vec<Event>,
}

fn true_time() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

impl Device {
    async fn connect(stage: &Stage, account: &Account, ahead: i64) -> Self {
        let me = Identity { account: account.number, device: account.device };
        let config = Config { encoding: Encoding::Cbor, ..Config::default() };
        let store = Store::in_memory().unwrap();
        let now = true_time().saturating_add_signed(ahead);
        let random = Box::new(|| fastrand::u64(..));
        let mut core =
            Client::start_with(store, me, &estafette_e2e::secrets(account), config, random, now)
                .unwrap();
        let effects = core.on_input(now, Input::Tick).unwrap();
        assert!(effects.contains(&Effect::Connect), "{effects:?}");
        let wire = Wire::connect(stage, &account.token, config.encoding).await.unwrap();
        let mut device = Self { core, wire, ahead, wake_at: None, events: Vec::new() };
        device.input(Input::Opened).await;
        device
    }

    fn now(&self) -> Millis {
        true_time().saturating_add_signed(self.ahead)
    }

    async fn input(&mut self, input: Input) {
        let effects = self.core.on_input(self.now(), input).unwrap();
        self.perform(effects).await;
    }

    async fn perform(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            match effect {
                Effect::Transmit(message) => self.wire.put(message).await.unwrap(),
                Effect::Event(event) => self.events.push(event),
                Effect::WakeAt(at) => self.wake_at = Some(at),
                Effect::Ping | Effect::Connect | Effect::Disconnect => panic!("{effect:?}"),
            }
        }
    }

    /// What happens next: the server says something, or something is due.
    async fn next(&mut self) -> Input {
        let wait = self.wake_at.map(|at| at.saturating_sub(self.now()));
        tokio::select! {
            message = self.wire.hear_message() => Input::Message(message.unwrap()),
            () = sleep(Duration::from_millis(wait.unwrap_or(u64::MAX / 2))) => {
                self.wake_at = None;
                Input::Tick
            }
        }
    }

    async fn send(&mut self, to: &Account, text: &str) -> MessageId {
        let (id, effects) = self.core.send(self.now(), to.number, text.into()).unwrap();
        self.perform(effects).await;
        id
    }
}

/// Lets both do what is to be done until it is `done`.
async fn until(devices: &mut [Device; 2], done: impl Fn(&[Device; 2]) -> bool) {
    while !done(devices) {
        let [one, other] = devices;
        let (device, input) = tokio::select! {
            input = one.next() => (one, input),
            input = other.next() => (other, input),
        };
        device.input(input).await;
    }
}

#[tokio::test]
async fn an_hour_more_or_less_on_the_device_changes_nothing() {
    let stage = Stage::start(|options| options).unwrap();
    let people =
        [stage.register(number(0)).await.unwrap(), stage.register(number(1)).await.unwrap()];
    for ahead in [HOUR, -HOUR] {
        let began = true_time();
        let mut devices = [
            Device::connect(&stage, &people[0], ahead).await,
            Device::connect(&stage, &people[1], -ahead).await,
        ];
        until(&mut devices, |devices| {
            devices.iter().all(|device| device.events.contains(&Event::Drained))
        })
        .await;
        for turn in 0..4 {
            let (from, to) = (turn % 2, 1 - turn % 2);
            let id = devices[from].send(&people[to], "what time is it?").await;
            let delivered = |event: &Event| matches!(event, Event::Status { id: of, status: Status::Delivered, .. } if *of == id);
            until(&mut devices, |devices| devices[from].events.iter().any(delivered)).await;
            // Both show it with about the time at which it was sent, by the server's clock.
            for (device, peer) in [(from, to), (to, from)] {
                let shown = devices[device].core.history(people[peer].number, 1).unwrap();
                assert_eq!((shown.len(), shown[0].id), (1, id));
                let at = shown[0].at;
                assert!((began - 60_000..=true_time() + 60_000).contains(&at), "{began} {at}");
            }
        }
        until(&mut devices, |devices| {
            devices.iter().all(|device| device.core.pending().is_empty())
        })
        .await;
        for mut device in devices {
            let wrong = |event: &&Event| {
                let connected = !matches!(event, Event::Disconnected { .. });
                let taken = !matches!(event, Event::Failed { .. } | Event::Refused { .. });
                !connected || !taken || matches!(event, Event::Error(_) | Event::Gap { .. })
            };
            assert_eq!(device.events.iter().find(wrong), None);
            let effects = device.core.disconnect(device.now()).unwrap();
            for effect in effects {
                if let Effect::Transmit(message) = effect {
                    device.wire.put(message).await.unwrap();
                }
            }
            device.wire.close().await.unwrap();
        }
    }
}
