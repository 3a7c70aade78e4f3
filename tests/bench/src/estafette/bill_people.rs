//! The bill of what people see of each other, and of a second device.

use anyhow::bail;
use estafette_protocol::{Ack, ClientFrame, Mark, Presence, ServerFrame};

use super::bill::{Limits, counted};
use super::client::{Connection, Letters};
use super::connections;
use super::server::Estafette;
use crate::measure::Measurement;

/// Senders, each with another device and somebody to write to.
const PAIRS: u32 = 4;
const WARM_UP: u32 = 10;
const MESSAGES: u32 = 500;

/// What one message may cost that is copied to a connected device of its sender, and answered before the
/// next is sent: exactly what it takes. A call there and a call back; the message, its
/// acknowledgement, and that of the copy.
const LINKED: Limits = [2.0, 0.0, 3.0];

/// Everybody is there and has the chat with somebody open, who has theirs.
pub(super) async fn chats(server: &Estafette, pairs: u32) -> anyhow::Result<Vec<Connection>> {
    let mut connections = connections::online(server, 0..2 * pairs).await?;
    for (user, connection) in (0..).zip(&mut connections) {
        let peer = if user < pairs { user + pairs } else { user - pairs };
        let watch = vec![server.reach().account(peer)?.number];
        connection.push(ClientFrame::Presence(Presence { available: true, watch }));
        connection.write().await?;
    }
    for connection in &mut connections {
        let mut there = false;
        while !there {
            for frame in connection.read().await? {
                match frame {
                    ServerFrame::Presence(seen) => there = seen.available,
                    other => bail!("who watches got {other:?}"),
                }
            }
        }
    }
    Ok(connections)
}

/// A sender, another device of theirs, and a recipient.
struct Three {
    sender: Connection,
    sibling: Connection,
    recipient: Connection,
    letters: Letters,
}

/// All three are connected, and messages go one at a time. The devices stay linked.
pub(super) async fn linked(server: &Estafette) -> anyhow::Result<Measurement> {
    let senders = connections::online(server, 0..PAIRS).await?;
    let recipients = connections::online(server, PAIRS..2 * PAIRS).await?;
    let mut threes = Vec::new();
    for (user, (sender, recipient)) in (0..).zip(senders.into_iter().zip(recipients)) {
        let sibling = server.link(user).await?;
        let letters = server.letters(user + PAIRS, user)?;
        threes.push(Three { sender, sibling, recipient, letters });
    }
    let threes = converse(threes, 0..WARM_UP).await?;
    let before = server.usage(0..2 * PAIRS).await?;
    let threes = converse(threes, WARM_UP..WARM_UP + MESSAGES).await?;
    let bill = counted(server, &before, 0..2 * PAIRS).await?;
    for three in threes {
        connections::close(vec![three.sender, three.sibling, three.recipient]).await?;
    }
    let mut measured = Measurement::default();
    bill.hold(&mut measured, "message", u64::from(PAIRS * MESSAGES), LINKED);
    Ok(measured)
}

async fn converse(threes: Vec<Three>, numbers: std::ops::Range<u32>) -> anyhow::Result<Vec<Three>> {
    let each = threes.into_iter().map(|mut three| {
        let numbers = numbers.clone();
        async move {
            for number in numbers {
                three.send(number).await?;
            }
            anyhow::Ok(three)
        }
    });
    futures_util::future::try_join_all(each).await
}

impl Three {
    /// One message, until all three have said and heard all that there is to say.
    async fn send(&mut self, number: u32) -> anyhow::Result<()> {
        let Self { sender, sibling, recipient, letters } = self;
        sender.push(letters.next(number));
        sender.write().await?;
        take(recipient).await?;
        follow(sibling).await?;
        hear(sender, 2).await?;
        letters.settle(1);
        Ok(())
    }
}

/// Takes a message, or a copy of one, and says so.
async fn take(device: &mut Connection) -> anyhow::Result<()> {
    for frame in device.read().await? {
        match frame {
            ServerFrame::Deliver(deliver) => {
                device.push(ClientFrame::Ack(Ack { ids: vec![deliver.id] }));
            }
            other => bail!("who is to take a message got {other:?}"),
        }
    }
    device.write().await
}

/// Takes the copy of a message, and hears that it was delivered: in one batch, if the news overtakes the
/// answer.
async fn follow(device: &mut Connection) -> anyhow::Result<()> {
    let (mut copied, mut told) = (false, false);
    while !(copied && told) {
        for frame in device.read().await? {
            match frame {
                ServerFrame::Deliver(deliver) => {
                    device.push(ClientFrame::Ack(Ack { ids: vec![deliver.id] }));
                    device.write().await?;
                    copied = true;
                }
                ServerFrame::Receipt(receipt) if receipt.mark == Mark::Delivered => {
                    device.owe(receipt.id);
                    told = true;
                }
                other => bail!("a sibling got {other:?}"),
            }
        }
    }
    Ok(())
}

/// Hears that it was delivered, and, where two frames are to come, that it was sent.
async fn hear(device: &mut Connection, frames: usize) -> anyhow::Result<()> {
    let mut heard = 0;
    while heard < frames {
        for frame in device.read().await? {
            match frame {
                // Its acknowledgement rides along with what this device says of the next message.
                ServerFrame::Receipt(receipt) if receipt.mark == Mark::Delivered => {
                    device.owe(receipt.id);
                }
                ServerFrame::Sent(_) => {}
                other => bail!("a sender got {other:?}"),
            }
            heard += 1;
        }
    }
    Ok(())
}
