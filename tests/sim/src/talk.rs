//! The hosts of conversations, and the calls between them and mailboxes.

use estafette_protocol::{ConversationId, Millis, PhoneNumber};
use estafette_relay::sql::Native;
use estafette_relay::{
    Conversation, ConversationAnswer, ConversationEffect, ConversationRequest, NewsAnswer,
    NewsRequest, StorageError,
};

use crate::network::Event;
use crate::object::Fate;
use crate::world::World;

/// One conversation's object: its storage and alarm.
pub(crate) struct Talk {
    asleep: Option<Native>,
    conversation: Option<Conversation<Native>>,
    /// Grows whenever memory is lost.
    generation: u64,
    alarm: u64,
    alarm_at: Option<Millis>,
}

/// A call to a conversation, or from one to a mailbox.
pub(crate) struct Talking {
    pub(crate) id: ConversationId,
    /// The mailbox's object.
    pub(crate) object: usize,
    pub(crate) generation: u64,
    pub(crate) bytes: Vec<u8>,
    /// Whether its answer comes back.
    pub(crate) answered: bool,
}

impl Talk {
    fn new() -> Self {
        let asleep = Some(Native::in_memory().unwrap());
        Self { asleep, conversation: None, generation: 0, alarm: 0, alarm_at: None }
    }

    /// Leaves memory. The alarm stays.
    pub(crate) fn sleep(&mut self) {
        let Some(conversation) = self.conversation.take() else { return };
        self.asleep = Some(Native::new(conversation.into_sql().into_connection()));
        self.generation += 1;
    }

    /// Whether nobody is to be told of anything.
    pub(crate) fn is_quiet(&self, now: Millis) -> bool {
        match &self.conversation {
            Some(conversation) => conversation.is_idle(),
            None => self.alarm_at.is_none_or(|at| at > now + 60 * 60 * 1000),
        }
    }

    fn step<T>(
        &mut self,
        now: Millis,
        fate: Fate,
        step: impl FnOnce(&mut Conversation<Native>, Millis) -> Result<T, StorageError>,
    ) -> Result<T, Option<T>> {
        if let Some(sql) = self.asleep.take() {
            self.conversation = Some(Conversation::wake(sql, self.alarm_at).unwrap());
        }
        let conversation = self.conversation.as_mut().unwrap();
        conversation.sql().execute("SAVEPOINT step").unwrap();
        let result = step(conversation, now).unwrap();
        let end = match fate {
            Fate::CrashBeforeCommit => "ROLLBACK TO step; RELEASE step",
            Fate::Done | Fate::CrashAfterCommit => "RELEASE step",
        };
        conversation.sql().execute(end).unwrap();
        if fate == Fate::Done {
            return Ok(result);
        }
        self.sleep();
        Err((fate == Fate::CrashAfterCommit).then_some(result))
    }
}

type Steps<T> = Result<(T, Vec<ConversationEffect>), StorageError>;

impl World {
    fn talk(&mut self, id: ConversationId) -> &mut Talk {
        self.talks.entry(id).or_insert_with(Talk::new)
    }

    fn talk_step<T>(
        &mut self,
        id: ConversationId,
        step: impl FnOnce(&mut Conversation<Native>, Millis) -> Steps<T>,
    ) -> Option<T> {
        let (now, fate) = (self.now, self.fate());
        match self.talk(id).step(now, fate, step) {
            Ok((value, effects)) => {
                for effect in effects {
                    match effect {
                        ConversationEffect::Tell(request) => self.tell(id, request),
                        ConversationEffect::Alarm(at) => self.set_talk_alarm(id, at),
                        ConversationEffect::Forget => panic!("nobody leaves"),
                    }
                }
                Some(value)
            }
            Err(committed) => {
                for effect in committed.into_iter().flat_map(|(_, effects)| effects) {
                    if let ConversationEffect::Alarm(at) = effect {
                        self.set_talk_alarm(id, at);
                    }
                }
                None
            }
        }
    }

    fn set_talk_alarm(&mut self, id: ConversationId, at: Millis) {
        let talk = self.talk(id);
        talk.alarm += 1;
        talk.alarm_at = Some(at);
        let alarm = talk.alarm;
        self.schedule(at, Event::TalkAlarm { id, alarm });
    }

    /// The alarm of a conversation goes off. The platform repeats one that failed.
    pub(crate) fn talk_alarm(&mut self, id: ConversationId, alarm: u64) {
        if self.talk(id).alarm != alarm {
            return;
        }
        self.talk(id).alarm_at = None;
        let step = self.talk_step(id, |talk, now| Ok(((), talk.on_alarm(now)?)));
        if step.is_none() {
            self.set_talk_alarm(id, self.now + 2000);
        }
    }

    /// A call leaves: it may be lost, or late. `none` is what comes of it then.
    fn set_out(&mut self, mut call: Talking, arrives: fn(Box<Talking>) -> Event, none: Event) {
        self.report.calls += 1;
        let at = self.now + self.latency();
        let (lost, late) = (self.chance(self.faults.call_lost), self.chance(self.faults.call_late));
        if lost || late {
            self.schedule(at, none);
        }
        if !lost {
            let at = if late { at + self.rng.u64(0..20_000) } else { at };
            call.answered = !late;
            self.schedule(at, arrives(Box::new(call)));
        }
    }

    /// A mailbox calls a conversation.
    pub(crate) fn converse(&mut self, object: usize, request: &ConversationRequest) {
        let (id, generation) = (request.conversation, self.objects[object].generation);
        let call = Talking { id, object, generation, bytes: request.encode(), answered: true };
        let none = Event::Conversed { object, generation, id, answer: None };
        self.set_out(call, Event::Converse, none);
    }

    pub(crate) fn conversation_is_called(&mut self, call: Talking) {
        let Talking { id, object, generation, bytes, answered } = call;
        let request = ConversationRequest::decode(&bytes).unwrap();
        let answer = self.talk_step(id, |talk, now| talk.on_request(now, request));
        let lost = self.chance(self.faults.answer_lost);
        let answer = answer.filter(|_| !lost).map(|answer| answer.encode());
        if answered {
            let at = self.now + self.latency();
            self.schedule(at, Event::Conversed { object, generation, id, answer });
        }
    }

    pub(crate) fn conversation_answers(
        &mut self,
        (object, generation): (usize, u64),
        id: ConversationId,
        answer: Option<Vec<u8>>,
    ) {
        if self.objects[object].generation == generation {
            let answer = answer.map(|bytes| ConversationAnswer::decode(&bytes).unwrap());
            self.step(object, |mailbox, now| mailbox.on_conversed(now, id, answer));
        }
    }

    /// A conversation calls a mailbox.
    fn tell(&mut self, id: ConversationId, request: NewsRequest) {
        let (member, generation) = (request.to, self.talk(id).generation);
        let object = self.by_number[&member];
        let call = Talking { id, object, generation, bytes: request.encode(), answered: true };
        let none = Event::Told { id, generation, member, answer: None };
        self.set_out(call, Event::Tell, none);
    }

    pub(crate) fn mailbox_is_told(&mut self, call: Talking) {
        let Talking { id, object, generation, bytes, answered } = call;
        let request = NewsRequest::decode(&bytes).unwrap();
        let member = request.to;
        let answer = self.step_with(object, |mailbox, now| mailbox.on_news(now, request));
        let lost = self.chance(self.faults.answer_lost);
        let answer = answer.filter(|_| !lost).map(|answer| answer.encode());
        if answered {
            let at = self.now + self.latency();
            self.schedule(at, Event::Told { id, generation, member, answer });
        }
    }

    pub(crate) fn mailbox_answers(
        &mut self,
        (id, generation): (ConversationId, u64),
        member: PhoneNumber,
        answer: Option<Vec<u8>>,
    ) {
        if self.talk(id).generation == generation {
            let answer = answer.map(|bytes| NewsAnswer::decode(&bytes).unwrap());
            self.talk_step(id, |talk, now| Ok(((), talk.on_told(now, member, answer)?)));
        }
    }
}
