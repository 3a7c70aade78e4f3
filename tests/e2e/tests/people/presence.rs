//! Who is there and who types, between objects that sleep most of the time.

use std::time::Duration;

use estafette::{Account, Activity, Millis, Usage};
use estafette_e2e::{Person, Stage, Wire, number};
use estafette_protocol::{ChatState, ClientFrame, Encoding, PhoneNumber, Presence, ServerFrame};
use estafette_testkit::TempDir;
use tokio::time::{sleep, timeout};

/// The runtime forgets an object after ten seconds without an event.
const SILENCE: Duration = Duration::from_secs(12);
/// What a thing that must happen may take on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) fn says(available: bool, watch: &[PhoneNumber]) -> ClientFrame {
    ClientFrame::Presence(Presence { available, watch: watch.to_vec() })
}

pub(crate) fn types(to: PhoneNumber, state: Activity) -> ClientFrame {
    ClientFrame::ChatState(ChatState { to, state })
}

/// The next that is told of somebody who is watched.
async fn told(wire: &mut Wire, of: PhoneNumber) -> (bool, Option<Millis>) {
    let seen = wire.until(|frame| match frame {
        ServerFrame::Presence(seen) => Some(seen),
        _ => None,
    });
    let seen = seen.await.unwrap();
    assert_eq!(seen.from, of);
    (seen.available, seen.last_seen)
}

pub(crate) async fn two(stage: &Stage) -> ([Account; 2], [Wire; 2]) {
    let alice = stage.register(number(0)).await.unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    let wires = [
        Wire::online(stage, &alice, Encoding::Json).await.unwrap(),
        Wire::online(stage, &bob, Encoding::Cbor).await.unwrap(),
    ];
    ([alice, bob], wires)
}

/// Two programs with each other's chat open.
pub(crate) async fn two_clients(stage: &Stage, stores: &TempDir) -> [Person; 2] {
    let mut people = Vec::new();
    for index in 0..2 {
        let account = stage.register(number(index)).await.unwrap();
        let mut person = Person::new(account, stores.path().join(format!("{index}.db")));
        person.come().await.unwrap();
        people.push(person);
    }
    let [alice, bob] = <[Person; 2]>::try_from(people).ok().unwrap();
    for (person, peer) in [(&alice, &bob), (&bob, &alice)] {
        let handle = person.handle().unwrap();
        handle.set_available(true).await.unwrap();
        handle.open_chat(Some(peer.number())).await.unwrap();
    }
    [alice, bob]
}

pub(crate) async fn usage(stage: &Stage, account: &Account) -> Usage {
    stage.server().usage(&account.token).await.unwrap()
}

#[tokio::test]
async fn whoever_watches_is_told_even_after_both_mailboxes_slept() {
    let stage = Stage::start(|options| options).unwrap();
    let ([alice, bob], [mut watching, mut watched]) = two(&stage).await;
    watching.say(&[says(true, &[bob.number])]).await.unwrap();
    assert_eq!(told(&mut watching, bob.number).await, (false, None));
    watched.say(&[says(true, &[])]).await.unwrap();
    assert_eq!(told(&mut watching, bob.number).await, (true, None));

    sleep(SILENCE).await;
    watched.say(&[says(false, &[])]).await.unwrap();
    let (available, last_seen) = told(&mut watching, bob.number).await;
    assert!(!available && last_seen.is_some());
    // Both objects are new, and the change was one message to the one and one call to the other.
    let (of_alice, of_bob) = (usage(&stage, &alice).await, usage(&stage, &bob).await);
    let cost = |usage: &Usage| (usage.requests - 1, usage.socket_messages);
    assert_eq!((cost(&of_alice), cost(&of_bob)), ((1, 0), (0, 1)));

    // A socket that closes says as much, and the next one says nothing by itself.
    watched.say(&[says(true, &[])]).await.unwrap();
    assert_eq!(told(&mut watching, bob.number).await, (true, None));
    watched.close().await.unwrap();
    let (available, later) = told(&mut watching, bob.number).await;
    assert!(!available && later >= last_seen);
    let mut watched = Wire::online(&stage, &bob, Encoding::Json).await.unwrap();
    assert_eq!(watching.answers().await.unwrap(), []);
    watched.say(&[says(true, &[])]).await.unwrap();
    assert_eq!(told(&mut watching, bob.number).await, (true, None));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn real_clients_see_each_other_again_after_a_crash_of_the_server() {
    let stage = Stage::start(|options| options).unwrap();
    let stores = TempDir::new().unwrap();
    let [alice, mut bob] = two_clients(&stage, &stores).await;
    let is_there = |from: usize| {
        move |seen: &estafette_e2e::Seen| {
            seen.presence.iter().skip(from).any(|told| *told == (true, None))
        }
    };
    for person in [&alice, &bob] {
        timeout(PATIENCE, person.until(is_there(0))).await.unwrap();
    }

    let told = [&alice, &bob].map(|person| person.seen().presence.len());
    stage.runtime.kill().unwrap();
    stage.runtime.restart().unwrap();
    for (person, told) in [&alice, &bob].into_iter().zip(told) {
        timeout(PATIENCE, person.until(is_there(told))).await.unwrap();
    }

    bob.go().await.unwrap();
    let gone = alice.until(|seen| matches!(seen.presence.last(), Some((false, Some(_)))));
    timeout(PATIENCE, gone).await.unwrap();
    let told = alice.seen().presence.len();
    bob.come().await.unwrap();
    bob.handle().unwrap().set_available(true).await.unwrap();
    timeout(PATIENCE, alice.until(is_there(told))).await.unwrap();
}

#[tokio::test]
async fn typing_arrives_now_or_never_and_is_kept_nowhere() {
    let stage = Stage::start(|options| options).unwrap();
    let ([alice, bob], [mut typist, mut reader]) = two(&stage).await;
    let rows = (usage(&stage, &alice).await.rows_written, usage(&stage, &bob).await.rows_written);
    let kept = stage.kept().unwrap();
    for state in [Activity::Composing, Activity::Recording, Activity::Paused] {
        typist.say(&[types(bob.number, state)]).await.unwrap();
        let ServerFrame::ChatState(doing) = reader.hear().await.unwrap() else { panic!() };
        assert_eq!((doing.from, doing.state), (alice.number, state));
    }
    reader.close().await.unwrap();
    // To somebody who is away, to nobody, and to oneself: without a word.
    let to = [bob.number, number(9), alice.number];
    typist.say(&to.map(|to| types(to, Activity::Composing))).await.unwrap();
    assert_eq!(typist.answers().await.unwrap(), []);
    let mut reader = Wire::online(&stage, &bob, Encoding::Json).await.unwrap();
    assert_eq!(reader.answers().await.unwrap(), []);
    let after = (usage(&stage, &alice).await.rows_written, usage(&stage, &bob).await.rows_written);
    assert_eq!((after, stage.kept().unwrap()), (rows, kept));
}
