//! Conversations, played by the test: answers that it makes up, or a small one that keeps a log, tells its
//! members, and remembers who is away.

use std::collections::{BTreeMap, BTreeSet};

use estafette_protocol::*;
use estafette_relay::*;

use super::{World, number};

/// A group of the test's.
pub fn group(name: u128) -> ConversationId {
    ConversationId::group(name)
}

pub fn post(conversation: ConversationId, id: MessageId, chained: bool) -> ClientFrame {
    let body = Body(format!("{}/{}", id.stream, id.number).into_bytes());
    ClientFrame::Post(Post { id, conversation, epoch: 1, body, chained, after: None })
}

pub fn look(query: u64, conversation: ConversationId, after: Option<u64>) -> ClientFrame {
    ClientFrame::FetchLog(FetchLog { query, conversation, after, before: None })
}

pub fn passed(conversation: ConversationId, place: u64) -> ClientFrame {
    ClientFrame::Passed(Passed { conversation, place })
}

/// An entry with a message.
pub fn entry(place: u64, from: u64, device: u64) -> Entry {
    let message = EntryMessage { id: super::id(from, place), body: Body(vec![7; 8]), after: None };
    Entry {
        place,
        from: number(from),
        device: DeviceId(device),
        at: super::NOON,
        epoch: 1,
        message: Some(message),
        commit: None,
        account: None,
    }
}

/// A log that has nothing but a head.
pub fn empty_log(conversation: ConversationId, head: u64) -> Log {
    Log { query: 0, conversation, entries: vec![], head, epoch: 1, roster: None, state: None }
}

/// What a device was told of its questions, and of logs.
pub fn outcomes(frames: &[ServerFrame]) -> Vec<(u64, Result<Option<u64>, ErrorCode>)> {
    let outcomes = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Done(done) => Some((done.query, Ok(done.place))),
        ServerFrame::Denied(denied) => Some((denied.query, Err(denied.code))),
        _ => None,
    });
    outcomes.collect()
}

/// The places of the entries that were put on a socket.
pub fn posted(frames: &[ServerFrame]) -> Vec<u64> {
    let posted = frames.iter().filter_map(|frame| match frame {
        ServerFrame::Posted(posted) => Some(posted.entries.iter().map(|entry| entry.place)),
        _ => None,
    });
    posted.flatten().collect()
}

/// The conversations that a device is to look into.
pub fn news(frames: &[ServerFrame]) -> Vec<ConversationId> {
    let news = frames.iter().filter_map(|frame| match frame {
        ServerFrame::News(news) => Some(news.conversations.clone()),
        _ => None,
    });
    news.flatten().collect()
}

/// A conversation with a log and members. What it decides is decided elsewhere; here it only keeps the rules
/// that mailboxes count on.
#[derive(Default)]
pub struct Toy {
    pub log: Vec<Entry>,
    /// How far each member's mailbox was told.
    pub told: BTreeMap<u64, u64>,
    /// Who answered that nobody is connected.
    pub away: BTreeSet<u64>,
    /// Up to where members said that all their devices are.
    pub passed: BTreeMap<u64, u64>,
}

impl Toy {
    fn asked(&mut self, from: u64, item: ConversationItem, at: Millis) -> Outcome {
        let ConversationItem { device, ask } = item;
        let place = self.log.len() as u64 + 1;
        let of = |entry: &&Entry, id| entry.message.as_ref().is_some_and(|one| one.id == id);
        match ask {
            Ask::Post { id, epoch, body, after, .. } => {
                if let Some(entry) = self.log.iter().find(|entry| of(entry, id)) {
                    return Outcome::Done(entry.place);
                }
                let message = Some(EntryMessage { id, body, after });
                let from = number(from);
                let (commit, account) = (None, None);
                self.log.push(Entry { place, from, device, at, epoch, message, commit, account });
                Outcome::Done(place)
            }
            Ask::Fetch { after, .. } => {
                self.away.remove(&from);
                let after = after.unwrap_or(0);
                let entries = self.log.iter().filter(|entry| entry.place > after).cloned();
                let entries = entries.take(2).collect();
                let (conversation, head) = (group(1), self.log.len() as u64);
                Outcome::Log(Box::new(Log { entries, ..empty_log(conversation, head) }))
            }
            _ => Outcome::Done(0),
        }
    }
}

impl World {
    /// What mailboxes have asked of conversations that are not the test's own, since the last time.
    pub fn asked(&mut self) -> Vec<ConversationRequest> {
        std::mem::take(&mut self.asked).into_iter().map(|(_, request)| request).collect()
    }

    /// A conversation answers, or does not.
    pub fn conversed(
        &mut self,
        account: u64,
        conversation: ConversationId,
        outcomes: Option<Vec<Outcome>>,
    ) {
        let at = self.now;
        let answer = outcomes.map(|outcomes| ConversationAnswer { outcomes, at });
        let effects =
            self.step(account, |mailbox, now| mailbox.on_conversed(now, conversation, answer));
        self.perform(account, effects.unwrap_or_default());
        self.settle();
    }

    /// A conversation tells a mailbox what is new.
    pub fn told(
        &mut self,
        to: u64,
        conversation: ConversationId,
        entries: Vec<Entry>,
        wake: bool,
    ) -> Option<NewsAnswer> {
        let request = NewsRequest { conversation, to: number(to), entries, wake };
        let request = NewsRequest::decode(&request.encode()).unwrap();
        let (answer, effects) = self.step(to, |mailbox, now| mailbox.on_news(now, request))?;
        self.perform(to, effects);
        NewsAnswer::decode(&answer.encode())
    }

    /// Lets one call to a conversation of the test's own arrive. Whether there was one.
    pub fn converse(&mut self) -> bool {
        let own = |(_, request): &(u64, ConversationRequest)| {
            self.conversations.contains_key(&request.conversation)
        };
        let Some(at) = self.asked.iter().position(own) else { return false };
        let (from, request) = self.asked.remove(at).unwrap();
        self.called += 1;
        let request = ConversationRequest::decode(&request.encode()).unwrap();
        let (conversation, now) = (request.conversation, self.now);
        let lost = self.loses.filter(|&(call, _)| call == self.called);
        let toy = self.conversations.get_mut(&conversation).unwrap();
        let mut outcomes = None;
        if !matches!(lost, Some((_, false))) {
            let items = request.items.into_iter();
            outcomes = Some(items.map(|item| toy.asked(from, item, now)).collect());
        }
        if lost.is_some() {
            outcomes = None;
        }
        let answer = outcomes.map(|outcomes| ConversationAnswer { outcomes, at: now });
        let effects =
            self.step(from, |mailbox, now| mailbox.on_conversed(now, conversation, answer));
        self.perform(from, effects.unwrap_or_default());
        self.fan_out(conversation);
        true
    }

    /// The conversation tells its members what is new, once more where that failed.
    pub fn fan_out(&mut self, conversation: ConversationId) {
        let members: Vec<u64> = self.conversations[&conversation].told.keys().copied().collect();
        for member in members {
            for _ in 0..2 {
                let toy = &self.conversations[&conversation];
                let after = toy.told[&member];
                let entries: Vec<_> =
                    toy.log.iter().filter(|entry| entry.place > after).cloned().collect();
                let Some(last) = entries.last().map(|entry| entry.place) else { break };
                if toy.away.contains(&member) {
                    break;
                }
                self.called += 1;
                let lost = self.loses.filter(|&(call, _)| call == self.called);
                let answer = match lost {
                    Some((_, false)) => None,
                    _ => self.told(member, conversation, entries, true),
                };
                let Some(answer) = answer.filter(|_| lost.is_none()) else { continue };
                let toy = self.conversations.get_mut(&conversation).unwrap();
                toy.told.insert(member, last);
                toy.passed.insert(member, answer.passed);
                if !answer.live {
                    toy.away.insert(member);
                }
                break;
            }
        }
    }
}
