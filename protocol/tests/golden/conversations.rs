//! The frames about keys and conversations, for `golden.rs`.

use estafette_protocol::{
    Body, ClientFrame, Commit, ConversationId, Denied, DeviceId, Done, Enlist, Entry, EntryMessage,
    ErrorCode, FetchKeys, FetchLog, GroupState, Hello, Keys, Knock, Leave, Log, Member, News,
    Package, Passed, Post, Posted, PublishKeys, Role, Roster, ServerFrame, Turn, Welcome,
};

use super::{AT, alice, bob, carol, device, id};

fn direct() -> ConversationId {
    ConversationId::direct(alice(), bob())
}

fn group() -> ConversationId {
    ConversationId::group(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef)
}

fn body(text: &str) -> Body {
    Body(text.as_bytes().to_vec())
}

fn roster(all: bool) -> Roster {
    let mut members = vec![Member { account: alice(), role: Role::Owner }];
    if all {
        members.push(Member { account: carol(), role: Role::Member });
        members.push(Member { account: bob(), role: Role::Admin });
    }
    Roster {
        members,
        writing: if all { Role::Admin } else { Role::Member },
        adding: Role::Admin,
        approval: all,
        invitation: all.then(|| Body(vec![7; 32])),
    }
}

pub(super) fn client_batches() -> Vec<(&'static str, Vec<ClientFrame>)> {
    let post = |chained, after| {
        let (id, conversation, epoch, body) = (id(7), group(), 3, body("hello"));
        ClientFrame::Post(Post { id, conversation, epoch, body, chained, after })
    };
    let publish = |packages: &[&str], last_resort: Option<&str>, anew| {
        let packages = packages.iter().map(|text| body(text)).collect();
        let last_resort = last_resort.map(body);
        ClientFrame::PublishKeys(PublishKeys { query: 1, packages, last_resort, anew })
    };
    let enlist =
        |place, anew| ClientFrame::Enlist(Enlist { query: 2, place, entry: body("entry"), anew });
    let fetch = |after, packages| {
        ClientFrame::FetchKeys(FetchKeys { query: 3, of: bob(), after, packages })
    };
    let commit = |conversation, commit, welcome: Option<&str>, roster| {
        let (commit, info, welcome) = (body(commit), body("info"), welcome.map(body));
        let epoch = u64::from(!commit.0.is_empty());
        let commit = Commit { query: 4, conversation, epoch, commit, info, welcome, roster };
        ClientFrame::Commit(Box::new(commit))
    };
    let look = |after, before| {
        let conversation = direct();
        ClientFrame::FetchLog(FetchLog { query: 5, conversation, after, before })
    };
    let invitation = body("please");
    vec![
        ("post", vec![post(false, None)]),
        ("post, chained after", vec![post(true, Some(4))]),
        ("passed", vec![ClientFrame::Passed(Passed { conversation: group(), place: 9 })]),
        ("publish_keys", vec![publish(&["one", "two"], None, false)]),
        ("publish_keys, anew", vec![publish(&[], Some("last"), true)]),
        ("enlist", vec![enlist(2, false)]),
        ("enlist, anew", vec![enlist(1, true)]),
        ("fetch_keys", vec![fetch(4, false)]),
        ("fetch_keys, packages", vec![fetch(0, true)]),
        ("commit, made", vec![commit(direct(), "", Some("welcome"), None)]),
        ("commit, roster", vec![commit(group(), "commit", None, Some(roster(true)))]),
        ("commit, small roster", vec![commit(group(), "commit", None, Some(roster(false)))]),
        ("fetch_log", vec![look(Some(4), None)]),
        ("fetch_log, state", vec![look(None, None)]),
        ("fetch_log, earlier", vec![look(None, Some(9))]),
        ("leave", vec![ClientFrame::Leave(Leave { query: 6, conversation: group() })]),
        ("knock", vec![ClientFrame::Knock(Knock { query: 7, conversation: group(), invitation })]),
    ]
}

fn entry(place: u64) -> Entry {
    let (from, device) = (alice(), device());
    let (message, commit, account) = (None, None, None);
    Entry { place, from, device, at: AT, epoch: 3, message, commit, account }
}

fn entries() -> Vec<Entry> {
    let message = |after| Some(EntryMessage { id: id(7), body: body("hello"), after });
    let turn = |place, turn| Entry { account: Some(turn), ..entry(place) };
    vec![
        Entry { message: message(None), ..entry(5) },
        Entry { message: message(Some(4)), ..entry(6) },
        Entry { commit: Some(body("commit")), ..entry(7) },
        turn(8, Turn::Left),
        turn(9, Turn::Joined),
        turn(10, Turn::Asked),
    ]
}

pub(super) fn server_batches() -> Vec<(&'static str, Vec<ServerFrame>)> {
    let hello =
        Hello { account: alice(), device: device(), now: AT, waiting: 0, key_packages: Some(99) };
    let done = |place| ServerFrame::Done(Done { query: 4, place });
    let denied = |retry_after, code| ServerFrame::Denied(Denied { query: 4, code, retry_after });
    let package = Package { device: DeviceId(2), package: body("one") };
    let keys =
        |entries, packages| ServerFrame::Keys(Keys { query: 3, first: 5, entries, packages });
    let log = |conversation, entries, roster, state| {
        let log = Log { query: 5, conversation, entries, head: 10, epoch: 4, roster, state };
        ServerFrame::Log(Box::new(log))
    };
    let state = |welcome| GroupState { welcome, info: body("info"), place: 7 };
    let welcome = Some(Welcome { welcome: body("welcome"), place: 1 });
    let posted = Posted { conversation: group(), entries: entries() };
    vec![
        ("hello, key packages", vec![ServerFrame::Hello(hello)]),
        ("done", vec![done(None)]),
        ("done, place", vec![done(Some(7))]),
        ("denied", vec![denied(None, ErrorCode::StaleEpoch)]),
        ("denied, retry after", vec![denied(Some(1000), ErrorCode::Unavailable)]),
        ("keys", vec![keys(vec![body("entry")], vec![package])]),
        ("keys, nothing", vec![keys(vec![], vec![])]),
        ("log", vec![log(group(), entries(), Some(roster(true)), None)]),
        ("log, state", vec![log(direct(), vec![], None, Some(state(None)))]),
        ("log, welcome", vec![log(direct(), vec![], None, Some(state(welcome)))]),
        ("posted", vec![ServerFrame::Posted(posted)]),
        ("news", vec![ServerFrame::News(News { conversations: vec![direct(), group()] })]),
    ]
}
