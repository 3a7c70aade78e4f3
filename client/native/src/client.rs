//! The client as a program sees it: commands, and the events that they and the peers cause.

use std::ops::Deref;
use std::path::PathBuf;
use std::time::Duration;

use estafette_core::{
    Chat, Client as Core, ClientError, Config, Contact, Effect, Event, Identity, Message, Outgoing,
    OutgoingFile, Pending, Secrets, Store, StoreError,
};
use estafette_protocol::{Activity, MediaId, MessageId, Millis, PhoneNumber};
use tokio::sync::{mpsc, oneshot, watch};

use crate::driver::{COMMANDS_MAX, Command, Driver, EVENTS_MAX};
use crate::server::now;
use crate::transfer::{Claim, Claims};
use crate::{Account, Error, Profile};

/// How long to wait until a device can be written to.
const PUBLISHING: Duration = Duration::from_secs(10);

/// A device that is connected as often as it can be, and the events that come of it.
///
/// It commands through the [`Handle`] that it derefs to. When it and all its handles are dropped,
/// the client disconnects and ends; what wasn't sent is sent by the next one on the same store.
#[derive(Debug)]
pub struct Client {
    handle: Handle,
    events: mpsc::Receiver<Event>,
}

/// Commands a [`Client`], from any task. Cheap to clone.
///
/// Every method fails with [`Error::Ended`] once the client was closed, and with [`Error::Store`]
/// when the store fails.
#[derive(Debug, Clone)]
pub struct Handle {
    commands: mpsc::Sender<Command>,
    account: watch::Receiver<Account>,
    /// Where files are kept whose upload can't read them twice; none without a profile.
    spool: Option<PathBuf>,
    claims: Claims,
}

/// Connects the device of a profile, which the client then holds. Returns as soon as the store is
/// open: [`Event::Connected`] tells of the connection, and messages may be sent before it.
///
/// # Errors
/// When the store can't be opened.
pub async fn connect(profile: Profile) -> Result<Client, Error> {
    let opening = tokio::task::spawn_blocking(move || {
        let secrets = profile.secrets()?;
        Ok((profile.open_store()?, secrets, profile))
    });
    let (store, secrets, profile) = opening.await.or(Err(Error::Ended)).flatten()?;
    start(profile.account().clone(), &secrets, store, Config::default(), Some(profile))
}

/// Connects the device of a profile, until others can write to it. That may be done again at any time: every
/// client does it when it connects.
///
/// # Errors
/// When the store can't be opened, or the server is not reached in time.
pub async fn publish_keys(profile: Profile) -> Result<(), Error> {
    let mut client = connect(profile).await?;
    let reached = tokio::time::timeout(PUBLISHING, async {
        while let Some(event) = client.next().await {
            match event {
                Event::Reachable => return Ok(()),
                Event::SignedOut(_) => break,
                _ => {}
            }
        }
        Err(Error::Ended)
    });
    let reached = reached.await;
    client.close().await;
    reached.unwrap_or(Err(Error::NotReached))
}

/// Connects a device whose account and store are kept elsewhere, or nowhere
/// ([`Store::in_memory`]). A renewed token lasts as long as the client.
///
/// The client is one task of the runtime that this is called on, and no thread.
///
/// # Errors
/// When the store can't be read.
pub async fn connect_with(
    account: Account,
    secrets: &Secrets,
    store: Store,
    config: Config,
) -> Result<Client, Error> {
    start(account, secrets, store, config, None)
}

fn start(
    account: Account,
    secrets: &Secrets,
    store: Store,
    config: Config,
    profile: Option<Profile>,
) -> Result<Client, Error> {
    let me = Identity { account: account.number, device: account.device };
    let core = Core::start_with(store, me, secrets, config, Box::new(random()?), now())?;
    let (commands, received) = mpsc::channel(COMMANDS_MAX);
    let (said, events) = mpsc::channel(EVENTS_MAX);
    let spool = profile.as_ref().map(Profile::spool);
    let (account, renewed) = watch::channel(account);
    tokio::spawn(Driver::new(core, config.encoding, account, profile, received, said).run());
    let handle = Handle { commands, account: renewed, spool, claims: Claims::default() };
    Ok(Client { handle, events })
}

/// The system's random numbers. Where it has none at the start, there is no client; should it
/// refuse later, the last number it gave is mixed on, since jitter and stream names must differ but
/// guard no secret.
fn random() -> Result<impl FnMut() -> u64 + Send + 'static, Error> {
    let no_randomness = || crate::ProfileError::NoRandomness;
    let mut last = getrandom::u64().map_err(|_| no_randomness())?;
    Ok(move || {
        last = getrandom::u64().unwrap_or_else(|_| {
            // SplitMix64's step.
            let mixed = last.wrapping_add(0x9e37_79b9_7f4a_7c15);
            (mixed ^ (mixed >> 31)).wrapping_mul(0x94d0_49bb_1331_11eb)
        });
        last
    })
}

impl Client {
    /// The next event; `None` when the client has ended.
    ///
    /// A program that takes no events for long goes offline until it does, so that nothing is
    /// lost. One that wants none calls [`Client::into_handle`].
    pub async fn next(&mut self) -> Option<Event> {
        self.events.recv().await
    }

    /// Another way to command this client.
    pub fn handle(&self) -> Handle {
        self.handle.clone()
    }

    /// Gives up the events and keeps the commands.
    pub fn into_handle(self) -> Handle {
        self.handle
    }
}

impl Deref for Client {
    type Target = Handle;

    fn deref(&self) -> &Handle {
        &self.handle
    }
}

impl Handle {
    /// Sends a message. It is in the store when this returns, and is sent until the server has it;
    /// [`Event::Status`] tells how far it gets.
    ///
    /// # Errors
    /// When it is too long ([`Error::NotTaken`]) or too many wait to be sent.
    pub async fn send(
        &self,
        to: PhoneNumber,
        body: impl Into<Vec<u8>>,
    ) -> Result<MessageId, Error> {
        let body = body.into();
        Ok(self.work(move |core, now| core.send(now, to, body)).await??)
    }

    /// Sends several messages: all of them are in the store when this returns, or none.
    ///
    /// # Errors
    /// As [`Handle::send`].
    pub async fn send_all(
        &self,
        to: PhoneNumber,
        bodies: Vec<Vec<u8>>,
    ) -> Result<Vec<MessageId>, Error> {
        Ok(self.work(move |core, now| core.send_all(now, to, bodies)).await??)
    }

    /// Tells everybody whom this device knows that the account moves to another number, once. Returns how
    /// many they are.
    ///
    /// # Errors
    /// When too many messages wait to be sent ([`Error::NotTaken`]).
    pub async fn tell_moved(&self, to: PhoneNumber) -> Result<usize, Error> {
        Ok(self.work(move |core, now| core.tell_moved(now, to)).await??)
    }

    /// Tells a peer that their messages were read, up to this one.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn read(&self, peer: PhoneNumber, through: MessageId) -> Result<(), Error> {
        self.effects(move |core, now| core.read(now, peer, through)).await
    }

    /// Says which chat the user looks at: what it holds, and what comes, is read.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn open_chat(&self, peer: Option<PhoneNumber>) -> Result<(), Error> {
        self.effects(move |core, now| core.open_chat(now, peer)).await
    }

    /// Says whether the user is there, to those who look at their chat with this account. At the
    /// start, the user is not.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn set_available(&self, available: bool) -> Result<(), Error> {
        self.effects(move |core, now| core.set_available(now, available)).await
    }

    /// Says what the user does in the chat with a peer. It is over after a few seconds, so it is said
    /// with every key; what is said more often than every 3 seconds does not leave.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn chat_state(&self, peer: PhoneNumber, activity: Activity) -> Result<(), Error> {
        self.effects(move |core, now| core.chat_state(now, peer, activity)).await
    }

    /// Connects now rather than later: when the network is back, or another program that took the
    /// connection over has ended.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn connect(&self) -> Result<(), Error> {
        self.effects(Core::connect).await
    }

    /// The last messages of a chat, at most `limit`, the oldest first.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn history(&self, peer: PhoneNumber, limit: usize) -> Result<Vec<Message>, Error> {
        self.look(move |core| core.history(peer, limit)).await
    }

    /// Every chat, the one with the latest message first.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn chats(&self) -> Result<Vec<Chat>, Error> {
        self.look(Core::chats).await
    }

    /// Everybody who has a name, by name.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn contacts(&self) -> Result<Vec<Contact>, Error> {
        self.look(Core::contacts).await
    }

    /// Gives somebody a name; an empty one takes it away.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn set_contact(
        &self,
        number: PhoneNumber,
        name: impl Into<String>,
    ) -> Result<(), Error> {
        let name = name.into();
        self.look(move |core| core.set_contact(number, &name)).await
    }

    /// Whether nobody knows them here: they have no name, this account never wrote to them, and they
    /// are somebody else.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn is_stranger(&self, number: PhoneNumber) -> Result<bool, Error> {
        self.look(move |core| core.store().is_stranger(number)).await
    }

    /// Whether the user blocked somebody, as far as this device knows ([`Store::set_blocked`]).
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn is_blocked(&self, number: PhoneNumber) -> Result<bool, Error> {
        self.look(move |core| core.store().is_blocked(number)).await
    }

    /// Keeps a file that is to be uploaded, before a byte of it leaves. It is claimed before others
    /// can find it; whose number is new, nobody else has claimed.
    pub(crate) async fn begin_upload(
        &self,
        file: OutgoingFile,
    ) -> Result<(u64, Option<Claim>), Error> {
        let claims = self.claims.clone();
        let work = move |core: &mut Core, _| {
            core.begin_upload(&file).map(|id| ((id, claims.take(id)), Vec::new()))
        };
        Ok(self.work(work).await??)
    }

    /// Keeps where on the server an upload is.
    pub(crate) async fn place_upload(&self, id: u64, path: Option<String>) -> Result<(), Error> {
        self.look(move |core| core.store().place_upload(id, path.as_deref())).await
    }

    /// Sends the messages that tell of uploaded files.
    pub(crate) async fn send_uploads(
        &self,
        uploaded: Vec<(u64, MediaId)>,
    ) -> Result<Vec<MessageId>, Error> {
        Ok(self.work(move |core, now| core.send_uploads(now, &uploaded)).await??)
    }

    /// Forgets an upload.
    pub(crate) async fn drop_upload(&self, id: u64) -> Result<(), Error> {
        self.look(move |core| core.store().drop_upload(id).map(drop)).await
    }

    /// An upload as the store has it now; `None` when it is over.
    pub(crate) async fn upload_now(&self, id: u64) -> Result<Option<Outgoing>, Error> {
        self.look(move |core| core.store().upload(id)).await
    }

    /// Every upload that is not finished.
    pub(crate) async fn uploads(&self) -> Result<Vec<Outgoing>, Error> {
        self.look(Core::uploads).await
    }

    /// The account, with the token that is good now.
    pub(crate) fn account(&self) -> Account {
        self.account.borrow().clone()
    }

    pub(crate) fn spool(&self) -> Option<PathBuf> {
        self.spool.clone()
    }

    pub(crate) fn claims(&self) -> &Claims {
        &self.claims
    }

    /// What is still to be done.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn pending(&self) -> Result<Pending, Error> {
        self.look(|core| Ok(core.pending())).await
    }

    /// Waits until nothing is pending: the server has every message, receipt and acknowledgement,
    /// or they were given up.
    ///
    /// # Errors
    /// See [`Handle`].
    pub async fn flush(&self) -> Result<(), Error> {
        let (flushed, wait) = oneshot::channel();
        self.command(Command::Flush(flushed)).await?;
        wait.await.or(Err(Error::Ended))
    }

    /// Disconnects and ends the client. The store is closed when this returns.
    pub async fn close(&self) {
        let (closed, wait) = oneshot::channel();
        if self.command(Command::Close(closed)).await.is_ok() {
            // A client that ended meanwhile is closed as well.
            let _ = wait.await;
        }
    }

    async fn effects(
        &self,
        work: impl FnOnce(&mut Core, Millis) -> Result<Vec<Effect>, StoreError> + Send + 'static,
    ) -> Result<(), Error> {
        let work = |core: &mut Core, now| work(core, now).map(|effects| ((), effects));
        Ok(self.work(work).await??)
    }

    pub(crate) async fn look<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Core) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, Error> {
        let work = |core: &mut Core, _| look(core).map(|seen| (seen, Vec::new()));
        Ok(self.work(work).await??)
    }

    /// Does something on the core, in the client's task.
    async fn work<T: Send + 'static, E: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Core, Millis) -> Result<(T, Vec<Effect>), E> + Send + 'static,
    ) -> Result<Result<T, E>, Error> {
        let (answer, wait) = oneshot::channel();
        let work = move |core: &mut Core, now: Millis| {
            let (result, effects) = match work(core, now) {
                Ok((value, effects)) => (Ok(value), effects),
                Err(error) => (Err(error), Vec::new()),
            };
            // Whoever stopped waiting needs no answer.
            let _ = answer.send(result);
            Ok(effects)
        };
        self.command(Command::Work(Box::new(work))).await?;
        wait.await.or(Err(Error::Ended))
    }

    async fn command(&self, command: Command) -> Result<(), Error> {
        self.commands.send(command).await.or(Err(Error::Ended))
    }
}

impl From<ClientError> for Error {
    fn from(error: ClientError) -> Self {
        match error {
            ClientError::Store(error) => Self::Store(error),
            error => Self::NotTaken(error),
        }
    }
}
