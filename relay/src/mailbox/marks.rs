//! News from conversations: who is told at once, and who is to look into a log later.
//!
//! Invariants:
//! - what a conversation tells is on the way to nobody before the conversation is marked for every device of
//!   the account: a row says "look there", with a bit for each slot. A device that comes is told of its
//!   marks, so what was lost on the way is found;
//! - a bit goes only when the device has looked and found nothing, and no news came meanwhile;
//! - a conversation with an account that is blocked is answered as one whose other side is away, and nothing
//!   is written.
//!
//! A mark that is set is not set again, so that who is there costs a row for each coming and conversation,
//! and who is away a row for each absence. Rows are read when they are needed first.
//!
//! The answer to somebody blocked takes less time than one that is written. Nobody waits for it but the
//! conversation, which has answered whoever wrote to it before it calls.

use estafette_protocol::{
    ConversationId, DeviceId, Entry, Millis, News, Passed, PhoneNumber, Posted, ServerFrame, limits,
};
use litemap::LiteMap;

use super::Mailbox;
use crate::conversation::call::{NewsAnswer, NewsRequest};
use crate::effect::{Effect, SocketId};
use crate::entry::Slots;
use crate::outgoing::entry_bytes;
use crate::sql::{Columns, Sql, StorageError};

/// Places that are remembered, 40 bytes each.
const PASSED_MAX: usize = 2048;
/// Conversations of which it is remembered on a socket how far they were put on it.
const POSTED_MAX: usize = 256;

/// What is known of conversations that have news.
#[derive(Debug, Default)]
pub(crate) struct Marks {
    /// The rows of `mark`, once they were read.
    rows: Option<LiteMap<ConversationId, Slots>>,
    /// How far devices have said to be. Lost with the object: then it is not known.
    passed: LiteMap<(ConversationId, DeviceId), u64>,
    /// Where the last news was that is worth a push.
    newest: Option<ConversationId>,
}

impl Marks {
    /// A device is gone, and the rows were changed for it.
    pub(crate) fn forget(&mut self, device: DeviceId) {
        self.rows = None;
        self.passed.retain(|&(_, known), _| known != device);
    }
}

impl<S: Sql> Mailbox<S> {
    /// A conversation calls: this is new.
    pub fn on_news(
        &mut self,
        now: Millis,
        request: NewsRequest,
    ) -> Result<(NewsAnswer, Vec<Effect>), StorageError> {
        self.ledger.request(now, false);
        let answer = self.take_news(now, request)?;
        Ok((answer, self.finish(now)?))
    }

    fn take_news(&mut self, now: Millis, request: NewsRequest) -> Result<NewsAnswer, StorageError> {
        let NewsRequest { conversation, to, entries, wake } = request;
        let away = NewsAnswer { live: false, passed: 0, gone: false };
        if self.account != Some(to) {
            return Ok(NewsAnswer { gone: true, ..away });
        }
        self.lapse(now)?;
        if let Some((one, other)) = conversation.parties()
            && self.is_blocked(if one == to { other } else { one })?
        {
            return Ok(away);
        }
        let is_marked = self.mark(conversation)?;
        if let Some(lane) = self.conversations.get_mut(&conversation) {
            lane.disturb();
        }
        self.put_entries(conversation, to, entries);
        if wake {
            self.marks.newest = Some(conversation);
            self.wake_sleepers(now)?;
        }
        // Where there is no room for a mark, whoever calls must call again.
        let live = !self.sessions.is_empty() || !is_marked;
        Ok(NewsAnswer { live, passed: self.passed_by_all(conversation), gone: false })
    }

    /// Puts entries on the sockets that are open. Who is too far behind for that looks into the log.
    fn put_entries(
        &mut self,
        conversation: ConversationId,
        account: PhoneNumber,
        entries: Vec<Entry>,
    ) {
        let sockets: Vec<SocketId> = self.sessions.keys().copied().collect();
        if sockets.is_empty() {
            return;
        }
        for &socket in &sockets {
            let Some(session) = self.sessions.get_mut(&socket) else { continue };
            let foreign = |entry: &&Entry| {
                entry.message.is_some() && (entry.from, entry.device) != (account, session.device)
            };
            let Some(last) = entries.iter().rev().find(foreign) else { continue };
            if session.posted.len() < POSTED_MAX || session.posted.contains_key(&conversation) {
                session.posted.insert(conversation, last.place);
            }
            if !std::mem::replace(&mut session.behind, true) {
                self.remember(socket);
            }
        }
        if entries.is_empty() {
            let news = ServerFrame::News(News { conversations: vec![conversation] });
            return self.tell_all(&news);
        }
        let mut rest = entries.into_iter().peekable();
        while rest.peek().is_some() {
            let (mut part, mut bytes) = (Vec::new(), 0);
            while let Some(entry) = rest.next_if(|entry| {
                let fits = bytes + entry_bytes(entry) <= limits::LOG_PAGE_BYTES_MAX;
                part.is_empty() || fits && part.len() < limits::LOG_PAGE_MAX
            }) {
                bytes += entry_bytes(&entry);
                part.push(entry);
            }
            self.tell_all(&ServerFrame::Posted(Posted { conversation, entries: part }));
        }
    }

    /// Up to where all devices of the account have a log, as far as is known.
    fn passed_by_all(&self, conversation: ConversationId) -> u64 {
        let places = self.devices.iter().map(|device| {
            let place = self.marks.passed.get(&(conversation, device.id));
            place.copied().unwrap_or(0)
        });
        places.min().unwrap_or(0)
    }

    /// A device says how far it has a log.
    pub(crate) fn on_passed(&mut self, socket: SocketId, device: DeviceId, said: Passed) {
        let Passed { conversation, place } = said;
        if self.marks.passed.len() >= PASSED_MAX {
            self.marks.passed.clear();
        }
        self.marks.passed.insert((conversation, device), place);
        let Some(session) = self.sessions.get_mut(&socket) else { return };
        if session.posted.get(&conversation).is_some_and(|&posted| posted <= place) {
            session.posted.remove(&conversation);
        }
        if session.behind && session.posted.is_empty() {
            session.behind = false;
            self.remember(socket);
        }
    }

    // The rows.

    fn marked(&mut self) -> Result<&mut LiteMap<ConversationId, Slots>, StorageError> {
        if self.marks.rows.is_none() {
            let mut rows = LiteMap::new();
            let query = "SELECT conversation, slots FROM mark ORDER BY conversation";
            for row in self.sql.run(query, &[])? {
                let mut columns = Columns::of(row);
                let conversation = ConversationId::from_bytes(columns.array()?);
                rows.insert(conversation, Slots::from_bits(columns.integer()?));
            }
            self.marks.rows = Some(rows);
        }
        Ok(self.marks.rows.get_or_insert_default())
    }

    /// Marks a conversation for all devices: a row, unless it is marked. Whether it is.
    fn mark(&mut self, conversation: ConversationId) -> Result<bool, StorageError> {
        let mut wanted = self.slots();
        if wanted.is_empty() {
            // For the next device that there will be.
            wanted.insert(0);
        }
        let rows = self.marked()?;
        let known = rows.get(&conversation).copied();
        let slots = known.unwrap_or_default().with(wanted);
        if known == Some(slots) {
            return Ok(true);
        }
        if known.is_none() && rows.len() >= limits::GROUPS_MAX {
            return Ok(false);
        }
        rows.insert(conversation, slots);
        let row = [conversation.to_bytes().to_vec().into(), slots.bits().into()];
        self.others_pay(|mailbox| {
            let statement = "INSERT INTO mark (conversation, slots) VALUES (?, ?)
                 ON CONFLICT (conversation) DO UPDATE SET slots = excluded.slots";
            mailbox.sql.run(statement, &row).map(drop)
        })?;
        Ok(true)
    }

    /// A device has looked and found nothing: a row, if it was marked for it.
    pub(crate) fn unmark(
        &mut self,
        conversation: ConversationId,
        device: DeviceId,
    ) -> Result<(), StorageError> {
        let Some(slot) = self.device(device).map(|device| device.slot) else { return Ok(()) };
        let rows = self.marked()?;
        let Some(slots) = rows.get_mut(&conversation).filter(|slots| slots.contains(slot)) else {
            return Ok(());
        };
        slots.remove(slot);
        let left = *slots;
        if left.is_empty() {
            rows.remove(&conversation);
        }
        let id = conversation.to_bytes().to_vec();
        self.others_pay(|mailbox| {
            let done = if left.is_empty() {
                mailbox.sql.run("DELETE FROM mark WHERE conversation = ?", &[id.into()])
            } else {
                let statement = "UPDATE mark SET slots = ? WHERE conversation = ?";
                mailbox.sql.run(statement, &[left.bits().into(), id.into()])
            };
            done.map(drop)
        })
    }

    /// The conversations that a device is to look into.
    pub(crate) fn marked_for(&mut self, slot: u8) -> Result<Vec<ConversationId>, StorageError> {
        let rows = self.marked()?.iter().filter(|(_, slots)| slots.contains(slot));
        Ok(rows.map(|(&conversation, _)| conversation).collect())
    }

    /// Where a sleeping device is told that there is news, if there is any.
    pub(crate) fn newest_marked_for(
        &mut self,
        slot: u8,
    ) -> Result<Option<ConversationId>, StorageError> {
        let newest = self.marks.newest;
        let rows = self.marked_for(slot)?;
        Ok(newest.filter(|newest| rows.contains(newest)).or(rows.last().copied()))
    }
}
