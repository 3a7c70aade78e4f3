//! Conversations: what devices and the server say about keys, commits and the logs of groups.
//!
//! A conversation is an MLS group (RFC 9420) of all devices of all its members, and the object that keeps
//! its order. The server reads no MLS message: who asks for something says beside it what the server has
//! to know. `query` is a number that the device chooses; what answers the frame bears it. A device that
//! hears nothing, because the connection was lost, asks again: each of these frames may be repeated.

use serde::{Deserialize, Serialize};

use crate::{Body, ConversationId, DeviceId, ErrorCode, MessageId, Millis, PhoneNumber};
use crate::{limits, shape};

fn is_false(value: &bool) -> bool {
    !*value
}

/// Device to server: put this message into a group's log. Answered by [`crate::Sent`] or
/// [`crate::Refused`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Post {
    /// As in [`crate::Send`].
    pub id: MessageId,
    /// Which group.
    pub conversation: ConversationId,
    /// The epoch in which the body was sealed. Refused with `stale_epoch` if it is over.
    pub epoch: u64,
    /// Opaque to the server.
    pub body: Body,
    /// As in [`crate::Send`].
    #[serde(default, skip_serializing_if = "is_false")]
    pub chained: bool,
    /// As in [`crate::Send`].
    #[serde(default, deserialize_with = "shape::after", skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}

impl Post {
    /// The number of the message that this one follows.
    pub fn follows(&self) -> u64 {
        self.after.unwrap_or_else(|| self.id.previous())
    }
}

/// Device to server: all of a conversation's log up to this place is in the device's own store. Not
/// answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passed {
    /// Which conversation.
    pub conversation: ConversationId,
    /// The place of the last entry.
    pub place: u64,
}

/// Device to server: others may take these key packages of this device, each once. They come after those
/// that are left. Answered by [`Done`] or [`Denied`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PublishKeys {
    /// The number of this query.
    pub query: u64,
    /// Key packages (RFC 9420, section 10), at most [`crate::limits::KEY_PACKAGES_MAX`] with those that are
    /// left.
    #[serde(default, deserialize_with = "shape::list", skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Body>,
    /// The one that is given when none is left, as often as it is needed, in place of the one before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_resort: Option<Body>,
    /// Whether those that are left are dropped: the device has lost what opens them.
    #[serde(default, skip_serializing_if = "is_false")]
    pub anew: bool,
}

/// Device to server: append this to the account's list of devices. Answered by [`Done`], or [`Denied`] with
/// `stale_list` if another entry has this place already.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enlist {
    /// The number of this query.
    pub query: u64,
    /// The place of the entry, from 1.
    pub place: u64,
    /// The entry, signed by the account's key. The server does not read it.
    pub entry: Body,
    /// Whether the list begins anew with it, at place 1: the account has another key.
    #[serde(default, skip_serializing_if = "is_false")]
    pub anew: bool,
}

/// Device to server: whose devices are these? Answered by [`Keys`] or [`Denied`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchKeys {
    /// The number of this query.
    pub query: u64,
    /// Of which account; it may be this one.
    pub of: PhoneNumber,
    /// Give the entries of its list after this place; 0: all.
    #[serde(default)]
    pub after: u64,
    /// Whether a key package of each of its devices is taken, this device left out.
    #[serde(default, skip_serializing_if = "is_false")]
    pub packages: bool,
}

/// Device to server: the conversation's next commit. Answered by [`Done`] with its place in the log, or
/// [`Denied`]: `stale_epoch` when another came first.
///
/// Of a conversation that is not there yet, in epoch 0: it is made, with the group as it is in epoch 1.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commit {
    /// The number of this query.
    pub query: u64,
    /// Which conversation.
    pub conversation: ConversationId,
    /// The epoch that the commit ends.
    pub epoch: u64,
    /// The commit: a PublicMessage. Empty where the conversation is made.
    #[serde(default)]
    pub commit: Body,
    /// The GroupInfo of the next epoch, with the ratchet tree in it, for those who join by themselves.
    pub info: Body,
    /// The Welcome for those whom it adds, with the ratchet tree in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub welcome: Option<Body>,
    /// Who is in the group from now on and what they may do, where that changes. In a conversation of
    /// two it never does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roster: Option<Roster>,
}

/// Device to server: what has happened in a conversation? Answered by [`Log`] or [`Denied`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FetchLog {
    /// The number of this query.
    pub query: u64,
    /// Which conversation.
    pub conversation: ConversationId,
    /// What comes after this place; absent: what a device needs that is not in the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Where `after` is absent: the Welcome is to be of a commit before this place; the later ones were for other
    /// devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
}

/// Device to server: this account leaves the group. It hears no more of it at once; its leaves are removed by
/// the next commit of whoever stays. Answered by [`Done`] or [`Denied`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leave {
    /// The number of this query.
    pub query: u64,
    /// Which group.
    pub conversation: ConversationId,
}

/// Device to server: this account was given an invitation. Answered by [`Done`], or [`Denied`]. Where joiners
/// need no approval, the account is in the roster then, and joins by an external commit; otherwise an
/// admin is told by an entry in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knock {
    /// The number of this query.
    pub query: u64,
    /// Which group.
    pub conversation: ConversationId,
    /// What [`Roster::invitation`] is the SHA-256 of.
    pub invitation: Body,
}

/// What an account may do in a group. Each may do what those before it may.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Read; write and add others if the group lets members.
    Member,
    /// Add and remove members, change what the group lets members, make admins.
    Admin,
    /// Everything; cannot be removed.
    Owner,
}

impl<'de> Deserialize<'de> for Role {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        shape::name(deserializer, |text| match text {
            "member" => Some(Self::Member),
            "admin" => Some(Self::Admin),
            "owner" => Some(Self::Owner),
            _ => None,
        })
    }
}

/// An account in a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its number.
    pub account: PhoneNumber,
    /// What it may do.
    pub role: Role,
}

/// Who is in a group, and what they may do. Its CBOR is an extension of the MLS group context, so that
/// members need not believe the server; and it is told to the server, which enforces it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Roster {
    /// Everybody, in ascending order of their numbers, at most [`crate::limits::MEMBERS_MAX`]. One of them is
    /// the owner.
    #[serde(deserialize_with = "shape::list")]
    pub members: Vec<Member>,
    /// Who may write.
    pub writing: Role,
    /// Who may add others.
    pub adding: Role,
    /// Whether an admin is asked before somebody joins by invitation.
    #[serde(default, skip_serializing_if = "is_false")]
    pub approval: bool,
    /// The SHA-256 of what an invitation holds. Absent: nobody is invited.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub invitation: Option<Body>,
}

impl Roster {
    /// What an account may do, if it is in the group.
    pub fn role(&self, account: PhoneNumber) -> Option<Role> {
        let mut members = self.members.iter();
        members.find(|member| member.account == account).map(|member| member.role)
    }

    /// Whether it is one that a group can have: in order, nobody twice, one owner, not too many.
    pub fn is_valid(&self) -> bool {
        let owners = self.members.iter().filter(|member| member.role == Role::Owner).count();
        let sorted = self.members.is_sorted_by(|one, next| one.account < next.account);
        owners == 1 && sorted && self.members.len() <= limits::MEMBERS_MAX
    }

    /// Whether an account may turn it into another. Members ask this and so does the server.
    pub fn lets(&self, by: PhoneNumber, after: &Self) -> bool {
        if self == after {
            return true;
        }
        let Some(role) = self.role(by).filter(|_| after.is_valid()) else { return false };
        let is_admin = role >= Role::Admin;
        let settings = (self.writing, self.adding, self.approval, &self.invitation)
            == (after.writing, after.adding, after.approval, &after.invitation);
        let kept = self.members.iter().all(|member| match after.role(member.account) {
            Some(now) if now == member.role => true,
            // Only the owner hands that over.
            _ if member.role == Role::Owner => role == Role::Owner,
            Some(_) => is_admin,
            None => is_admin || member.account == by,
        });
        let mut new = after.members.iter().filter(|member| self.role(member.account).is_none());
        let added =
            new.all(|member| role >= self.adding && (member.role == Role::Member || is_admin));
        (settings || is_admin) && kept && added
    }
}

/// Server to device: done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Done {
    /// The number of the query.
    pub query: u64,
    /// The place in the log, of a commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub place: Option<u64>,
}

/// Server to device: the query was refused, and nothing has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// The number of the query.
    pub query: u64,
    /// Why.
    pub code: ErrorCode,
    /// When to try again, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<Millis>,
}

/// Server to device: an account's list of devices, and key packages of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keys {
    /// The number of the query.
    pub query: u64,
    /// The place of the first entry here; of the next that will be, if there is none.
    pub first: u64,
    /// The entries of the list, in order.
    #[serde(default, deserialize_with = "shape::list", skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Body>,
    /// A key package for each device that has one.
    #[serde(default, deserialize_with = "shape::list", skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<Package>,
}

/// A key package of a device.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Package {
    /// Whose.
    pub device: DeviceId,
    /// The package.
    pub package: Body,
}

/// Server to device: what has happened in a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Log {
    /// The number of the query.
    pub query: u64,
    /// Which conversation.
    pub conversation: ConversationId,
    /// What is in its log after the place that was asked for, in order; nothing, where none was. May be fewer
    /// than there are: ask again until the last is at `head`. Where the first does not follow the place that
    /// was asked for, what is between was removed: all had it, or its time was over.
    #[serde(default, deserialize_with = "shape::list", skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Entry>,
    /// The place of the last entry that was ever made; 0 if there was none.
    pub head: u64,
    /// The present epoch.
    pub epoch: u64,
    /// Who is in the group, by what the server was told. Absent in a conversation of two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub roster: Option<Roster>,
    /// What a device needs that is not in the group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<GroupState>,
}

/// What a device needs to join a group.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupState {
    /// The latest Welcome that was made when the account, or a device of it, was added, if it is still kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub welcome: Option<Welcome>,
    /// The latest GroupInfo: of the present epoch.
    pub info: Body,
    /// The place of the commit that the GroupInfo was made with.
    pub place: u64,
}

/// A Welcome, and where it leads.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Welcome {
    /// The Welcome.
    pub welcome: Body,
    /// The place of its commit: who joins by it goes on after that.
    pub place: u64,
}

/// Server to device: entries that were just made in a conversation's log, told to whoever is connected.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Posted {
    /// Which conversation.
    pub conversation: ConversationId,
    /// In order, without a gap.
    #[serde(deserialize_with = "shape::list")]
    pub entries: Vec<Entry>,
}

/// Server to device: these conversations may hold what the device has not seen. Said after the greeting.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct News {
    /// Which.
    #[serde(deserialize_with = "shape::list")]
    pub conversations: Vec<ConversationId>,
}

/// One entry of a log. Of one that is neither a message nor anything else known here, only the place counts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// Its place: 1, 2, 3 …
    pub place: u64,
    /// The account whose device made it.
    pub from: PhoneNumber,
    /// That device.
    pub device: DeviceId,
    /// When.
    pub at: Millis,
    /// The epoch that it was made in.
    pub epoch: u64,
    /// A message.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<EntryMessage>,
    /// A commit, which ends the epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<Body>,
    /// The account left, or asks to be let in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<Turn>,
}

/// What an account did by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Turn {
    /// It left: the next commit is to remove its devices.
    Left,
    /// It was invited, and is in the roster now.
    Joined,
    /// It was invited, and an admin is to decide.
    Asked,
}

impl<'de> Deserialize<'de> for Turn {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        shape::name(deserializer, |text| match text {
            "left" => Some(Self::Left),
            "joined" => Some(Self::Joined),
            "asked" => Some(Self::Asked),
            _ => None,
        })
    }
}

/// A message in a log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryMessage {
    /// As the sender made it.
    pub id: MessageId,
    /// Opaque to the server.
    pub body: Body,
    /// As in [`crate::Send`].
    #[serde(default, deserialize_with = "shape::after", skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
}
