//! What mailboxes and conversations say to each other, byte for byte; see `pinned.rs` for what breaks when this
//! changes.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fmt::Write;

use estafette_protocol::*;
use estafette_relay::*;
use support::*;

const DEVICE: DeviceId = DeviceId(0x0102_0304_0506_0708);
const STREAM: u64 = 0x1112_1314_1516_1718;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}

fn bytes(hex: &str) -> Vec<u8> {
    (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect()
}

/// Compares all at once, so that a failure shows every line as it would have to be.
fn compare(pinned: &[&str], written: &[String]) {
    let written: Vec<_> = written.iter().map(String::as_str).collect();
    assert!(
        pinned == written,
        "not as pinned; written:\n{}",
        written.iter().map(|line| format!("    \"{line}\",\n")).collect::<String>()
    );
}

fn roster() -> Roster {
    Roster {
        members: vec![Member { account: number(ALICE), role: Role::Owner }],
        writing: Role::Member,
        adding: Role::Admin,
        approval: true,
        invitation: Some(Body(vec![9])),
    }
}

#[test]
fn what_a_mailbox_asks_of_a_conversation() {
    let (id, body) = (id(STREAM, 1), Body(vec![1]));
    let commit = |welcome, roster| Ask::Commit {
        epoch: 3,
        commit: Body(vec![1]),
        info: Body(vec![2]),
        welcome,
        roster,
    };
    let asks = [
        Ask::Post { id, epoch: 3, body: body.clone(), chained: false, after: None },
        Ask::Post { id, epoch: 3, body, chained: true, after: Some(0) },
        commit(None, None),
        commit(Some(Body(vec![4])), Some(roster())),
        Ask::Fetch { after: None, before: None },
        Ask::Fetch { after: Some(7), before: None },
        Ask::Leave,
        Ask::Knock { invitation: Body(vec![5]) },
    ];
    let request = |ask| ConversationRequest {
        conversation: group(0x0102),
        from: number(ALICE),
        items: vec![ConversationItem { device: DEVICE, ask }],
    };
    compare(ASKS, &asks.clone().map(|ask| hex(&request(ask).encode())));
    for (pinned, ask) in ASKS.iter().zip(asks) {
        assert_eq!(ConversationRequest::decode(&bytes(pinned)), Some(request(ask)));
    }
}

#[test]
fn what_a_conversation_answers() {
    let empty = empty_log(group(0x0102), 7);
    let welcome = Some(Welcome { welcome: Body(vec![4]), place: 5 });
    let state = Some(GroupState { welcome, info: Body(vec![2]), place: 6 });
    let log = Log { entries: vec![entry(7, ALICE, 1)], roster: Some(roster()), state, ..empty };
    let outcomes = [
        Outcome::Done(0),
        Outcome::Done(7),
        Outcome::Log(Box::new(empty_log(group(0x0102), 7))),
        Outcome::Log(Box::new(log)),
        Outcome::Refused { code: ErrorCode::StaleEpoch, retry_after: None },
        Outcome::Refused { code: ErrorCode::LogFull, retry_after: Some(1000) },
    ];
    let answer = |outcome| ConversationAnswer { outcomes: vec![outcome], at: NOON };
    compare(ANSWERS, &outcomes.clone().map(|outcome| hex(&answer(outcome).encode())));
    for (pinned, outcome) in ANSWERS.iter().zip(outcomes) {
        assert_eq!(ConversationAnswer::decode(&bytes(pinned)), Some(answer(outcome)));
    }
}

#[test]
fn what_a_conversation_tells_and_is_answered() {
    let (commit, message) = (Some(Body(vec![1])), None);
    let commit = Entry { commit, message, ..entry(8, ALICE, 1) };
    let left = Entry { account: Some(Turn::Left), message: None, ..entry(9, ALICE, 1) };
    let request =
        |entries, wake| NewsRequest { conversation: group(0x0102), to: number(BOB), entries, wake };
    let requests = [request(vec![entry(7, ALICE, 1), commit, left], true), request(vec![], false)];
    compare(NEWS, &requests.clone().map(|request| hex(&request.encode())));
    for (pinned, request) in NEWS.iter().zip(requests) {
        assert_eq!(NewsRequest::decode(&bytes(pinned)), Some(request));
    }
    let answers = [
        NewsAnswer { live: true, passed: 7, gone: false },
        NewsAnswer { live: false, passed: 0, gone: true },
    ];
    compare(NEWS_ANSWERS, &answers.map(|answer| hex(&answer.encode())));
    for (pinned, answer) in NEWS_ANSWERS.iter().zip(answers) {
        assert_eq!(NewsAnswer::decode(&bytes(pinned)), Some(answer));
    }
}

const ASKS: &[&str] = &[
    "a36c636f6e766572736174696f6e50020000000000000000000000000001026466726f6d1b00000007d2b75001656974656d7381a261644801020304050607086161a164706f7374a362696450111213141516171800000000000000016565706f63680364626f64794101",
    "a36c636f6e766572736174696f6e50020000000000000000000000000001026466726f6d1b00000007d2b75001656974656d7381a261644801020304050607086161a164706f7374a562696450111213141516171800000000000000016565706f63680364626f6479410167636861696e6564f565616674657200",
    "a36c636f6e766572736174696f6e50020000000000000000000000000001026466726f6d1b00000007d2b75001656974656d7381a261644801020304050607086161a166636f6d6d6974a36565706f63680366636f6d6d6974410164696e666f4102",
    "a36c636f6e766572736174696f6e50020000000000000000000000000001026466726f6d1b00000007d2b75001656974656d7381a261644801020304050607086161a166636f6d6d6974a56565706f63680366636f6d6d6974410164696e666f41026777656c636f6d65410466726f73746572a5676d656d6265727381a2676163636f756e741b00000007d2b7500164726f6c65656f776e65726777726974696e67666d656d62657266616464696e676561646d696e68617070726f76616cf56a696e7669746174696f6e4109",
    "a36c636f6e766572736174696f6e50020000000000000000000000000001026466726f6d1b00000007d2b75001656974656d7381a261644801020304050607086161a1656665746368a0",
    "a36c636f6e766572736174696f6e50020000000000000000000000000001026466726f6d1b00000007d2b75001656974656d7381a261644801020304050607086161a1656665746368a165616674657207",
    "a36c636f6e766572736174696f6e50020000000000000000000000000001026466726f6d1b00000007d2b75001656974656d7381a261644801020304050607086161656c65617665",
    "a36c636f6e766572736174696f6e50020000000000000000000000000001026466726f6d1b00000007d2b75001656974656d7381a261644801020304050607086161a1656b6e6f636ba16a696e7669746174696f6e4105",
];

const ANSWERS: &[&str] = &[
    "a2686f7574636f6d657381a164646f6e65006261741b000001a3185c5000",
    "a2686f7574636f6d657381a164646f6e65076261741b000001a3185c5000",
    "a2686f7574636f6d657381a1636c6f67a4657175657279006c636f6e766572736174696f6e50020000000000000000000000000001026468656164076565706f6368016261741b000001a3185c5000",
    "a2686f7574636f6d657381a1636c6f67a7657175657279006c636f6e766572736174696f6e500200000000000000000000000000010267656e747269657381a665706c616365076466726f6d1b00000007d2b75001666465766963654800000000000000016261741b000001a3185c50006565706f636801676d657373616765a26269645000000007d2b75001000000000000000764626f64794807070707070707076468656164076565706f63680166726f73746572a5676d656d6265727381a2676163636f756e741b00000007d2b7500164726f6c65656f776e65726777726974696e67666d656d62657266616464696e676561646d696e68617070726f76616cf56a696e7669746174696f6e4109657374617465a36777656c636f6d65a26777656c636f6d65410465706c6163650564696e666f410265706c616365066261741b000001a3185c5000",
    "a2686f7574636f6d657381a16772656675736564a164636f64656b7374616c655f65706f63686261741b000001a3185c5000",
    "a2686f7574636f6d657381a16772656675736564a264636f6465686c6f675f66756c6c6b72657472795f61667465721903e86261741b000001a3185c5000",
];

const NEWS: &[&str] = &[
    "a46c636f6e766572736174696f6e500200000000000000000000000000010262746f1b00000007d2b7500267656e747269657383a665706c616365076466726f6d1b00000007d2b75001666465766963654800000000000000016261741b000001a3185c50006565706f636801676d657373616765a26269645000000007d2b75001000000000000000764626f6479480707070707070707a665706c616365086466726f6d1b00000007d2b75001666465766963654800000000000000016261741b000001a3185c50006565706f63680166636f6d6d69744101a665706c616365096466726f6d1b00000007d2b75001666465766963654800000000000000016261741b000001a3185c50006565706f636801676163636f756e74646c6566746477616b65f5",
    "a36c636f6e766572736174696f6e500200000000000000000000000000010262746f1b00000007d2b7500267656e747269657380",
];

const NEWS_ANSWERS: &[&str] =
    &["a2646c697665f56670617373656407", "a3646c697665f4667061737365640064676f6e65f5"];
