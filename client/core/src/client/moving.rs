//! The account moves to another number: whom this device knows is told.
//!
//! Invariant: that they are told of a number is noted in the transaction that queues the messages, so that
//! each is told once, however often the program is stopped and begins again.

use estafette_protocol::{Millis, PhoneNumber};

use super::{Client, ClientError};
use crate::store::Setting;
use crate::{Effect, Moved};

impl Client {
    /// Tells everybody to whom the account has written, or who has a name, and is not blocked, that it moves
    /// to another number. Returns how many they are; none if they were told before.
    ///
    /// # Errors
    /// When too many messages wait to be sent, or the store fails.
    pub fn tell_moved(
        &mut self,
        now: Millis,
        to: PhoneNumber,
    ) -> Result<(usize, Vec<Effect>), ClientError> {
        let digits = to.digits().cast_signed();
        if self.store.setting(Setting::MovedTo)? == Some(digits) {
            return Ok((0, Vec::new()));
        }
        let mut peers = self.store.acquaintances()?;
        peers.retain(|peer| *peer != self.me.account && *peer != to);
        if self.outbox.len() + peers.len() > self.config.outbox_max {
            return Err(ClientError::OutboxFull(self.outbox.len()));
        }
        let body = [Moved { to }.to_body()];
        Ok(self.step(now, |client| {
            let times = (client.clock.corrected(now), client.clock.age_from());
            let Self { store, me, entropy, .. } = client;
            let queued = store.transaction(|| {
                let mut all = Vec::with_capacity(peers.len());
                for peer in &peers {
                    all.extend(
                        store
                            .enqueue((*peer, false), me.device, &body, times, || entropy.draw())?,
                    );
                }
                store.set(Setting::MovedTo, digits)?;
                Ok(all)
            })?;
            client.outbox.add(queued);
            peers.iter().for_each(|peer| client.has_to_say(*peer));
            Ok(peers.len())
        })?)
    }
}
