//! What mailboxes and conversations say to each other. It outlives a deploy: kinds and fields are only ever
//! added, and golden tests pin the bytes.

use estafette_protocol::{
    Body, ConversationId, DeviceId, Entry, ErrorCode, MessageId, Millis, PhoneNumber, Roster,
};
use serde::{Deserialize, Serialize};

use crate::peer::cbor;

/// A mailbox calls a conversation: everything that its devices have for it at the time, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationRequest {
    /// Which conversation is called.
    pub conversation: ConversationId,
    /// The account that calls. Set by its mailbox, which knows who its devices are.
    pub from: PhoneNumber,
    /// What it is about; each item is answered in its place.
    pub items: Vec<ConversationItem>,
}

/// One thing that a device asks of a conversation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationItem {
    /// The device, as its mailbox knows it.
    #[serde(rename = "d")]
    pub device: DeviceId,
    /// What it asks.
    #[serde(rename = "a")]
    pub ask: Ask,
}

/// What a device asks of a conversation: as in the frames of the same names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// Append a message.
    Post {
        /// As the device made it.
        id: MessageId,
        /// The epoch in which it was sealed.
        epoch: u64,
        /// Opaque.
        body: Body,
        /// As in the frame.
        #[serde(default, skip_serializing_if = "core::ops::Not::not")]
        chained: bool,
        /// As in the frame.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
    },
    /// Append a commit, or make the conversation.
    Commit {
        /// The epoch that it ends.
        epoch: u64,
        /// The commit.
        commit: Body,
        /// The GroupInfo after it.
        info: Body,
        /// For those whom it adds.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        welcome: Option<Body>,
        /// Who is in the group after it, where that changes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        roster: Option<Roster>,
    },
    /// Tell the log after this place, or what a device needs that is not in the group.
    Fetch {
        /// After which place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<u64>,
        /// The Welcome is of a commit before this place.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<u64>,
    },
    /// The account leaves.
    Leave,
    /// The account was invited.
    Knock {
        /// The pre-image of the roster's invitation.
        invitation: Body,
    },
}

/// The answer: an outcome for each item, in order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationAnswer {
    /// As many as there were items.
    pub outcomes: Vec<Outcome>,
    /// When the conversation took what it took.
    pub at: Millis,
}

/// What became of one item.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It is in the log, at this place; or was done (0).
    Done(u64),
    /// What happened: the fields of a [`estafette_protocol::Log`] with `query` 0. The mailbox puts the query's
    /// number in.
    Log(Box<estafette_protocol::Log>),
    /// Not taken; nothing has changed.
    Refused {
        /// Why.
        code: ErrorCode,
        /// When to try again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<Millis>,
    },
}

/// A conversation calls a member's mailbox: this is new.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewsRequest {
    /// Which conversation calls.
    pub conversation: ConversationId,
    /// The account that is called.
    pub to: PhoneNumber,
    /// What is new, in order, without a gap. Empty: something is, look there.
    pub entries: Vec<Entry>,
    /// Whether a sleeping device is to be woken: there is a message among what is new.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub wake: bool,
}

/// The answer of the mailbox.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewsAnswer {
    /// Whether a device of the account is connected. If none is, the mailbox has noted that there is news, and
    /// need not be called again before the account fetches.
    pub live: bool,
    /// Up to which place all devices of the account have the log, as far as is known; 0 if it is not.
    #[serde(default)]
    pub passed: u64,
    /// Whether the account takes no part any more: it is not registered, or turns the conversation away.
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    pub gone: bool,
}

cbor!(pub ConversationRequest, ConversationAnswer, NewsRequest, NewsAnswer);
