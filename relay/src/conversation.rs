//! The decisions about one conversation: whose commit came first, what its log holds, and who is told.
//!
//! Invariants:
//! - of the commits for an epoch one is taken, the first that comes. Epochs and places only grow;
//! - who is not in the roster, or one of the two, learns nothing and changes nothing; what a role does not let
//!   them, they cannot do;
//! - what was answered as done is in the log before, and each member's mailbox is told of it, or told to look:
//!   until all of them were, an alarm is pending;
//! - at most one call to a mailbox is under way, and what is new meanwhile travels together in the next. Whose
//!   mailbox said that nobody is connected is not called again before the account asks for something: the
//!   mailbox has noted that there is news;
//! - an entry leaves the log when all members said that they have it, or after 30 days.
//!
//! Nothing here reads what is said in the conversation: handshakes and messages are bytes.

pub(crate) mod call;
mod lanes;
mod log;
mod state;

use estafette_protocol::{
    Body, ConversationId, DeviceId, Entry, EntryMessage, ErrorCode, GroupState, Log, Member,
    MessageId, Millis, PhoneNumber, Role, Roster, Turn, limits,
};

use sha2::{Digest as _, Sha256};

use self::call::{
    Ask, ConversationAnswer, ConversationItem, ConversationRequest, NewsAnswer, NewsRequest,
    Outcome,
};
use self::lanes::Lanes;
use self::log::Pages;
use self::state::State;
use crate::sql::{Sql, StorageError};
use crate::stream::{Place, Streams};

/// How long to wait until mailboxes that were not reached are called again. An object that is left alone stays
/// in memory for longer than this: one that does not know who was told has died meanwhile, and tells all.
const TELLING: Millis = 5 * 1000;
/// Accounts that ask to be let in and wait for an answer.
const ASKING_MAX: usize = 64;

/// What the shell is to do after the writes of the step are committed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ConversationEffect {
    /// Call a member's mailbox, and bring its answer, or that there was none, to [`Conversation::on_told`].
    Tell(NewsRequest),
    /// Set the object's alarm to this time, in place of any earlier one, in the same commit.
    Alarm(Millis),
    /// Delete all that is stored, and the alarm. Nothing follows.
    Forget,
}

type Taken = Result<u64, ErrorCode>;

/// The state machine of one conversation. As with a mailbox, an `Err` of any method means that the database
/// failed: undo what the step wrote, and wake another.
#[derive(Debug)]
pub struct Conversation<S> {
    sql: S,
    state: Option<State>,
    pages: Pages,
    streams: Streams,
    lanes: Lanes,
    /// When the alarm goes off, if one is set.
    alarm: Option<Millis>,
    effects: Vec<ConversationEffect>,
}

impl<S: Sql> Conversation<S> {
    /// Brings a conversation into memory. Reads only.
    pub fn wake(sql: S, alarm: Option<Millis>) -> Result<Self, StorageError> {
        let (state, mut streams) = (State::load(&sql)?, Streams::default());
        let pages = if state.is_some() { Pages::load(&sql)? } else { Pages::default() };
        for entry in pages.open_entries() {
            if let Some(message) = &entry.message {
                streams.recall((entry.from, entry.device, message.id.stream), message.id.number);
            }
        }
        let lanes = Lanes::new(pages.head());
        Ok(Self { sql, state, pages, streams, lanes, alarm, effects: Vec::new() })
    }

    /// Gives the database back, as an eviction leaves it.
    pub fn into_sql(self) -> S {
        self.sql
    }

    /// The database.
    pub fn sql(&self) -> &S {
        &self.sql
    }

    /// Whether nobody is to be told of anything.
    pub fn is_idle(&self) -> bool {
        self.lanes.is_idle()
    }

    /// A mailbox calls.
    pub fn on_request(
        &mut self,
        now: Millis,
        request: ConversationRequest,
    ) -> Result<(ConversationAnswer, Vec<ConversationEffect>), StorageError> {
        let ConversationRequest { conversation, from, items } = request;
        let mut outcomes = Vec::with_capacity(items.len());
        for ConversationItem { device, ask } in items {
            outcomes.push(self.asked(now, conversation, (from, device), ask)?);
        }
        // Many posts of one call are one row.
        self.pages.write(&self.sql)?;
        Ok((ConversationAnswer { outcomes, at: now }, self.finish(now)))
    }

    fn asked(
        &mut self,
        now: Millis,
        id: ConversationId,
        (from, device): (PhoneNumber, DeviceId),
        ask: Ask,
    ) -> Result<Outcome, StorageError> {
        let by = (from, device);
        let taken = match ask {
            Ask::Commit { epoch, commit, info, welcome, roster } => {
                let made = Made { commit, info, welcome, roster };
                match self.state {
                    None if epoch == 0 => self.create(now, id, by, made)?,
                    _ => self.commit(now, by, epoch, made)?,
                }
            }
            Ask::Post { id, epoch, body, chained, after } => {
                let message = EntryMessage { id, body, after };
                self.post(now, by, epoch, message, chained)
            }
            Ask::Fetch { after, before } => {
                return match self.fetch(now, id, from, (after, before))? {
                    Ok(log) => Ok(Outcome::Log(Box::new(log))),
                    Err(code) => Ok(Outcome::Refused { code, retry_after: None }),
                };
            }
            Ask::Leave => self.leave(now, by)?,
            Ask::Knock { invitation } => self.knock(now, by, &invitation)?,
        };
        Ok(match taken {
            Ok(place) => Outcome::Done(place),
            Err(code) => Outcome::Refused { code, retry_after: None },
        })
    }

    fn create(
        &mut self,
        now: Millis,
        id: ConversationId,
        by: (PhoneNumber, DeviceId),
        made: Made,
    ) -> Result<Taken, StorageError> {
        let may = match (id.parties(), &made.roster) {
            (Some((one, other)), None) => by.0 == one || by.0 == other,
            (None, Some(roster)) => roster.is_valid() && roster.role(by.0) == Some(Role::Owner),
            _ => false,
        };
        if !may || !made.commit.0.is_empty() {
            return Ok(Err(ErrorCode::NotAllowed));
        }
        State::create(&self.sql)?;
        self.state = Some(State::new(id));
        self.take_commit(now, by, 0, made)
    }

    fn commit(
        &mut self,
        now: Millis,
        by: (PhoneNumber, DeviceId),
        epoch: u64,
        made: Made,
    ) -> Result<Taken, StorageError> {
        let state = match for_member(&mut self.state, by.0) {
            Ok(state) => state,
            Err(code) => return Ok(Err(code)),
        };
        if epoch != state.epoch {
            return Ok(Err(ErrorCode::StaleEpoch));
        }
        let may = match (&state.roster, &made.roster) {
            (Some(before), Some(after)) => before.lets(by.0, after),
            (_, after) => after.is_none(),
        };
        if !may || made.commit.0.is_empty() {
            return Ok(Err(ErrorCode::NotAllowed));
        }
        self.take_commit(now, by, epoch, made)
    }

    fn take_commit(
        &mut self,
        now: Millis,
        by: (PhoneNumber, DeviceId),
        epoch: u64,
        made: Made,
    ) -> Result<Taken, StorageError> {
        let Made { commit, info, welcome, roster } = made;
        let commit = Some(commit).filter(|commit| !commit.0.is_empty());
        // Who goes is told so.
        let before = self.members();
        let entry = Entry { commit, ..entry(now, by, epoch) };
        let place = self.append(now, entry);
        let Some(state) = &mut self.state else { return Ok(Err(ErrorCode::NoConversation)) };
        let mut added = Vec::new();
        if let Some(roster) = roster {
            let new = roster.members.iter().map(|member| member.account);
            added.extend(new.filter(|account| !before.contains(account)));
            state.asking.retain(|asking| !added.contains(asking));
            state.roster = Some(roster);
        }
        (state.epoch, state.place) = (epoch + 1, place);
        state.save(&self.sql, Some(&info))?;
        if let Some(welcome) = welcome {
            State::keep_welcome(&self.sql, now, place, &added, &welcome)?;
        }
        let members = self.members();
        self.lanes.tell(before.into_iter().chain(members), place);
        Ok(Ok(place))
    }

    fn post(
        &mut self,
        now: Millis,
        by: (PhoneNumber, DeviceId),
        epoch: u64,
        message: EntryMessage,
        chained: bool,
    ) -> Taken {
        let state = for_member(&mut self.state, by.0)?;
        let roster = state.roster.as_ref().ok_or(ErrorCode::NotAllowed)?;
        let key = (by.0, by.1, message.id.stream);
        let (number, follows) =
            (message.id.number, message.after.unwrap_or_else(|| message.id.previous()));
        // What was taken stays taken, whatever has changed since.
        match self.streams.place(key, number, follows, chained) {
            Place::Duplicate => return Ok(0),
            Place::Forgotten if self.pages.has(by, message.id) => return Ok(0),
            Place::OutOfOrder => return Err(ErrorCode::OutOfOrder),
            Place::Next | Place::Forgotten => {}
        }
        if roster.role(by.0) < Some(roster.writing) {
            return Err(ErrorCode::NotAllowed);
        }
        if epoch != state.epoch {
            return Err(ErrorCode::StaleEpoch);
        }
        if self.pages.is_full() {
            return Err(ErrorCode::LogFull);
        }
        self.streams.take(key, number);
        let place = self.append(now, Entry { message: Some(message), ..entry(now, by, epoch) });
        let members = self.members();
        self.lanes.tell(members, place);
        Ok(place)
    }

    /// What a member asks about the log; or what a device needs that is not in the group.
    fn fetch(
        &mut self,
        now: Millis,
        id: ConversationId,
        from: PhoneNumber,
        (after, before): (Option<u64>, Option<u64>),
    ) -> Result<Result<Log, ErrorCode>, StorageError> {
        // What waits to be written belongs to what is told.
        self.pages.write(&self.sql)?;
        let state = match for_member(&mut self.state, from) {
            Ok(state) => state,
            Err(code) => return Ok(Err(code)),
        };
        let (epoch, roster, place) = (state.epoch, state.roster.clone(), state.place);
        let head = self.pages.head();
        let (entries, state) = match after {
            Some(after) => (self.pages.after(&self.sql, after)?, None),
            None => {
                let welcome = State::welcome_for(&self.sql, now, from, before)?;
                let info = State::info(&self.sql)?;
                (Vec::new(), Some(GroupState { welcome, info, place }))
            }
        };
        self.lanes.back(from);
        Ok(Ok(Log { query: 0, conversation: id, entries, head, epoch, roster, state }))
    }

    fn leave(&mut self, now: Millis, by: (PhoneNumber, DeviceId)) -> Result<Taken, StorageError> {
        let state = match for_member(&mut self.state, by.0) {
            Ok(state) => state,
            Err(code) => return Ok(Err(code)),
        };
        let Some(roster) = &mut state.roster else { return Ok(Err(ErrorCode::NotAllowed)) };
        let was = roster.role(by.0);
        roster.members.retain(|member| member.account != by.0);
        if was == Some(Role::Owner) {
            // The first admin takes over, or the first member.
            let admin = roster.members.iter().position(|member| member.role == Role::Admin);
            if let Some(next) = roster.members.get_mut(admin.unwrap_or(0)) {
                next.role = Role::Owner;
            }
        }
        if roster.members.is_empty() {
            self.state = None;
            self.effects.push(ConversationEffect::Forget);
            return Ok(Ok(0));
        }
        state.save(&self.sql, None)?;
        self.turn(now, by, Turn::Left, Some(by.0))
    }

    fn knock(
        &mut self,
        now: Millis,
        by: (PhoneNumber, DeviceId),
        invitation: &Body,
    ) -> Result<Taken, StorageError> {
        let Some(state) = &mut self.state else { return Ok(Err(ErrorCode::NoConversation)) };
        // A guess at an invitation learns no more than that it was none.
        let Some(roster) = &mut state.roster else { return Ok(Err(ErrorCode::NotMember)) };
        if roster.role(by.0).is_some() {
            return Ok(Ok(0));
        }
        if roster.invitation.as_ref() != Some(&Body(Sha256::digest(&invitation.0).to_vec())) {
            return Ok(Err(ErrorCode::NotMember));
        }
        if roster.members.len() >= limits::MEMBERS_MAX {
            return Ok(Err(ErrorCode::TooMany));
        }
        if roster.approval {
            if state.asking.contains(&by.0) {
                return Ok(Ok(0));
            }
            if state.asking.len() >= ASKING_MAX {
                return Ok(Err(ErrorCode::TooMany));
            }
            state.asking.push(by.0);
            state.save(&self.sql, None)?;
            return self.turn(now, by, Turn::Asked, None);
        }
        let place = roster.members.partition_point(|member| member.account < by.0);
        roster.members.insert(place, Member { account: by.0, role: Role::Member });
        state.save(&self.sql, None)?;
        self.turn(now, by, Turn::Joined, None)
    }

    /// Appends what an account did by itself. `also`: somebody who is not in the roster any more is told.
    fn turn(
        &mut self,
        now: Millis,
        by: (PhoneNumber, DeviceId),
        turn: Turn,
        also: Option<PhoneNumber>,
    ) -> Result<Taken, StorageError> {
        let epoch = self.state.as_ref().map_or(0, |state| state.epoch);
        let place = self.append(now, Entry { account: Some(turn), ..entry(now, by, epoch) });
        let members = self.members();
        self.lanes.tell(members.into_iter().chain(also), place);
        Ok(Ok(place))
    }

    fn append(&mut self, now: Millis, entry: Entry) -> u64 {
        let place = self.pages.append(now, entry.clone());
        self.lanes.recent(Entry { place, ..entry });
        place
    }

    fn members(&self) -> Vec<PhoneNumber> {
        self.state.as_ref().map(State::members).unwrap_or_default()
    }

    /// A mailbox has answered, or (`None`) has not.
    pub fn on_told(
        &mut self,
        now: Millis,
        member: PhoneNumber,
        answer: Option<NewsAnswer>,
    ) -> Result<Vec<ConversationEffect>, StorageError> {
        self.lanes.answered(member, answer);
        let passed = self.members().into_iter().map(|member| self.lanes.passed(member)).min();
        if let Some(passed) = passed {
            self.pages.remove_passed(&self.sql, passed)?;
        }
        Ok(self.finish(now))
    }

    /// The alarm went off: who was not reached is called again, and what is old goes.
    pub fn on_alarm(&mut self, now: Millis) -> Result<Vec<ConversationEffect>, StorageError> {
        self.alarm = None;
        self.pages.remove_old(&self.sql, now.saturating_sub(limits::MESSAGE_LIFE))?;
        State::remove_welcomes(&self.sql, now)?;
        let members = self.members();
        self.lanes.retry(members);
        Ok(self.finish(now))
    }

    /// Lets calls depart, and sets the alarm where something is left to do.
    fn finish(&mut self, now: Millis) -> Vec<ConversationEffect> {
        let Some(state) = &self.state else { return std::mem::take(&mut self.effects) };
        let calls = self.lanes.depart(state.conversation);
        self.effects.extend(calls.into_iter().map(ConversationEffect::Tell));
        let wanted = match self.lanes.is_idle() {
            false => Some(now + TELLING),
            true => self.pages.oldest().map(|at| at + limits::MESSAGE_LIFE),
        };
        // One that goes off earlier than it need costs less than setting another.
        if let Some(at) = wanted.filter(|at| self.alarm.is_none_or(|alarm| *at < alarm)) {
            let at = at.max(now + 1);
            self.alarm = Some(at);
            self.effects.push(ConversationEffect::Alarm(at));
        }
        std::mem::take(&mut self.effects)
    }
}

/// The conversation, if the account is in it.
fn for_member(state: &mut Option<State>, account: PhoneNumber) -> Result<&mut State, ErrorCode> {
    let state = state.as_mut().ok_or(ErrorCode::NoConversation)?;
    if state.has(account) { Ok(state) } else { Err(ErrorCode::NotMember) }
}

/// What comes with a commit.
struct Made {
    commit: Body,
    info: Body,
    welcome: Option<Body>,
    roster: Option<Roster>,
}

/// An entry that says nothing yet. Its place comes with the log.
fn entry(at: Millis, (from, device): (PhoneNumber, DeviceId), epoch: u64) -> Entry {
    Entry { place: 0, from, device, at, epoch, message: None, commit: None, account: None }
}

impl Pages {
    /// Whether a message is on the open page.
    fn has(&self, (from, device): (PhoneNumber, DeviceId), id: MessageId) -> bool {
        self.open_entries().iter().any(|entry| {
            let message = entry.message.as_ref().map(|message| message.id);
            (entry.from, entry.device, message) == (from, device, Some(id))
        })
    }
}
