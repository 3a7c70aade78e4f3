//! What people do beside writing and reading: they come and go, look at chats, and remove a device.

use estafette_protocol::{Activity, DeviceId};
use estafette_relay::{AccountAnswer, AccountRequest, Sql, Value};

use crate::world::World;

impl World {
    /// A user comes or goes, opens another chat, and may begin to type there.
    pub(crate) fn look(&mut self, device: usize) {
        if self.devices[device].removed {
            return;
        }
        let object = self.rng.usize(0..self.objects.len());
        let peer = self.objects[object].number;
        let open = Some(peer).filter(|_| self.rng.u8(0..3) > 0);
        let available = self.rng.bool();
        let clock = self.devices[device].clock(self.now);
        if self.devices[device].open != open {
            // What is watched no more says nothing any more.
            self.devices[device].seen.clear();
        }
        (self.devices[device].open, self.devices[device].available) = (open, available);
        let asks = self.devices[device].client().set_available(clock, available).unwrap();
        self.obey(device, asks);
        let asks = self.devices[device].client().open_chat(clock, open).unwrap();
        self.obey(device, asks);
        if available {
            let state = Activity::Composing;
            let asks = self.devices[device].client().chat_state(clock, peer, state).unwrap();
            self.obey(device, asks);
        }
    }

    /// The primary device removes a linked one.
    pub(crate) fn remove(&mut self, device: usize) {
        let me = self.devices[device].me;
        let primary = DeviceId(me.account.digits() << 8);
        if me.device == primary || self.devices[device].removed {
            return;
        }
        let object = self.by_number[&me.account];
        let request = AccountRequest::Remove { device: primary, target: me.device };
        self.devices[device].removed = true;
        let answer = self.step_with(object, |mailbox, now| mailbox.on_account(now, request));
        assert!(!matches!(answer, Some(AccountAnswer::Refused { .. })), "{answer:?}");
        if answer.is_none() {
            // It crashed, before or after it was done.
            let query = "SELECT 1 FROM device WHERE device = ?";
            let key = [Value::Blob(me.device.to_bytes().to_vec())];
            let rows = self.objects[object].database().run(query, &key).unwrap();
            self.devices[device].removed = rows.is_empty();
        }
    }
}
