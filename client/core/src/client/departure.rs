//! What leaves: all that one step has to say, in as few batches as possible.

use estafette_protocol::{Ack, BatchWriter, ClientFrame, Encoding, Millis, limits};

use super::Client;
use super::connection::Link;
use crate::clock::Timer;
use crate::{Effect, StoreError};

/// About what a frame takes without its body or ids, and what an id takes.
const FRAME_BYTES: usize = 128;
const ID_BYTES: usize = 36;

impl Client {
    /// Acknowledgements leave with this step.
    pub(super) fn ack_now(&mut self) {
        if !self.acks.is_empty() {
            self.ack_timer = Some(Timer::after(0, 0));
        }
    }

    /// Puts on the wire what may leave.
    pub(super) fn flush(&mut self, now: Millis) -> Result<(), StoreError> {
        if !matches!(self.link, Link::Ready { .. }) {
            return Ok(());
        }
        let mut frames: Vec<_> =
            self.say_presence(now).map(ClientFrame::Presence).into_iter().collect();
        frames.extend(self.typing.depart().map(ClientFrame::ChatState));
        frames.extend(self.queries.depart());
        while let Some(receipt) = self.receipts.depart(now, &self.config, &mut self.entropy) {
            frames.push(ClientFrame::Receipt(receipt));
        }
        frames.extend(self.seal_all(now)?.into_iter().map(ClientFrame::Send));
        let mut batches = Batches::new(self.config.encoding);
        if !frames.is_empty() || self.ack_timer.is_some_and(|timer| timer.is_due(now)) {
            for ids in self.acks.chunks(limits::IDS_MAX) {
                batches.push(&ClientFrame::Ack(Ack { ids: ids.to_vec() }));
            }
            self.acks.clear();
            self.ack_timer = None;
        }
        for frame in &frames {
            batches.push(frame);
        }
        self.effects.extend(batches.finish());
        Ok(())
    }
}

struct Batches {
    encoding: Encoding,
    full: Vec<Effect>,
    open: BatchWriter,
}

impl Batches {
    fn new(encoding: Encoding) -> Self {
        Self { encoding, full: Vec::new(), open: BatchWriter::new(encoding) }
    }

    fn push(&mut self, frame: &ClientFrame) {
        let bytes = FRAME_BYTES
            + match frame {
                ClientFrame::Send(send) => send.body.0.len(),
                ClientFrame::Ack(ack) => ack.ids.len() * ID_BYTES,
                ClientFrame::Receipt(receipt) => receipt.ids.len() * ID_BYTES,
                ClientFrame::Presence(presence) => presence.watch.len() * ID_BYTES,
                ClientFrame::Post(post) => post.body.0.len(),
                ClientFrame::Commit(commit) => {
                    let welcome = commit.welcome.as_ref().map_or(0, |welcome| welcome.0.len());
                    let members = commit.roster.as_ref().map_or(0, |roster| roster.members.len());
                    commit.commit.0.len() + commit.info.0.len() + welcome + members * ID_BYTES
                }
                ClientFrame::PublishKeys(keys) => {
                    let packages = keys.packages.iter().chain(&keys.last_resort);
                    packages.map(|package| package.0.len() + ID_BYTES).sum()
                }
                ClientFrame::Enlist(enlist) => enlist.entry.0.len(),
                ClientFrame::ChatState(_)
                | ClientFrame::Passed(_)
                | ClientFrame::FetchKeys(_)
                | ClientFrame::FetchLog(_)
                | ClientFrame::Leave(_)
                | ClientFrame::Knock(_) => 0,
            };
        if !self.open.has_room(1, bytes) {
            let full = std::mem::replace(&mut self.open, BatchWriter::new(self.encoding));
            self.full.push(Effect::Transmit(full.finish()));
        }
        self.open.push(frame);
    }

    fn finish(mut self) -> Vec<Effect> {
        if self.open.frames() > 0 {
            self.full.push(Effect::Transmit(self.open.finish()));
        }
        self.full
    }
}
