//! The limits that both sides know. What a deployment may set otherwise says so; the values here
//! are the defaults.

use crate::Millis;

/// The longest body of a message, in bytes. Media goes through R2.
pub const BODY_BYTES_MAX: usize = 64 * 1024;
/// The most frames in one batch.
pub const BATCH_FRAMES_MAX: usize = 256;
/// The longest batch, in bytes: what arrives in one WebSocket message.
pub const BATCH_BYTES_MAX: usize = 1024 * 1024;
/// The most ids in one `ack`, `receipt` or `sent` frame: as many as can be unacknowledged.
pub const IDS_MAX: usize = UNACKNOWLEDGED_MAX;
/// The highest number in a stream: 2^53 - 1, so that `after` survives a trip through a JavaScript
/// number, and any number through an SQL integer.
pub const MESSAGE_NUMBER_MAX: u64 = (1 << 53) - 1;
/// The most deliveries on one socket that the device has not acknowledged.
pub const UNACKNOWLEDGED_MAX: usize = 256;
/// The most messages that wait in one mailbox. Configurable.
pub const QUEUE_MESSAGES_MAX: u64 = 20_000;
/// The most bytes that wait in one mailbox. Configurable.
pub const QUEUE_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// How long an undelivered message is kept: 30 days.
pub const MESSAGE_LIFE: Millis = 30 * 24 * 60 * 60 * 1000;
/// How long a message may be held in memory before it is committed: 1 second.
pub const HOLD: Millis = 1000;
/// Devices of one account.
pub const DEVICES_MAX: usize = 5;
/// How long a linked device that does not connect stays one: 45 days.
pub const LINKED_DEVICE_LIFE: Millis = 45 * 24 * 60 * 60 * 1000;
/// How long the primary device that does not connect stays one: 180 days.
pub const PRIMARY_DEVICE_LIFE: Millis = 180 * 24 * 60 * 60 * 1000;
/// How long a code that links a device is good for: 2 minutes.
pub const LINK_LIFE: Millis = 2 * 60 * 1000;
/// What the device that approves another hands over to it, sealed.
pub const HANDOVER_BYTES_MAX: usize = 256;
/// Accounts whose presence one device watches.
pub const WATCHED_MAX: usize = 8;
/// Accounts that watch one account. More are told that nobody is there.
pub const WATCHERS_MAX: usize = 256;
/// Accounts of which one says something: that they are contacts, or blocked.
pub const PEOPLE_MAX: usize = 5000;
/// The longest name in a profile, in bytes of UTF-8.
pub const PROFILE_NAME_BYTES_MAX: usize = 100;
/// The longest text about the user in a profile, in bytes of UTF-8.
pub const PROFILE_ABOUT_BYTES_MAX: usize = 512;
/// The longest text that opens the picture of a profile, in bytes of UTF-8. Our clients need 160.
pub const PROFILE_PICTURE_BYTES_MAX: usize = 512;
/// Bytes of a profile's picture as it is put: 1 MiB in 16 sealed chunks of 64 KiB, each 16 bytes longer.
pub const PICTURE_BYTES_MAX: u64 = 1024 * 1024 + 16 * 16;
/// Members of a group.
pub const MEMBERS_MAX: usize = 256;
/// Groups of an account.
pub const GROUPS_MAX: usize = 1024;
/// Key packages of a device that are left for others.
pub const KEY_PACKAGES_MAX: usize = 100;
/// The longest key package, in bytes. Ours take about 300; post-quantum ones 2,700.
pub const KEY_PACKAGE_BYTES_MAX: usize = 4096;
/// Entries of an account's list of devices: a device added and removed each week for ten years.
pub const DEVICE_LIST_MAX: usize = 1024;
/// The longest entry of a list of devices, in bytes.
pub const DEVICE_LIST_ENTRY_BYTES_MAX: usize = 512;
/// The longest commit, Welcome or GroupInfo, in bytes. One that adds 255 members takes about 120 KB.
pub const HANDSHAKE_BYTES_MAX: usize = 256 * 1024;
/// Entries of a conversation's log. Configurable.
pub const LOG_ENTRIES_MAX: u64 = 20_000;
/// Bytes of a conversation's log. Configurable.
pub const LOG_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Entries in one answer to `fetch_log`.
pub const LOG_PAGE_MAX: usize = 256;
/// Bytes in one answer to `fetch_log`, unless one entry has more.
pub const LOG_PAGE_BYTES_MAX: usize = 256 * 1024;
/// Welcomes that a conversation keeps.
pub const WELCOMES_MAX: usize = 16;
/// Numbers in one look-up.
pub const LOOKUP_NUMBERS_MAX: usize = 250;
/// Numbers that an account may look up at first, once: an address book. Configurable.
pub const LOOKUPS_FIRST: u64 = 5000;
/// Numbers that it may look up in a day after those. Configurable.
pub const LOOKUPS_A_DAY: u64 = 200;
/// How long what somebody does in a chat is shown, unless it is said again: 5 seconds.
pub const CHAT_STATE_LIFE: Millis = 5 * 1000;
/// The longest name of a device, in bytes of UTF-8.
pub const DEVICE_NAME_BYTES_MAX: usize = 64;
/// Sends of a device: this many at once. Configurable.
pub const SEND_BURST: u32 = 60;
/// Sends of a device: then this many a second. Configurable.
pub const SENDS_PER_SECOND: u32 = 5;
/// How long an account is new, and has a quarter of the limits: a day. Configurable.
pub const NEW_ACCOUNT: Millis = 24 * 60 * 60 * 1000;
/// Reports of an account in a day.
pub const REPORTS_A_DAY: u64 = 10;
/// The longest report, in bytes as it is sent.
pub const REPORT_BYTES_MAX: usize = 64 * 1024;
/// Messages in a report.
pub const REPORT_MESSAGES_MAX: usize = 10;
/// The longest comment in a report, in bytes of UTF-8.
pub const REPORT_COMMENT_BYTES_MAX: usize = 1000;
/// The longest message of the day, and the longest reason of a suspension, in bytes of UTF-8.
pub const NOTICE_BYTES_MAX: usize = 500;
/// Entries in one page of the audit log.
pub const AUDIT_PAGE_MAX: usize = 100;
/// Digits of a one-time code.
pub const CODE_DIGITS: usize = 6;
/// How long a one-time code is good for: 10 minutes.
pub const CODE_LIFE: Millis = 10 * 60 * 1000;
/// How often a one-time code may be tried.
pub const CODE_TRIES_MAX: u32 = 5;
/// The fewest and the most digits of a registration PIN.
pub const PIN_DIGITS: core::ops::RangeInclusive<usize> = 4..=12;
/// How long to wait after the first, second, … wrong PIN in a row; after each further one as after the
/// last.
pub const PIN_DELAYS: [Millis; 7] = [
    0,
    30 * 1000,
    2 * 60 * 1000,
    10 * 60 * 1000,
    60 * 60 * 1000,
    6 * 60 * 60 * 1000,
    24 * 60 * 60 * 1000,
];
/// How long a PIN holds once no device of the account is there: 7 days.
pub const PIN_LIFE: Millis = 7 * 24 * 60 * 60 * 1000;
/// How long to wait before the second, third and each later code for a number.
pub const CODE_RESEND: [Millis; 3] = [30 * 1000, 2 * 60 * 1000, 10 * 60 * 1000];
/// How long a device token is good for: 90 days. A device renews it after half of that.
pub const TOKEN_LIFE: Millis = 90 * 24 * 60 * 60 * 1000;
/// The longest file, in bytes as it is uploaded: 2 GiB.
pub const MEDIA_BYTES_MAX: u64 = 2 * 1024 * 1024 * 1024;
/// How long a file is kept: as long as the message that tells of it, 30 days.
pub const MEDIA_LIFE: Millis = MESSAGE_LIFE;
/// The most bytes of a file in one request: 95 MiB. The platform's edge takes 100 MB on its smaller
/// plans.
pub const MEDIA_REQUEST_BYTES_MAX: u64 = 95 * 1024 * 1024;
/// Bytes of one part of a file that is put together from several requests: 8 MiB. All but the last are
/// of this size, and R2 takes none below 5 MiB.
pub const MEDIA_PART_BYTES: u64 = 8 * 1024 * 1024;
/// How long an unfinished upload is kept: a day.
pub const UPLOAD_LIFE: Millis = 24 * 60 * 60 * 1000;
/// The longest `Upload-Metadata`, in bytes.
pub const UPLOAD_METADATA_BYTES_MAX: usize = 1024;
/// Unfinished uploads of an account. Configurable.
pub const UPLOADS_MAX: u64 = 16;
/// Bytes that an account may upload in a day: 4 GiB. Configurable.
pub const UPLOAD_BYTES_A_DAY: u64 = 4 * 1024 * 1024 * 1024;
/// The longest endpoint of a push subscription, in bytes. Services hand out 200 to 700.
pub const PUSH_ENDPOINT_BYTES_MAX: usize = 2048;
/// The longest payload of a push before it is sealed, in bytes: 4,096 less 86 of header, a tag of 16
/// and a delimiter (RFC 8291, section 4).
pub const PUSH_BYTES_MAX: usize = 3993;
/// Messages that come so soon after a push belong to its burst: 10 seconds.
pub const PUSH_BURST: Millis = 10 * 1000;
