//! What is said is sealed, what comes in is opened.
//!
//! Invariants:
//! - a message is shown only if the device that sealed it is the one that the server names, and sealed it
//!   under the same id;
//! - what cannot be opened yet waits in the store, and what comes after it in the same conversation waits
//!   behind it; what can never be opened is shown as such, in its place;
//! - a sealed message leaves only after the state that sealed it is in the store.

use estafette_protocol::{ConversationId, Deliver, Millis, Send};

use super::Client;
use super::inbox::Hearing;
use super::outbox::Departing;
use crate::content::Unopened;
use crate::mls::{Leaf, MlsError, OpenError, envelope};
use crate::{Event, StoreError};

impl Client {
    /// Which conversation a delivery belongs to.
    fn conversation_of(&self, deliver: &Deliver) -> ConversationId {
        let peer = self.copied_to(deliver.from, deliver.to).unwrap_or(deliver.from);
        self.conversation_with(peer)
    }

    /// A delivery that was not seen before: it is opened, or waits.
    pub(super) fn take_sealed(
        &mut self,
        now: Millis,
        deliver: Deliver,
        hearing: &mut Hearing,
    ) -> Result<(), StoreError> {
        let id = self.conversation_of(&deliver);
        if !self.store.has_sealed(id)?
            && let Some(content) = self.unseal(now, id, &deliver)?
        {
            return self.show(deliver, content, hearing);
        }
        self.store.keep_sealed(id, &deliver)?;
        self.conversations.is_behind(id);
        Ok(())
    }

    /// What a delivery says; `None`: it cannot be opened yet.
    fn unseal(
        &mut self,
        now: Millis,
        id: ConversationId,
        deliver: &Deliver,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        // A group that is being made or joined opens nothing before the server has taken that.
        if self.store.log_place(id)?.is_none() {
            return Ok(None);
        }
        let claimed = Leaf { account: deliver.from, device: deliver.device };
        let unopened = match self.mls.open(&self.store, id, &deliver.body.0) {
            Ok(opened) if opened.from == claimed && opened.message == deliver.id => {
                let Some((head, content)) = envelope::unseal(&opened.plaintext) else {
                    return Ok(Some(Unopened::Damaged.to_body()));
                };
                self.hears_of_list(now, deliver.from, head);
                return Ok(Some(content));
            }
            Ok(_) | Err(OpenError::Forged | OpenError::Duplicate) => self.forged(deliver),
            Err(OpenError::Store(error)) => return Err(error),
            Err(OpenError::NoGroup | OpenError::FutureEpoch) => return Ok(None),
            Err(OpenError::PastEpoch) => Unopened::NotForThisDevice,
            Err(OpenError::Own) => Unopened::Own,
        };
        Ok(Some(unopened.to_body()))
    }

    /// Opens what waited in a conversation, as far as it can be opened. `whole`: this device has carried out
    /// the whole log, so that what is of a later epoch is of none.
    pub(super) fn open_sealed(
        &mut self,
        now: Millis,
        id: ConversationId,
        whole: bool,
    ) -> Result<(), StoreError> {
        let mut hearing = Hearing::new();
        while let Some(sealed) = self.store.next_sealed(id)? {
            let content = match self.unseal(now, id, &sealed.deliver)? {
                Some(content) => content,
                None if whole => self.forged(&sealed.deliver).to_body(),
                None => break,
            };
            self.store.drop_sealed(sealed.row)?;
            self.show(sealed.deliver, content, &mut hearing)?;
        }
        self.heard(hearing)
    }

    fn forged(&mut self, deliver: &Deliver) -> Unopened {
        self.tell(Event::Forged { from: deliver.from, id: deliver.id });
        Unopened::Damaged
    }

    /// What waited in a conversation can never be opened.
    pub(super) fn give_up_sealed(&mut self, id: ConversationId) -> Result<(), StoreError> {
        let mut hearing = Hearing::new();
        while let Some(sealed) = self.store.next_sealed(id)? {
            self.store.drop_sealed(sealed.row)?;
            self.show(sealed.deliver, Unopened::NotForThisDevice.to_body(), &mut hearing)?;
        }
        self.heard(hearing)
    }

    /// Seals what may leave now.
    pub(super) fn seal_all(&mut self, now: Millis) -> Result<Vec<Send>, StoreError> {
        let mut leaving = Vec::new();
        loop {
            let Self { outbox, conversations, config, entropy, me, .. } = &mut *self;
            let may_seal = |peer| conversations.is_ready(ConversationId::direct(me.account, peer));
            let Some(departing) = outbox.depart(now, may_seal, config, entropy) else { break };
            leaving.push(departing);
        }
        if leaving.is_empty() {
            return Ok(Vec::new());
        }
        self.store.begin()?;
        let mut sends = Vec::with_capacity(leaving.len());
        let sealed = leaving.iter().try_for_each(|departing| {
            sends.extend(self.seal(departing)?);
            Ok(())
        });
        self.store.end(sealed)?;
        Ok(sends)
    }

    /// Seals what is to leave; `None`: it cannot be sealed now, and does not leave.
    fn seal(&mut self, departing: &Departing) -> Result<Option<Send>, StoreError> {
        let Departing { queued, chained, after } = *departing;
        let id = self.conversation_with(queued.peer);
        let content = self.store.body(queued.place)?;
        let plaintext = envelope::seal(self.keyring.head(self.me.account), &content);
        match self.mls.seal(&self.store, id, queued.id, &plaintext) {
            Ok((_, sealed)) => {
                let body = estafette_protocol::Body(sealed);
                Ok(Some(Send { id: queued.id, to: queued.peer, body, chained, after }))
            }
            Err(MlsError::Store(error)) => Err(error),
            Err(_) => {
                self.outbox.held(queued.id);
                self.conversations.look_at(id);
                Ok(None)
            }
        }
    }
}
