//! What the devices of the account ask of conversations, and what they are answered.
//!
//! Invariants:
//! - at most one call to a conversation is under way; what comes meanwhile travels together in the next,
//!   in order;
//! - a device asks only of a conversation that its account may be in: of two accounts, one is its own;
//! - what is under way and what waits has a limit in bytes, over all conversations;
//! - what a device was not told, it asks again: nothing of it is stored here.
//!
//! Who is in a conversation, and what they may do there, the conversation decides.

use std::collections::VecDeque;

use estafette_protocol::{
    Body, Commit, ConversationId, DeviceId, ErrorCode, FetchLog, Knock, Leave, Log, MessageId,
    Millis, Post, Sent, ServerFrame, limits,
};
use litemap::LiteMap;

use super::Mailbox;
use super::keys::RETRY;
use super::on_peer::Replies;
use crate::conversation::call::{
    Ask, ConversationAnswer, ConversationItem, ConversationRequest, Outcome,
};
use crate::effect::{Effect, Refusal};
use crate::lane::LANE_ITEMS_MAX;
use crate::sql::{Sql, StorageError};

/// What is on its way to conversations, in bytes: five commits of the largest kind, or a burst of the longest
/// messages.
const ON_THE_WAY_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest pre-image of an invitation, and the length of its SHA-256.
const INVITATION_BYTES_MAX: usize = 256;
const DIGEST_BYTES: usize = 32;

/// How a device is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Concern {
    /// `sent` or `refused`.
    Post(MessageId),
    /// `done` or `denied`.
    Query(u64),
    /// `log` or `denied`.
    Look { query: u64, after: Option<u64> },
}

#[derive(Debug)]
struct Asked {
    device: DeviceId,
    concern: Concern,
    bytes: usize,
}

/// The way to one conversation.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    under_way: Option<Vec<Asked>>,
    waiting: VecDeque<(Asked, Ask)>,
    /// News came while the call is under way: what it finds out about the log may be out of date.
    disturbed: bool,
}

impl Lane {
    fn bytes(&self) -> usize {
        let waiting = self.waiting.iter().map(|(asked, _)| asked);
        self.under_way.iter().flatten().chain(waiting).map(|asked| asked.bytes).sum()
    }

    /// There is news from the conversation.
    pub(crate) fn disturb(&mut self) {
        self.disturbed = self.under_way.is_some();
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.under_way.is_none() && self.waiting.is_empty()
    }

    /// What the next call is about, if none is under way and something waits.
    pub(crate) fn depart(&mut self) -> Option<Vec<ConversationItem>> {
        if self.under_way.is_some() || self.waiting.is_empty() {
            return None;
        }
        let (mut under_way, mut items, mut bytes) = (Vec::new(), Vec::new(), 0);
        while let Some((asked, _)) = self.waiting.front() {
            bytes += asked.bytes;
            let is_full =
                items.len() >= limits::BATCH_FRAMES_MAX || bytes > limits::BATCH_BYTES_MAX;
            if is_full && !items.is_empty() {
                break;
            }
            let Some((asked, ask)) = self.waiting.pop_front() else { break };
            items.push(ConversationItem { device: asked.device, ask });
            under_way.push(asked);
        }
        (self.under_way, self.disturbed) = (Some(under_way), false);
        Some(items)
    }
}

/// The ways to all of them.
pub(crate) type Lanes = LiteMap<ConversationId, Lane>;

impl<S: Sql> Mailbox<S> {
    pub(crate) fn on_post(&mut self, now: Millis, device: DeviceId, post: Post) {
        let follows = post.follows();
        let Post { id, conversation, epoch, body, chained, after } = post;
        let ask = Ask::Post { id, epoch, body, chained, after };
        let admitted = match id.number {
            number if follows >= number => Err(ErrorCode::Malformed.into()),
            _ => self.admit_post(now, device),
        };
        let admitted = admitted.and_then(|()| self.admit_ask(conversation, &ask));
        match admitted {
            Ok(()) => self.ask(device, conversation, Concern::Post(id), ask),
            Err(refusal) => self.refuse(device, id, refusal),
        }
    }

    pub(crate) fn on_commit(&mut self, now: Millis, device: DeviceId, said: Commit) {
        let Commit { query, conversation, epoch, commit, info, welcome, roster } = said;
        let ask = Ask::Commit { epoch, commit, info, welcome, roster };
        self.query(now, device, conversation, Concern::Query(query), ask);
    }

    pub(crate) fn on_fetch_log(&mut self, now: Millis, device: DeviceId, said: FetchLog) {
        let FetchLog { query, conversation, after, before } = said;
        let concern = Concern::Look { query, after };
        self.query(now, device, conversation, concern, Ask::Fetch { after, before });
    }

    pub(crate) fn on_leave(&mut self, now: Millis, device: DeviceId, said: Leave) {
        let Leave { query, conversation } = said;
        self.query(now, device, conversation, Concern::Query(query), Ask::Leave);
    }

    pub(crate) fn on_knock(&mut self, now: Millis, device: DeviceId, said: Knock) {
        let Knock { query, conversation, invitation } = said;
        let ask = Ask::Knock { invitation };
        self.query(now, device, conversation, Concern::Query(query), ask);
    }

    fn query(
        &mut self,
        now: Millis,
        device: DeviceId,
        conversation: ConversationId,
        concern: Concern,
        ask: Ask,
    ) {
        let admitted = self.admit_query(now, device);
        match admitted.and_then(|()| self.admit_ask(conversation, &ask)) {
            Ok(()) => self.ask(device, conversation, concern, ask),
            Err(refusal) => self.tell_refusal(device, concern, refusal),
        }
    }

    fn tell_refusal(&mut self, device: DeviceId, concern: Concern, refusal: Refusal) {
        match concern {
            Concern::Post(id) => self.refuse(device, id, refusal),
            Concern::Query(query) | Concern::Look { query, .. } => {
                self.tell_outcome(device, query, Err(refusal));
            }
        }
    }

    fn ask(&mut self, device: DeviceId, conversation: ConversationId, concern: Concern, ask: Ask) {
        let asked = Asked { device, concern, bytes: weight(&ask) };
        self.conversations.entry(conversation).or_default().waiting.push_back((asked, ask));
    }

    /// What a question must pass beside the device's rate: its size, whose conversation it is, and room on
    /// the way.
    fn admit_ask(&self, conversation: ConversationId, ask: &Ask) -> Result<(), Refusal> {
        check_sizes(ask)?;
        let is_log = matches!(ask, Ask::Commit { .. } | Ask::Fetch { .. });
        let may = match conversation.parties() {
            Some((one, other)) => {
                is_log && (self.account == Some(one) || self.account == Some(other))
            }
            None => true,
        };
        if !may {
            return Err(ErrorCode::NotMember.into());
        }
        let lane = self.conversations.get(&conversation);
        let is_full = lane.is_some_and(|lane| lane.waiting.len() >= LANE_ITEMS_MAX);
        let bytes: usize = self.conversations.values().map(Lane::bytes).sum();
        if is_full || bytes + weight(ask) > ON_THE_WAY_BYTES_MAX {
            return Err(Refusal { code: ErrorCode::Unavailable, retry_after: Some(RETRY) });
        }
        Ok(())
    }

    /// Lets calls to conversations depart.
    pub(crate) fn depart(&mut self) {
        let Some(from) = self.account else { return };
        for (&conversation, lane) in &mut self.conversations {
            if let Some(items) = lane.depart() {
                self.ledger.call();
                let request = ConversationRequest { conversation, from, items };
                self.effects.push(Effect::Converse(request));
            }
        }
        self.conversations.retain(|_, lane| !lane.is_idle());
    }

    /// A conversation has answered this mailbox's call, or (`None`) has not.
    pub fn on_conversed(
        &mut self,
        now: Millis,
        conversation: ConversationId,
        answer: Option<ConversationAnswer>,
    ) -> Result<Vec<Effect>, StorageError> {
        let Some(lane) = self.conversations.get_mut(&conversation) else {
            return self.finish(now);
        };
        let Some(under_way) = lane.under_way.take() else { return self.finish(now) };
        let disturbed = lane.disturbed;
        let answer = answer.filter(|answer| answer.outcomes.len() == under_way.len());
        let (outcomes, at) =
            answer.map_or((Vec::new(), now), |answer| (answer.outcomes, answer.at));
        let mut outcomes = outcomes.into_iter();
        let mut replies = Replies::default();
        let mut written = false;
        for Asked { device, concern, .. } in under_way {
            let outcome = outcomes.next();
            written |= matches!(outcome, Some(Outcome::Done(_)));
            if let Concern::Look { after, .. } = concern
                && !disturbed
                && is_in_vain(after, outcome.as_ref())
            {
                self.unmark(conversation, device)?;
            }
            match (concern, outcome) {
                (Concern::Post(id), Some(Outcome::Done(_))) => replies.sent(device, id),
                (Concern::Post(id), outcome) => replies.refuse(device, id, refusal(outcome)),
                (Concern::Query(query), Some(Outcome::Done(place))) => {
                    self.tell_outcome(device, query, Ok(Some(place).filter(|&place| place > 0)));
                }
                (Concern::Look { query, .. }, Some(Outcome::Log(log))) => {
                    self.tell(device, &ServerFrame::Log(Box::new(Log { query, ..*log })));
                }
                (concern, outcome) => self.tell_refusal(device, concern, refusal(outcome)),
            }
        }
        if written {
            self.ledger.stored_elsewhere();
        }
        for (device, ids) in std::mem::take(&mut replies.sent) {
            self.tell(device, &ServerFrame::Sent(Sent { ids, at }));
        }
        self.tell_refused(replies);
        self.finish(now)
    }
}

/// Whether a look into a log has found nothing: there is nothing new, or nothing for this account.
fn is_in_vain(after: Option<u64>, outcome: Option<&Outcome>) -> bool {
    match outcome {
        Some(Outcome::Log(log)) => {
            log.entries.is_empty() && after.is_some_and(|after| log.head <= after)
        }
        Some(Outcome::Refused { code, .. }) => {
            matches!(code, ErrorCode::NotMember | ErrorCode::NoConversation)
        }
        _ => false,
    }
}

/// Why something was not done. Nobody answered, or not to that.
fn refusal(outcome: Option<Outcome>) -> Refusal {
    match outcome {
        Some(Outcome::Refused { code, retry_after }) => Refusal { code, retry_after },
        _ => Refusal { code: ErrorCode::Unavailable, retry_after: Some(RETRY) },
    }
}

fn check_sizes(ask: &Ask) -> Result<(), Refusal> {
    let fits = |body: &Body, most: usize| match body.0.len() <= most {
        true => Ok(()),
        false => Err(Refusal::from(ErrorCode::TooLarge)),
    };
    match ask {
        Ask::Post { body, .. } => fits(body, limits::BODY_BYTES_MAX),
        Ask::Commit { commit, info, welcome, roster, .. } => {
            for handshake in [commit, info].into_iter().chain(welcome) {
                fits(handshake, limits::HANDSHAKE_BYTES_MAX)?;
            }
            let Some(roster) = roster else { return Ok(()) };
            if roster.members.len() > limits::MEMBERS_MAX {
                return Err(ErrorCode::TooMany.into());
            }
            roster.invitation.as_ref().map_or(Ok(()), |digest| fits(digest, DIGEST_BYTES))
        }
        Ask::Knock { invitation } => fits(invitation, INVITATION_BYTES_MAX),
        Ask::Fetch { .. } | Ask::Leave => Ok(()),
    }
}

/// About how many bytes a question takes on the way.
fn weight(ask: &Ask) -> usize {
    let length = |body: &Body| body.0.len();
    64 + match ask {
        Ask::Post { body, .. } => length(body),
        Ask::Commit { commit, info, welcome, roster, .. } => {
            let members = roster.as_ref().map_or(0, |roster| roster.members.len());
            length(commit) + length(info) + welcome.as_ref().map_or(0, length) + members * 32
        }
        Ask::Knock { invitation } => length(invitation),
        Ask::Fetch { .. } | Ask::Leave => 0,
    }
}
