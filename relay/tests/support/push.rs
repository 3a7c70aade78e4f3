//! Push services, played by the test.

use estafette_protocol::http::{PushKeys, PushSubscription};
use estafette_protocol::push::Notification;
use estafette_protocol::*;
use estafette_relay::*;

use super::{ALICE, BOB, World};

/// Where device `device` is pushed to.
pub fn subscription(device: u64) -> PushSubscription {
    PushSubscription {
        endpoint: format!("https://push.example/{device}"),
        keys: PushKeys { p256dh: format!("key {device}"), auth: "secret".into() },
    }
}

/// What a push says to the device that can open it.
pub fn told(push: &Push) -> Notification {
    Notification::from_payload(&push.payload).unwrap()
}

/// ALICE, who sends, and BOB, whose device sleeps and has subscribed.
pub fn asleep() -> World {
    let mut world = World::with(&[ALICE, BOB]);
    world.subscribes(BOB, 1);
    world
}

impl World {
    pub fn subscribes(&mut self, account: u64, device: u64) {
        self.subscribes_to(account, device, subscription(device));
    }

    pub fn subscribes_to(&mut self, account: u64, device: u64, subscription: PushSubscription) {
        let request = AccountRequest::Subscribe { device: DeviceId(device), subscription };
        assert_eq!(self.account(account, request), AccountAnswer::Granted);
    }

    pub fn subscription(&mut self, account: u64, device: u64) -> Option<PushSubscription> {
        let request = AccountRequest::Subscription(DeviceId(device));
        match self.account(account, request) {
            AccountAnswer::Subscription(subscription) => subscription,
            other => panic!("{other:?}"),
        }
    }

    /// What services were handed since the last time, whoever did it.
    pub fn pushes(&mut self) -> Vec<Push> {
        std::mem::take(&mut self.pushes).into_iter().map(|(_, push)| push).collect()
    }

    /// The only one.
    pub fn push(&mut self) -> Push {
        let mut pushes = self.pushes();
        assert_eq!(pushes.len(), 1, "{pushes:?}");
        pushes.remove(0)
    }

    /// A service answers.
    pub fn service_says(&mut self, account: u64, push: &Push, outcome: PushOutcome) {
        let id = push.id;
        let effects = self.step(account, |mailbox, now| mailbox.on_pushed(now, id, outcome));
        self.perform(account, effects.unwrap_or_default());
        self.settle();
    }

    /// A device that sleeps is sent a message.
    pub fn is_sent(&mut self, account: u64, stream: u64, message: u64) {
        let item = PeerItem::Message(PeerMessage {
            id: super::id(stream, message),
            device: DeviceId(1),
            body: Body(format!("{stream}/{message}").into_bytes()),
            chained: false,
            after: None,
        });
        self.calls(ALICE, account, vec![item]);
    }
}
