//! Collects what one step puts on each socket, so that it leaves as few batches as possible.

use estafette_protocol::{
    BatchWriter, Body, Encoding, Entry, ServerFrame, StoredFrame, frames_from_cbor,
};
use litemap::LiteMap;

use crate::effect::{Effect, SocketId};
use crate::sql::StorageError;

/// About what a frame without a body takes; a body is counted apart.
const FRAME_BYTES: usize = 128;

#[derive(Debug, Default)]
pub(crate) struct Outgoing {
    full: Vec<Effect>,
    open: LiteMap<SocketId, (Encoding, BatchWriter)>,
}

impl Outgoing {
    pub(crate) fn push(&mut self, socket: SocketId, encoding: Encoding, frame: &ServerFrame) {
        let bytes = match frame {
            ServerFrame::Deliver(deliver) => deliver.body.0.len(),
            ServerFrame::Receipt(receipt) => receipt.ids.len() * 36,
            ServerFrame::Sent(sent) => sent.ids.len() * 36,
            ServerFrame::Refused(refused) => refused.ids.len() * 36,
            ServerFrame::News(news) => news.conversations.len() * 36,
            ServerFrame::Posted(posted) => posted.entries.iter().map(entry_bytes).sum(),
            ServerFrame::Log(log) => {
                let state = log.state.as_ref().map_or(0, |state| {
                    let welcome = state.welcome.as_ref().map(|welcome| &welcome.welcome);
                    length(Some(&state.info)) + length(welcome)
                });
                let members = log.roster.as_ref().map_or(0, |roster| roster.members.len());
                state + members * 48 + log.entries.iter().map(entry_bytes).sum::<usize>()
            }
            ServerFrame::Keys(keys) => {
                let packages = keys.packages.iter().map(|package| &package.package);
                keys.entries.iter().chain(packages).map(|body| length(Some(body)) + 48).sum()
            }
            _ => 0,
        };
        self.batch(socket, encoding, 1, bytes + FRAME_BYTES).push(frame);
    }

    /// Puts frames as a page has them on a socket, unread where its encoding is the page's.
    pub(crate) fn push_stored(
        &mut self,
        socket: SocketId,
        encoding: Encoding,
        count: usize,
        frames: &[u8],
    ) -> Result<(), StorageError> {
        match encoding {
            Encoding::Cbor => {
                self.batch(socket, encoding, count, frames.len()).push_cbor(count, frames);
            }
            Encoding::Json => {
                for frame in read_frames(count, frames)? {
                    self.push(socket, encoding, &frame);
                }
            }
        }
        Ok(())
    }

    fn batch(
        &mut self,
        socket: SocketId,
        encoding: Encoding,
        frames: usize,
        bytes: usize,
    ) -> &mut BatchWriter {
        let (_, batch) =
            self.open.entry(socket).or_insert_with(|| (encoding, BatchWriter::new(encoding)));
        // The longest log takes less than a batch, but not by the estimate.
        if batch.frames() > 0 && !batch.has_room(frames, bytes) {
            let full = std::mem::replace(batch, BatchWriter::new(encoding));
            self.full.push(Effect::Send { socket, message: full.finish() });
        }
        batch
    }

    /// Ends the batch of one socket, which is about to be closed.
    pub(crate) fn flush(&mut self, socket: SocketId, effects: &mut Vec<Effect>) {
        effects.append(&mut self.full);
        if let Some((_, batch)) = self.open.remove(&socket) {
            effects.push(Effect::Send { socket, message: batch.finish() });
        }
    }

    pub(crate) fn drain(&mut self, effects: &mut Vec<Effect>) {
        effects.append(&mut self.full);
        let open = std::mem::take(&mut self.open);
        let batches = open.into_iter().filter(|(_, (_, batch))| batch.frames() > 0);
        effects.extend(
            batches.map(|(socket, (_, batch))| Effect::Send { socket, message: batch.finish() }),
        );
    }
}

fn length(body: Option<&Body>) -> usize {
    body.map_or(0, |body| body.0.len())
}

/// About what an entry of a log takes.
pub(crate) fn entry_bytes(entry: &Entry) -> usize {
    let message = entry.message.as_ref().map(|message| &message.body);
    length(message) + length(entry.commit.as_ref()) + FRAME_BYTES
}

pub(crate) fn read_frames(count: usize, frames: &[u8]) -> Result<Vec<ServerFrame>, StorageError> {
    let frames: Option<Vec<StoredFrame>> = frames_from_cbor(count, frames);
    let frames = frames.ok_or(StorageError::Row("the frames of a page"))?;
    Ok(frames.into_iter().map(ServerFrame::from).collect())
}
