//! Somebody who has no business here, or asks for too much. What they try is refused, or it is a
//! violation; that it changes nothing, the checks at the end show.

use estafette_protocol::{Body, ClientFrame, Encoding, MessageId, Send, limits};
use estafette_relay::Connect;

use crate::Violation;
use crate::network::Event;
use crate::world::World;

impl World {
    /// A device asks for a socket of an account that is not its own.
    pub(crate) fn intrude(&mut self, device: usize, object: usize) {
        let device = self.devices[device].me;
        let account = self.objects[object].number;
        if device.account == account {
            return;
        }
        // Once by the number in its token, once as if the token were of this account.
        for account in [device.account, account] {
            let connect = Connect { account, device: device.device, encoding: Encoding::Cbor };
            let opened = self.step_with(object, |mailbox, now| {
                let opened = mailbox.on_connect(now, connect)?;
                Ok((opened.is_ok(), Vec::new()))
            });
            if opened == Some(true) {
                let what = format!("{:?} got a socket of {account}", device.device);
                self.violation = Some(Violation::new(self.seed, what));
            }
        }
    }

    /// A device sends more than a body may have, as no honest one does.
    pub(crate) fn overstep(&mut self, device: usize, object: usize) {
        let Some(connection) = self.devices[device].connection else { return };
        let send = ClientFrame::Send(Send {
            id: MessageId { stream: self.rng.u64(..), number: 1 },
            to: self.objects[object].number,
            body: Body(vec![b'x'; limits::BODY_BYTES_MAX + 1]),
            chained: false,
            after: None,
        });
        let message = Encoding::Cbor.encode(&[send]);
        self.carry_up(connection, Event::Up { connection, message });
    }
}
