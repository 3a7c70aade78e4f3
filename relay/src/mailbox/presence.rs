//! Presence: whether the account's user is there, who is told, and whose presence its devices watch.
//!
//! Invariants:
//! - presence is told to who watches, and to nobody else;
//! - a watch lasts on the watching side for as long as a socket has it: it is in the socket's attachment,
//!   which hibernation keeps; on the watched side it is a row, and goes when the watching mailbox says
//!   that nobody asks any more. Nothing is said while nothing changes;
//! - what somebody does in a chat is passed on at once or never, and kept nowhere.

use estafette_protocol::http::Attribute;
use estafette_protocol::{
    ChatState, DeviceId, ErrorCode, Fault, KeysChanged, Millis, PhoneNumber, Presence as Said,
    Seen, ServerFrame, limits,
};

use litemap::LiteMap;

use super::Mailbox;
use crate::effect::SocketId;
use crate::lane::{Concern, LaneItem};
use crate::peer::{PeerItem, Verdict};
use crate::session::{Session, Watched};
use crate::sql::{Columns, Sql, StorageError};

/// What a device may say of its user at once, and a second after that.
const SIGNAL_BURST: u32 = 30;
const SIGNALS_PER_SECOND: u32 = 2;

/// How long a call may be under way that was given up.
const LATE: Millis = 60_000;

// What a watcher shows in turn.
const SHOWS_LAST_SEEN: u64 = 1;
const SHOWS_ONLINE: u64 = 2;

/// Whether the user is there, and who asks.
#[derive(Debug, Default)]
pub(crate) struct Presence {
    /// As the watchers were told.
    pub(crate) available: bool,
    /// When they were last there; 0: never, as far as is known.
    pub(crate) last_seen: Millis,
    /// Who watches, and what they show. Read when it is needed.
    watchers: Option<LiteMap<PhoneNumber, u64>>,
    /// Who asked again while they were being told: that nobody asks is out of date.
    renewed: LiteMap<PhoneNumber, u64>,
}

impl<S: Sql> Mailbox<S> {
    /// A device says whether its user is there, and which chats are open.
    pub(crate) fn on_presence(
        &mut self,
        now: Millis,
        socket: SocketId,
        device: DeviceId,
        said: Said,
    ) -> Result<Result<(), ErrorCode>, StorageError> {
        if said.watch.len() > limits::WATCHED_MAX {
            return Ok(Err(ErrorCode::TooMany));
        }
        if let Err(code) = self.admit_signal(now, device) {
            return Ok(Err(code));
        }
        let own = self.account;
        let Some(session) = self.sessions.get_mut(&socket) else { return Ok(Ok(())) };
        session.available = said.available;
        let mut watched: Vec<Watched> = Vec::with_capacity(said.watch.len());
        for account in said.watch {
            let is_new = watched.iter().all(|known| known.account != account);
            if is_new && own != Some(account) {
                let known = session.watched.iter().find(|known| known.account == account);
                watched.push(known.copied().unwrap_or(Watched::new(account)));
            }
        }
        session.watched.clone_from(&watched);
        for watched in watched.into_iter().filter(|watched| !watched.answered) {
            self.watch(watched.account)?;
        }
        self.remember(socket);
        Ok(Ok(()))
    }

    fn watch(&mut self, account: PhoneNumber) -> Result<(), StorageError> {
        let last_seen = self.shows(account, Attribute::LastSeen)?;
        let online = self.shows(account, Attribute::Online)?;
        let item = PeerItem::Watch { last_seen, online };
        let item = LaneItem { item, concern: Concern::Watch };
        self.lanes.entry(account).or_default().replace(item);
        Ok(())
    }

    /// A device says what its user does in a chat.
    pub(crate) fn on_chat_state(
        &mut self,
        now: Millis,
        device: DeviceId,
        said: ChatState,
    ) -> Result<Result<(), ErrorCode>, StorageError> {
        if let Err(code) = self.admit_signal(now, device) {
            return Ok(Err(code));
        }
        // That somebody types shows that they are there.
        if self.account != Some(said.to) && self.shows(said.to, Attribute::Online)? {
            let item = PeerItem::ChatState { state: said.state };
            let item = LaneItem { item, concern: Concern::Nobody };
            self.lanes.entry(said.to).or_default().replace(item);
        }
        Ok(Ok(()))
    }

    fn admit_signal(&mut self, now: Millis, device: DeviceId) -> Result<(), ErrorCode> {
        let budget = self.limits(now).daily_budget;
        let device = self.device_mut(device).ok_or(ErrorCode::DeviceRemoved)?;
        let taken = device.signals.take(now, SIGNAL_BURST, SIGNALS_PER_SECOND);
        taken.or(Err(ErrorCode::RateLimited))?;
        self.ledger.check(now, budget).or(Err(ErrorCode::BudgetExhausted))
    }

    // As the one that watches.

    /// The watched mailbox has answered, or did not: then the device asks again.
    pub(crate) fn on_watched(
        &mut self,
        account: PhoneNumber,
        at: Millis,
        verdict: Option<Verdict>,
    ) {
        let (available, last_seen) = match verdict {
            Some(Verdict::Seen { available, last_seen }) => (available, last_seen),
            // Who is not registered looks like somebody who hides.
            Some(Verdict::Refused { code, .. }) if code.fault() == Fault::Caller => (false, None),
            _ => return,
        };
        // Whoever was told of a change meanwhile knows better.
        self.tell_watching(Seen { from: account, available, last_seen }, at, true);
    }

    /// The user of a watched account has come or gone.
    pub(crate) fn on_peer_presence(
        &mut self,
        from: PhoneNumber,
        available: bool,
        last_seen: Option<Millis>,
        at: Millis,
    ) -> Verdict {
        if self.tell_watching(Seen { from, available, last_seen }, at, false) {
            Verdict::Delivered
        } else {
            Verdict::Refused { code: ErrorCode::NotFound, retry_after: None }
        }
    }

    /// Puts a presence on the sockets that watch it, or on those alone that wait for an answer. Returns
    /// whether there are any.
    fn tell_watching(&mut self, seen: Seen, at: Millis, waiting: bool) -> bool {
        let mut sockets = Vec::new();
        let mut is_watched = false;
        for (&socket, session) in &mut self.sessions {
            let watched = session.watched.iter_mut().find(|known| known.account == seen.from);
            if let Some(watched) = watched.filter(|watched| !(waiting && watched.answered)) {
                is_watched = true;
                // A call that was given up may still arrive. What seems to be older than that comes of a
                // clock that was set.
                if (at + 1..at + LATE).contains(&watched.as_of) {
                    continue;
                }
                sockets.push((socket, !watched.answered));
                (watched.answered, watched.as_of) = (true, at);
            }
        }
        for &(socket, is_new) in &sockets {
            self.put(socket, &ServerFrame::Presence(seen));
            if is_new {
                self.remember(socket);
            }
        }
        is_watched
    }

    /// A watched account was registered again. Who does not look at the chat is not told.
    pub(crate) fn on_peer_keys_changed(&mut self, from: PhoneNumber, at: Millis) -> Verdict {
        let watches =
            |session: &Session| session.watched.iter().any(|watched| watched.account == from);
        let sockets = self.sessions.iter().filter(|(_, session)| watches(session));
        let sockets: Vec<_> = sockets.map(|(&socket, _)| socket).collect();
        for &socket in &sockets {
            self.put(socket, &ServerFrame::KeysChanged(KeysChanged { from, at }));
        }
        if sockets.is_empty() {
            return Verdict::Refused { code: ErrorCode::NotFound, retry_after: None };
        }
        Verdict::Delivered
    }

    /// Puts a frame on every socket.
    pub(crate) fn tell_all(&mut self, frame: &ServerFrame) {
        for socket in self.sessions.keys().copied().collect::<Vec<_>>() {
            self.put(socket, frame);
        }
    }

    // As the one that is watched.

    /// Another account asks to be told of the user's presence.
    pub(crate) fn on_watch(
        &mut self,
        from: PhoneNumber,
        last_seen: bool,
        online: bool,
    ) -> Result<Verdict, StorageError> {
        let flag = |is: bool, flag| if is { flag } else { 0 };
        let shows = flag(last_seen, SHOWS_LAST_SEEN) | flag(online, SHOWS_ONLINE);
        let watchers = self.watchers()?;
        let known = watchers.get(&from).copied();
        if known.is_none() && watchers.len() >= limits::WATCHERS_MAX {
            return Ok(Verdict::Seen { available: false, last_seen: None });
        }
        if known != Some(shows) {
            watchers.insert(from, shows);
            self.sql.run(
                "INSERT INTO watcher (number, shows) VALUES (?, ?)
                 ON CONFLICT (number) DO UPDATE SET shows = excluded.shows",
                &[from.digits().into(), shows.into()],
            )?;
        }
        let lane = self.lanes.get(&from).and_then(|lane| lane.under_way.as_ref());
        if lane.is_some_and(|items| items.iter().any(|item| item.concern == Concern::Watcher)) {
            self.presence.renewed.insert(from, 0);
        }
        let (available, last_seen) = self.visible(from, last_seen, online)?;
        Ok(Verdict::Seen { available, last_seen })
    }

    fn watchers(&mut self) -> Result<&mut LiteMap<PhoneNumber, u64>, StorageError> {
        let watchers = match self.presence.watchers.take() {
            Some(watchers) => watchers,
            None => {
                let rows = self.sql.run("SELECT number, shows FROM watcher", &[])?;
                let watchers = rows.into_iter().map(|row| {
                    let mut columns = Columns::of(row);
                    let number = PhoneNumber::from_digits(columns.integer()?)
                        .or(Err(StorageError::Row("the number of a watcher")))?;
                    Ok((number, columns.integer()?))
                });
                watchers.collect::<Result<_, StorageError>>()?
            }
        };
        Ok(self.presence.watchers.insert(watchers))
    }

    pub(crate) fn watcher_numbers(&mut self) -> Result<Vec<PhoneNumber>, StorageError> {
        Ok(self.watchers()?.keys().copied().collect())
    }

    /// Whether any device says that its user is there.
    pub(crate) fn is_available(&self) -> bool {
        self.sessions.values().any(|session| session.available)
    }

    /// At the end of each step: if the user has come or gone, tells who watches.
    pub(crate) fn settle_presence(&mut self, now: Millis) -> Result<(), StorageError> {
        let available = self.is_available();
        if available == self.presence.available {
            return Ok(());
        }
        self.presence.available = available;
        if !available {
            self.presence.last_seen = now;
            self.sql.run("UPDATE account SET last_seen = ?", &[now.into()])?;
        }
        let watchers: Vec<_> =
            self.watchers()?.iter().map(|(&number, &shows)| (number, shows)).collect();
        watchers.into_iter().try_for_each(|(number, shows)| self.tell_watcher(now, number, shows))
    }

    fn tell_watcher(
        &mut self,
        now: Millis,
        number: PhoneNumber,
        shows: u64,
    ) -> Result<(), StorageError> {
        let (online, seen) = (shows & SHOWS_ONLINE != 0, shows & SHOWS_LAST_SEEN != 0);
        // Of what is hidden, a watcher is not told that it changes either.
        let sees_online = online && self.shows(number, Attribute::Online)?;
        let sees_last = seen && self.shows(number, Attribute::LastSeen)?;
        if !sees_online && !sees_last {
            return Ok(());
        }
        self.say_presence(now, number, seen, online)
    }

    fn say_presence(
        &mut self,
        now: Millis,
        number: PhoneNumber,
        last_seen: bool,
        online: bool,
    ) -> Result<(), StorageError> {
        let (available, last_seen) = self.visible(number, last_seen, online)?;
        let item = PeerItem::Presence { available, last_seen, at: now };
        let item = LaneItem { item, concern: Concern::Watcher };
        self.lanes.entry(number).or_default().replace(item);
        Ok(())
    }

    /// The account is registered again: tells who watches, at once or never.
    pub(crate) fn tell_keys_changed(&mut self, now: Millis) -> Result<(), StorageError> {
        for number in self.watcher_numbers()? {
            if self.is_blocked(number)? {
                continue;
            }
            let item =
                LaneItem { item: PeerItem::KeysChanged { at: now }, concern: Concern::Watcher };
            self.lanes.entry(number).or_default().replace(item);
        }
        Ok(())
    }

    /// A watcher was told, or says that nobody asks any more.
    pub(crate) fn on_watcher_told(
        &mut self,
        number: PhoneNumber,
        verdict: Option<Verdict>,
    ) -> Result<(), StorageError> {
        let gone = matches!(
            verdict,
            Some(Verdict::Refused { code: ErrorCode::NotFound | ErrorCode::Unregistered, .. })
        );
        let renewed = self.presence.renewed.remove(&number).is_some();
        if gone && !renewed && self.watchers()?.remove(&number).is_some() {
            let statement = "DELETE FROM watcher WHERE number = ?";
            self.sql.run(statement, &[number.digits().into()])?;
        }
        Ok(())
    }

    /// What the account shows has changed, to one or to all: who watches is told what they see now, and
    /// who is watched hears what the account shows in turn.
    pub(crate) fn privacy_changed(
        &mut self,
        now: Millis,
        to: Option<PhoneNumber>,
    ) -> Result<(), StorageError> {
        let concerned = |number: PhoneNumber| to.is_none_or(|to| to == number);
        let watchers = self.watchers()?.iter().filter(|(number, _)| concerned(**number));
        let watchers: Vec<_> = watchers.map(|(&number, &shows)| (number, shows)).collect();
        for (number, shows) in watchers {
            let (online, seen) = (shows & SHOWS_ONLINE != 0, shows & SHOWS_LAST_SEEN != 0);
            self.say_presence(now, number, seen, online)?;
        }
        let watched = self.sessions.iter_mut().flat_map(|(_, session)| &mut session.watched);
        let watched: Vec<_> = watched
            .filter(|watched| concerned(watched.account))
            .map(|watched| {
                watched.answered = false;
                watched.account
            })
            .collect();
        watched.into_iter().try_for_each(|number| self.watch(number))
    }
}
