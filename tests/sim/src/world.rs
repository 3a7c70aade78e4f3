//! The scheduler: a queue of events in virtual time, and what each does. Long, because it is one match over
//! the events and what each leads to; parts of it would only pass the world to each other.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use estafette_core::{Effect as Ask, Event as News, Input, Status};
use estafette_protocol::{
    ConversationId, DeviceId, Encoding, MessageId, Millis, PhoneNumber, WireMessage,
};
use estafette_relay::{Connect, Effect, SocketId};
use fastrand::Rng;

use crate::Violation;
use crate::device::Device;
use crate::faults::{Faults, Outage};
use crate::network::{Call, Connection, Direction, Event, read_answer};
use crate::object::{Fate, Object};
use crate::talk::Talk;

/// What a run did, to see that it did something.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Report {
    /// Messages that users wrote.
    pub written: u64,
    /// Messages that devices showed for the first time.
    pub shown: u64,
    /// Batches on sockets, both ways.
    pub batches: u64,
    /// Calls between objects.
    pub calls: u64,
    /// Faults of any kind.
    pub faults: u64,
    /// Refusals that devices were told of.
    pub refused: u64,
    /// Pushes.
    pub pushes: u64,
    /// Virtual time, in milliseconds.
    pub time: u64,
}

impl std::ops::AddAssign for Report {
    fn add_assign(&mut self, other: Self) {
        self.written += other.written;
        self.shown += other.shown;
        self.batches += other.batches;
        self.calls += other.calls;
        self.faults += other.faults;
        self.refused += other.refused;
        self.pushes += other.pushes;
        self.time += other.time;
    }
}

/// An event with its time and its place among those of the same time.
struct Due(Millis, u64, Event);

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        (self.0, self.1) == (other.0, other.1)
    }
}
impl Eq for Due {}
impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Due {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.0, self.1).cmp(&(other.0, other.1))
    }
}

/// Everything that there is in a run.
pub struct World {
    pub(crate) seed: u64,
    pub(crate) now: Millis,
    pub(crate) rng: Rng,
    pub(crate) faults: Faults,
    pub(crate) devices: Vec<Device>,
    pub(crate) objects: Vec<Object>,
    pub(crate) by_number: BTreeMap<PhoneNumber, usize>,
    pub(crate) talks: BTreeMap<ConversationId, Talk>,
    connections: Vec<Connection>,
    queue: BinaryHeap<Reverse<Due>>,
    scheduled: u64,
    /// Frames, upgrades and calls that have not arrived.
    in_flight: u64,
    /// When each device was last pushed to, by object.
    pub(crate) pushed: BTreeMap<(usize, DeviceId), Millis>,
    /// Messages that people wrote; others are what devices say to each other.
    pub(crate) people_wrote: BTreeSet<MessageId>,
    /// When each message first came to an object.
    pub(crate) arrived: BTreeMap<(usize, PhoneNumber, MessageId), Millis>,
    /// What went wrong so badly that the run ends.
    pub(crate) violation: Option<Violation>,
    /// What the run did.
    pub report: Report,
    /// Steps that mailboxes took, alarms not counted.
    pub(crate) woken: u64,
    /// Mailboxes are full at times.
    pub(crate) small: bool,
    trace: bool,
}

impl World {
    pub(crate) fn empty(seed: u64, rng: Rng, faults: Faults) -> Self {
        Self {
            seed,
            now: 1_800_000_000_000,
            rng,
            faults,
            devices: Vec::new(),
            objects: Vec::new(),
            by_number: BTreeMap::new(),
            talks: BTreeMap::new(),
            connections: Vec::new(),
            queue: BinaryHeap::new(),
            scheduled: 0,
            in_flight: 0,
            pushed: BTreeMap::new(),
            people_wrote: BTreeSet::new(),
            arrived: BTreeMap::new(),
            violation: None,
            report: Report::default(),
            woken: 0,
            small: false,
            trace: std::env::var_os("SIM_TRACE").is_some(),
        }
    }

    fn trace(&self, line: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{:>9} {}", self.now - 1_800_000_000_000, line());
        }
    }

    pub(crate) fn schedule(&mut self, at: Millis, event: Event) {
        if is_in_flight(&event) {
            self.in_flight += 1;
        }
        self.scheduled += 1;
        self.queue.push(Reverse(Due(at.max(self.now), self.scheduled, event)));
    }

    pub(crate) fn chance(&mut self, chance: f64) -> bool {
        let happens = chance > 0.0 && self.rng.f64() < chance;
        self.report.faults += u64::from(happens);
        happens
    }

    pub(crate) fn latency(&mut self) -> Millis {
        1 + self.rng.u64(0..=self.faults.latency_max)
    }

    /// The next event, unless it comes after `until`.
    pub(crate) fn advance(&mut self, until: Millis) -> bool {
        match self.queue.peek() {
            Some(Reverse(Due(at, ..))) if *at <= until => {}
            _ => return false,
        }
        let Some(Reverse(Due(at, _, event))) = self.queue.pop() else { return false };
        self.now = at;
        if is_in_flight(&event) {
            self.in_flight -= 1;
        }
        self.happen(event);
        self.violation.is_none()
    }

    /// Whether nothing is under way and nobody has anything left to do.
    pub(crate) fn is_quiet(&self) -> bool {
        self.in_flight == 0
            && self.devices.iter().all(Device::is_quiet)
            && self.objects.iter().all(Object::is_empty)
            && self.talks.values().all(|talk| talk.is_quiet(self.now))
    }

    fn happen(&mut self, event: Event) {
        match event {
            Event::Tick { device, wake } => {
                if self.devices[device].wake == wake {
                    self.device_input(device, Input::Tick);
                }
            }
            Event::Upgrade { connection } => self.upgrade(connection),
            Event::Opened { connection } => self.at_device(connection, Input::Opened),
            Event::Rejected { connection, code, retry_after } => {
                self.at_device(connection, Input::Rejected { code, retry_after });
            }
            Event::Up { connection, message } => self.at_object(connection, &message),
            Event::Down { connection, message } => {
                self.at_device(connection, Input::Message(message));
            }
            Event::Pong { connection } => self.at_device(connection, Input::Pong),
            Event::ClosedAtObject { connection } => self.closed_at_object(connection),
            Event::ClosedAtDevice { connection, code } => {
                self.at_device(connection, Input::Closed { code });
            }
            Event::Call(call) => self.call(*call),
            Event::Answer { from, generation, to, answer } => {
                if self.objects[from].generation == generation {
                    let peer = self.objects[to].number;
                    let answer = answer.map(|bytes| read_answer(&bytes));
                    self.trace(|| format!("object {from} answered by {to}: {answer:?}"));
                    self.step(from, |mailbox, now| mailbox.on_answer(now, peer, answer));
                }
            }
            Event::Converse(call) => self.conversation_is_called(*call),
            Event::Conversed { object, generation, id, answer } => {
                self.conversation_answers((object, generation), id, answer);
            }
            Event::Tell(call) => self.mailbox_is_told(*call),
            Event::Told { id, generation, member, answer } => {
                self.mailbox_answers((id, generation), member, answer);
            }
            Event::TalkAlarm { id, alarm } => self.talk_alarm(id, alarm),
            Event::Pushed { object, generation, push, device, outcome } => {
                if self.objects[object].generation == generation {
                    self.trace(|| format!("object {object} hears of {push:?}: {outcome:?}"));
                    self.service_answers(object, push, device, outcome);
                }
            }
            Event::Subscribe { device } => self.subscribe(device),
            Event::Timer { object, timer } => {
                if self.objects[object].timer == timer {
                    self.step(object, |mailbox, now| mailbox.on_timer(now));
                }
            }
            Event::Alarm { object, alarm } => {
                if self.objects[object].alarm == alarm {
                    self.objects[object].alarm_at = None;
                    self.woken -= 1;
                    // The platform repeats an alarm that failed.
                    if self.step(object, |mailbox, now| mailbox.on_alarm(now)).is_none() {
                        self.set_alarm(object, 2000 + self.objects[object].clock(self.now));
                    }
                }
            }
            Event::Write { device } => self.write(device),
            Event::Read { device } => self.read(device),
            Event::Look { device } => self.look(device),
            Event::Outage => self.outage(),
        }
    }

    // Devices.

    pub(crate) fn device_input(&mut self, device: usize, input: Input) {
        let clock = self.devices[device].clock(self.now);
        let asks = self.devices[device].client().on_input(clock, input).unwrap();
        self.obey(device, asks);
    }

    /// Something arrives at a device on a connection that it may have given up.
    fn at_device(&mut self, connection: usize, input: Input) {
        let Connection { device, open_at_device, .. } = self.connections[connection];
        self.trace(|| match &input {
            Input::Message(message) => {
                let batch = Encoding::Cbor.decode_server(message);
                format!("device {device} on {connection} ({open_at_device}): {batch:?}")
            }
            other => format!("device {device} on {connection} ({open_at_device}): {other:?}"),
        });
        if open_at_device {
            if matches!(input, Input::Rejected { .. } | Input::Closed { .. }) {
                self.connections[connection].open_at_device = false;
                self.devices[device].connection = None;
            }
            self.device_input(device, input);
        }
    }

    pub(crate) fn obey(&mut self, device: usize, asks: Vec<Ask>) {
        for ask in asks {
            match ask {
                Ask::Connect => self.dial(device),
                Ask::Transmit(message) => self.transmit(device, message),
                Ask::Ping => self.ping(device),
                Ask::Disconnect => self.hang_up(device),
                Ask::WakeAt(at) => {
                    let wait = at.saturating_sub(self.devices[device].clock(self.now));
                    self.devices[device].wake += 1;
                    let wake = self.devices[device].wake;
                    self.schedule(self.now + wait, Event::Tick { device, wake });
                }
                Ask::Event(news) => self.news(device, news),
            }
        }
    }

    fn news(&mut self, device: usize, news: News) {
        self.trace(|| format!("device {device}: {news:?}"));
        match news {
            News::Received(message) => {
                self.report.shown += 1;
                if !self.devices[device].shown.insert((message.peer, message.id)) {
                    self.violation =
                        Some(Violation::new(self.seed, format!("{:?} is shown twice", message.id)));
                }
            }
            News::Status { peer, id, status } => self.devices[device].note(peer, id, status),
            News::Failed { peer, id, .. } => self.devices[device].note(peer, id, Status::Failed),
            News::Refused { .. } => self.report.refused += 1,
            News::SignedOut(_) if self.devices[device].removed => {}
            News::SignedOut(code) => {
                let what = format!("device {device} is signed out: {code:?}");
                self.violation = Some(Violation::new(self.seed, what));
            }
            News::Error(code) => {
                let what = format!("device {device} is told of an error: {code:?}");
                self.violation = Some(Violation::new(self.seed, what));
            }
            News::StoreFailed(error) => {
                let what = format!("device {device}: {error}");
                self.violation = Some(Violation::new(self.seed, what));
            }
            News::Written(message) => {
                if !self.devices[device].copied.insert((message.peer, message.id)) {
                    let what = format!("the copy of {:?} is shown twice", message.id);
                    self.violation = Some(Violation::new(self.seed, what));
                }
            }
            News::KeysChanged { .. }
            | News::KeyChanged { .. }
            | News::ListBroken { .. }
            | News::Suspicious { .. }
            | News::Forged { .. } => {
                let what = format!("device {device} is told {news:?}, and everybody is honest");
                self.violation = Some(Violation::new(self.seed, what));
            }
            News::Connected { .. } => self.devices[device].seen.clear(),
            News::Presence { peer, available, .. } => {
                self.devices[device].seen.insert(peer, available);
            }
            News::Drained
            | News::Reachable
            | News::Changed(_)
            | News::Vanished { .. }
            | News::Disconnected { .. }
            | News::ReadElsewhere { .. }
            | News::Activity { .. }
            | News::Gap { .. } => {}
        }
    }

    fn dial(&mut self, device: usize) {
        let number = self.devices[device].me.account;
        let connection = self.connections.len();
        self.connections.push(Connection {
            device,
            object: self.by_number[&number],
            socket: None,
            open_at_device: true,
            open_at_object: false,
            up: Direction::default(),
            down: Direction::default(),
        });
        self.devices[device].connection = Some(connection);
        if self.chance(self.faults.drop) {
            let at = self.now + self.latency();
            return self.schedule(at, Event::ClosedAtDevice { connection, code: None });
        }
        self.carry_up(connection, Event::Upgrade { connection });
    }

    fn transmit(&mut self, device: usize, message: WireMessage) {
        let Some(connection) = self.devices[device].connection else { return };
        self.report.batches += 1;
        if self.chance(self.faults.drop) {
            return;
        }
        if self.chance(self.faults.duplicate) {
            let message = message.clone();
            self.carry_up(connection, Event::Up { connection, message });
        }
        self.carry_up(connection, Event::Up { connection, message });
    }

    pub(crate) fn carry_up(&mut self, connection: usize, event: Event) {
        let at = self.now + self.latency();
        let hole = self.chance(self.faults.hole);
        let direction = &mut self.connections[connection].up;
        direction.hole |= hole;
        if !direction.hole {
            direction.last = direction.last.max(at);
            let at = direction.last;
            self.schedule(at, event);
        }
    }

    fn carry_down(&mut self, connection: usize, event: Event) {
        let at = self.now + self.latency();
        let hole = self.chance(self.faults.hole);
        let direction = &mut self.connections[connection].down;
        direction.hole |= hole;
        if !direction.hole {
            direction.last = direction.last.max(at);
            let at = direction.last;
            self.schedule(at, event);
        }
    }

    fn ping(&mut self, device: usize) {
        let Some(connection) = self.devices[device].connection else { return };
        let Connection { up, open_at_object, .. } = &self.connections[connection];
        if !up.hole && *open_at_object {
            self.carry_down(connection, Event::Pong { connection });
        }
    }

    /// The device gives its connection up; the object hears of it when it does.
    fn hang_up(&mut self, device: usize) {
        let Some(connection) = self.devices[device].connection.take() else { return };
        self.connections[connection].open_at_device = false;
        let wait = if self.connections[connection].up.hole { 30_000 } else { 0 };
        let at = (self.now + wait + self.latency()).max(self.connections[connection].up.last);
        self.schedule(at, Event::ClosedAtObject { connection });
    }

    // Objects.

    /// What becomes of a step.
    pub(crate) fn fate(&mut self) -> Fate {
        if self.chance(self.faults.crash_before_commit) {
            Fate::CrashBeforeCommit
        } else if self.chance(self.faults.crash_after_commit) {
            Fate::CrashAfterCommit
        } else {
            Fate::Done
        }
    }

    /// Runs a step of an object, and carries out what it asks for. `None`: it crashed.
    pub(crate) fn step(
        &mut self,
        object: usize,
        step: impl FnOnce(
            &mut estafette_relay::Mailbox<estafette_relay::sql::Native>,
            Millis,
        ) -> Result<Vec<Effect>, estafette_relay::StorageError>,
    ) -> Option<()> {
        self.step_with(object, |mailbox, now| Ok(((), step(mailbox, now)?)))
    }

    pub(crate) fn step_with<T>(
        &mut self,
        object: usize,
        step: impl FnOnce(
            &mut estafette_relay::Mailbox<estafette_relay::sql::Native>,
            Millis,
        ) -> Result<(T, Vec<Effect>), estafette_relay::StorageError>,
    ) -> Option<T> {
        self.woken += 1;
        let fate = self.fate();
        let seed = self.rng.u64(..);
        let result = self.objects[object].step(self.now, seed, fate, step);
        let (value, effects) = match result {
            Ok(done) => done,
            Err(committed) => {
                self.trace(|| format!("object {object}: {fate:?}"));
                // The alarm is stored with the rows, in the same commit.
                for effect in committed.into_iter().flat_map(|(_, effects)| effects) {
                    if let Effect::Alarm(at) = effect {
                        self.set_alarm(object, at);
                    }
                }
                if self.rng.bool() {
                    self.close_all(object);
                }
                return None;
            }
        };
        for effect in effects {
            self.perform(object, effect);
        }
        Some(value)
    }

    fn perform(&mut self, object: usize, effect: Effect) {
        match effect {
            Effect::Send { socket, message } => self.send_down(object, socket, message),
            Effect::Remember { socket, attachment } => {
                if let Some((_, kept)) = self.objects[object].sockets.get_mut(&socket) {
                    *kept = attachment;
                }
            }
            Effect::Close { socket, code, .. } => {
                if let Some((connection, _)) = self.objects[object].sockets.remove(&socket) {
                    self.close_from_object(connection, Some(code));
                }
            }
            Effect::Call { peer, request } => self.depart(object, peer, request.encode()),
            Effect::Converse(request) => self.converse(object, &request),
            Effect::Timer(wait) => {
                self.objects[object].timer += 1;
                let timer = self.objects[object].timer;
                if let Some(wait) = wait {
                    self.schedule(self.now + wait, Event::Timer { object, timer });
                }
            }
            Effect::Alarm(at) => self.set_alarm(object, at),
            Effect::Push(push) => {
                self.trace(|| format!("object {object} pushes {:?} to {:?}", push.id, push.device));
                self.push(object, &push);
            }
            Effect::Forget => panic!("a registered account is never forgotten"),
        }
    }

    fn set_alarm(&mut self, object: usize, at: Millis) {
        let wait = at.saturating_sub(self.objects[object].clock(self.now));
        self.objects[object].alarm += 1;
        self.objects[object].alarm_at = Some(at);
        let alarm = self.objects[object].alarm;
        self.schedule(self.now + wait, Event::Alarm { object, alarm });
    }

    fn send_down(&mut self, object: usize, socket: SocketId, message: WireMessage) {
        let Some(&(connection, _)) = self.objects[object].sockets.get(&socket) else { return };
        self.report.batches += 1;
        if self.chance(self.faults.drop) {
            // What TCP has lost it does not overtake: nothing comes after it.
            self.connections[connection].down.hole = true;
        }
        if self.chance(self.faults.duplicate) {
            let message = message.clone();
            self.carry_down(connection, Event::Down { connection, message });
        }
        self.carry_down(connection, Event::Down { connection, message });
    }

    /// The device at the other end of a connection.
    pub(crate) fn device_of(&self, connection: usize) -> DeviceId {
        self.devices[self.connections[connection].device].me.device
    }

    fn upgrade(&mut self, connection: usize) {
        let Connection { device, object, .. } = self.connections[connection];
        let me = self.devices[device].me;
        let connect = Connect { account: me.account, device: me.device, encoding: Encoding::Cbor };
        let mut accepted = None;
        // The socket exists before its first effects are carried out.
        let result =
            self.step_with(object, |mailbox, now| match mailbox.on_connect(now, connect)? {
                Ok((socket, effects)) => {
                    accepted = Some((socket, effects));
                    Ok((None, Vec::new()))
                }
                Err(refusal) => Ok((Some(refusal), Vec::new())),
            });
        match (result, accepted) {
            (Some(Some(refusal)), _) => {
                let (code, retry_after) = (refusal.code, refusal.retry_after);
                self.carry_down(connection, Event::Rejected { connection, code, retry_after });
            }
            (Some(None), Some((socket, effects))) => {
                self.objects[object].sockets.insert(socket, (connection, Vec::new()));
                self.connections[connection].socket = Some(socket);
                self.connections[connection].open_at_object = true;
                self.carry_down(connection, Event::Opened { connection });
                for effect in effects {
                    self.perform(object, effect);
                }
            }
            _ => self.carry_down(connection, Event::ClosedAtDevice { connection, code: None }),
        }
    }

    fn at_object(&mut self, connection: usize, message: &WireMessage) {
        let Connection { object, socket, open_at_object, .. } = self.connections[connection];
        self.trace(|| {
            let batch = Encoding::Cbor.decode_client(message);
            format!("object {object} on {connection} ({open_at_object}): {batch:?}")
        });
        if let (true, Some(socket)) = (open_at_object, socket) {
            self.step(object, |mailbox, now| mailbox.on_message(now, socket, message));
        }
    }

    fn closed_at_object(&mut self, connection: usize) {
        let Connection { object, socket, open_at_object, .. } = self.connections[connection];
        let (true, Some(socket)) = (open_at_object, socket) else { return };
        self.connections[connection].open_at_object = false;
        if self.objects[object].sockets.remove(&socket).is_some() {
            self.step(object, |mailbox, now| mailbox.on_close(now, socket));
        }
    }

    fn close_from_object(&mut self, connection: usize, code: Option<u16>) {
        self.connections[connection].open_at_object = false;
        self.carry_down(connection, Event::ClosedAtDevice { connection, code });
    }

    fn close_all(&mut self, object: usize) {
        let sockets = std::mem::take(&mut self.objects[object].sockets);
        for (connection, _) in sockets.into_values() {
            self.close_from_object(connection, Some(1012));
        }
    }

    fn depart(&mut self, from: usize, peer: PhoneNumber, bytes: Vec<u8>) {
        self.report.calls += 1;
        let generation = self.objects[from].generation;
        let to = self.by_number[&peer];
        let at = self.now + self.latency();
        let (lost, late) = (self.chance(self.faults.call_lost), self.chance(self.faults.call_late));
        if lost || late {
            self.schedule(at, Event::Answer { from, generation, to, answer: None });
        }
        if !lost {
            let at = if late { at + self.rng.u64(0..20_000) } else { at };
            let answered = !late;
            let call = Call { from, generation, to, bytes, answered };
            self.schedule(at, Event::Call(Box::new(call)));
        }
    }

    fn call(&mut self, call: Call) {
        let request = call.request();
        self.trace(|| format!("object {} called: {request:?}", call.to));
        let handed = self.handed(call.to, &request);
        let answer = self.step_with(call.to, |mailbox, now| mailbox.on_call(now, request));
        if let Some(answer) = &answer {
            self.check_woken(&handed, answer);
        }
        if !call.answered {
            return;
        }
        let lost = self.chance(self.faults.answer_lost);
        let answer = answer.filter(|_| !lost).map(|answer| answer.encode());
        let at = self.now + self.latency();
        let Call { from, generation, to, .. } = call;
        self.schedule(at, Event::Answer { from, generation, to, answer });
    }

    // From outside.

    fn outage(&mut self) {
        if self.faults.outage == 0.0 {
            return;
        }
        self.schedule(self.now + 1000, Event::Outage);
        if !self.chance(self.faults.outage) {
            return;
        }
        let outage = Outage::draw(&mut self.rng);
        let device = self.rng.usize(0..self.devices.len());
        let object = self.rng.usize(0..self.objects.len());
        self.trace(|| format!("{outage:?} device {device} object {object}"));
        match outage {
            Outage::Cut => self.cut(device),
            Outage::Hibernate => {
                self.objects[object].sleep();
                let at = self.rng.usize(0..self.talks.len().max(1));
                if let Some(talk) = self.talks.values_mut().nth(at) {
                    talk.sleep();
                }
            }
            Outage::Deploy => {
                self.talks.values_mut().for_each(Talk::sleep);
                for object in 0..self.objects.len() {
                    self.objects[object].sleep();
                    self.close_all(object);
                }
            }
            Outage::Restart | Outage::Wipe => {
                self.hang_up(device);
                let (seed, now) = (self.rng.u64(..), self.now);
                if outage == Outage::Wipe {
                    self.devices[device].wipe(seed, now);
                } else {
                    self.devices[device].restart(seed, now);
                }
                self.device_input(device, Input::Tick);
            }
            Outage::DeviceClock => self.devices[device].skew = self.rng.i64(-3_600_000..3_600_000),
            Outage::ObjectClock => {
                self.objects[object].skew = self.rng.i64(-3_600_000..3_600_000);
                self.excuse_pushes(object);
            }
            Outage::Intruder => self.intrude(device, object),
            Outage::Overstep => self.overstep(device, object),
            Outage::Removal => self.remove(device),
        }
    }

    /// A connection breaks; each end notices in its own time.
    pub(crate) fn cut(&mut self, device: usize) {
        let Some(connection) = self.devices[device].connection else { return };
        self.connections[connection].up.hole = true;
        self.connections[connection].down.hole = true;
        let at = self.now + self.rng.u64(0..5_000);
        self.schedule(at, Event::ClosedAtDevice { connection, code: None });
        let at = self.now + self.rng.u64(0..30_000);
        self.schedule(at, Event::ClosedAtObject { connection });
    }
}

fn is_in_flight(event: &Event) -> bool {
    !matches!(
        event,
        Event::Tick { .. }
            | Event::Timer { .. }
            | Event::Alarm { .. }
            | Event::TalkAlarm { .. }
            | Event::Outage
            | Event::Pong { .. }
            | Event::ClosedAtObject { .. }
    )
}
