//! Messages that this device cannot open, and those of its own that others cannot.
//!
//! Invariants:
//! - a message that cannot be opened is asked for in the transaction that keeps its place;
//! - what is sealed again comes from the account that wrote it, and takes no other's place;
//! - a device answers for what it wrote itself, and tells another device of its account what that one wrote.

use estafette_protocol::{Deliver, Millis, PhoneNumber};

use super::Client;
use crate::content::{Again, Repair, UNREADABLE_MAX, Unreadable};
use crate::{Event, StoreError};

impl Client {
    /// A message was kept that cannot be opened: whoever wrote it is asked for it.
    pub(super) fn is_unreadable(&mut self, deliver: &Deliver, peer: PhoneNumber) {
        // A copy is for another device of this account to give.
        let chat = (deliver.from == self.me.account && peer != deliver.from).then_some(peer);
        self.unreadable.entry((deliver.from, chat)).or_default().push(deliver.id);
    }

    /// Asks for what could not be opened. Within a transaction.
    pub(super) fn ask_again(&mut self) -> Result<(), StoreError> {
        for ((account, chat), ids) in std::mem::take(&mut self.unreadable) {
            let parts = ids
                .chunks(UNREADABLE_MAX)
                .map(|ids| Repair::Unreadable(Unreadable { chat, ids: ids.to_vec() }).to_body());
            let bodies: Vec<_> = parts.collect();
            self.enqueue_hidden(account, &bodies)?;
        }
        Ok(())
    }

    fn enqueue_hidden(&mut self, to: PhoneNumber, bodies: &[Vec<u8>]) -> Result<(), StoreError> {
        if bodies.is_empty() {
            return Ok(());
        }
        let at: Millis = self.clock.age_from();
        let Self { store, me, entropy, .. } = self;
        let queued = store.enqueue((to, true), me.device, bodies, (at, at), || entropy.draw())?;
        self.outbox.add(queued);
        self.has_to_say(to);
        Ok(())
    }

    /// Another device says what people do not see.
    pub(super) fn on_repair(
        &mut self,
        deliver: &Deliver,
        repair: Repair,
    ) -> Result<(), StoreError> {
        let account = deliver.from;
        let is_own = account == self.me.account;
        match repair {
            Repair::Unreadable(Unreadable { chat, ids }) => {
                let chat = chat.filter(|_| is_own);
                let mut bodies = Vec::new();
                for id in ids {
                    let peer = chat.unwrap_or(account);
                    let writers = [self.me.device, deliver.device];
                    let writers = if is_own { &writers[..] } else { &writers[..1] };
                    if let Some(content) = self.store.own_body(peer, id, writers)? {
                        bodies.push(Repair::Again(Again { chat, id, content }).to_body());
                    }
                }
                self.enqueue_hidden(account, &bodies)
            }
            Repair::Again(Again { chat, id, content }) => {
                let chat = chat.filter(|_| is_own);
                let peer = chat.unwrap_or(account);
                let repair = Repair::read(&content);
                let hidden = repair.is_some();
                let filled = self.store.fill_in(peer, chat.is_none(), id, &content, hidden)?;
                match (filled, repair) {
                    (None, _) => Ok(()),
                    (Some(message), None) => {
                        self.tell(Event::Changed(message));
                        Ok(())
                    }
                    (Some(message), Some(repair)) => {
                        self.tell(Event::Vanished { peer, id });
                        let device = message.device;
                        let said = Deliver { device, ..deliver.clone() };
                        if message.incoming { self.on_repair(&said, repair) } else { Ok(()) }
                    }
                }
            }
        }
    }
}
