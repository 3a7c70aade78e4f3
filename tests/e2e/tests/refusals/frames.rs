//! What is said on a socket: too long, too much, broken, unknown, twice, or about what never was.

use estafette::{Account, ErrorCode, MessageId, PhoneNumber};
use estafette_e2e::{Stage, Stream, Wire};
use estafette_protocol::{
    Ack, ClientFrame, Encoding, Mark, Receipt, ServerFrame, WireMessage, limits,
};
use serde::Serialize;

const ENCODINGS: [Encoding; 2] = [Encoding::Json, Encoding::Cbor];

/// Two who are connected, in one encoding.
struct Pair<'a> {
    stage: &'a Stage,
    alice: Account,
    bob: Account,
    from_alice: Wire,
    to_bob: Wire,
}

fn stage() -> Stage {
    Stage::start(|options| options.var("SEND_BURST", "10000")).unwrap()
}

/// The numbers that a test has for one encoding.
fn number(encoding: Encoding, index: usize) -> PhoneNumber {
    estafette_e2e::number(index + if encoding == Encoding::Json { 0 } else { 100 })
}

impl<'a> Pair<'a> {
    async fn new(stage: &'a Stage, encoding: Encoding) -> Self {
        let alice = stage.register(number(encoding, 0)).await.unwrap();
        let bob = stage.register(number(encoding, 1)).await.unwrap();
        let from_alice = Wire::online(stage, &alice, encoding).await.unwrap();
        let to_bob = Wire::online(stage, &bob, encoding).await.unwrap();
        Self { stage, alice, bob, from_alice, to_bob }
    }

    /// What Alice is told about a batch that goes to nobody.
    async fn errors(&mut self) -> Vec<(ErrorCode, Option<u64>)> {
        let answers = self.from_alice.answers().await.unwrap();
        let error = |frame| match frame {
            ServerFrame::Error(error) => (error.code, error.index),
            ServerFrame::Refused(refused) => (refused.code, None),
            other => panic!("{other:?}"),
        };
        answers.into_iter().map(error).collect()
    }

    /// Alice's socket still works, and Bob gets this message and nothing before it.
    async fn only_now(&mut self, stream: Stream, number: u64) {
        self.from_alice.say(&[stream.message(number, "now")]).await.unwrap();
        let ServerFrame::Deliver(deliver) = self.to_bob.hear().await.unwrap() else { panic!() };
        assert_eq!(deliver.id, stream.id(number));
        assert_eq!(deliver.from, self.alice.number);
        self.to_bob.ack(&[deliver.id]).await.unwrap();
        self.from_alice.until_sent(&[deliver.id]).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_too_long_or_too_much_is_refused_and_what_just_fits_is_taken() {
    let stage = stage();
    for encoding in ENCODINGS {
        let mut pair = Pair::new(&stage, encoding).await;
        let stream = Stream::new(pair.bob.number);
        let calls = pair.stage.calls(&pair.bob).await.unwrap();

        // A body.
        let longest = vec![b'x'; limits::BODY_BYTES_MAX];
        let longer = [&longest[..], b"x"].concat();
        pair.from_alice.say(&[stream.message(1, longer)]).await.unwrap();
        let refused = pair.from_alice.refused().await.unwrap();
        assert_eq!(refused, (vec![stream.id(1)], ErrorCode::TooLarge));

        // A batch: one byte more than it may have, and far more than the runtime takes in.
        let mut batch = vec![b' '; limits::BATCH_BYTES_MAX + 1];
        match encoding {
            Encoding::Json => batch[..2].copy_from_slice(b"[]"),
            // 30 frames of an unknown kind with a long text.
            Encoding::Cbor => {
                let frames = [("unknown", "x".repeat(40_000)); 1]
                    .map(|(kind, text)| std::collections::BTreeMap::from([(kind, text)]));
                let frames = vec![frames[0].clone(); 30];
                let WireMessage::Binary(bytes) = encoding.encode(&frames) else { panic!() };
                batch = bytes;
            }
        }
        assert!(batch.len() > limits::BATCH_BYTES_MAX);
        pair.from_alice.put_bytes(batch).await.unwrap();
        assert_eq!(pair.errors().await, [(ErrorCode::TooLarge, None)]);
        pair.from_alice.put_bytes(vec![b' '; 8 * limits::BATCH_BYTES_MAX]).await.unwrap();
        assert_eq!(pair.errors().await, [(ErrorCode::TooLarge, None)]);

        // Frames and ids.
        let ids = |count| (1..=count).map(|number| stream.id(number)).collect::<Vec<_>>();
        let ack = |count| ClientFrame::Ack(Ack { ids: ids(count) });
        pair.from_alice.say(&vec![ack(0); limits::BATCH_FRAMES_MAX]).await.unwrap();
        assert_eq!(pair.errors().await, []);
        pair.from_alice.say(&vec![ack(0); limits::BATCH_FRAMES_MAX + 1]).await.unwrap();
        assert_eq!(pair.errors().await, [(ErrorCode::TooMany, None)]);
        if encoding == Encoding::Cbor {
            // 2^64 - 1 are announced.
            pair.from_alice.put_bytes([&[0x9b][..], &[0xff; 8]].concat()).await.unwrap();
            assert_eq!(pair.errors().await, [(ErrorCode::TooMany, None)]);
        }
        pair.from_alice.say(&[ack(256), ack(257)]).await.unwrap();
        assert_eq!(pair.errors().await, [(ErrorCode::TooMany, Some(1))]);
        let id = Stream::new(pair.bob.number).id(1);
        let to = pair.bob.number;
        let receipt = Receipt { id, to, ids: ids(257), mark: Mark::Read };
        pair.from_alice.say(&[ClientFrame::Receipt(receipt)]).await.unwrap();
        assert_eq!(pair.from_alice.refused().await.unwrap(), (vec![id], ErrorCode::TooMany));

        // Bob was not bothered with any of it.
        assert_eq!(pair.stage.calls(&pair.bob).await.unwrap(), calls + 1, "the look at it before");
        pair.from_alice.say(&[stream.message(1, longest)]).await.unwrap();
        let ServerFrame::Deliver(deliver) = pair.to_bob.hear().await.unwrap() else { panic!() };
        assert_eq!(deliver.body.0.len(), limits::BODY_BYTES_MAX);
    }
}

/// What no decoder may take, and one that is far deeper than anything has to be.
fn broken(encoding: Encoding, good: &[u8]) -> Vec<Vec<u8>> {
    let nested = |open: &[u8], depth: usize| open.repeat(depth);
    let mut broken: Vec<Vec<u8>> =
        (0..good.len()).step_by(7).map(|length| good[..length].to_vec()).collect();
    broken.push([good, good].concat());
    broken.extend(match encoding {
        Encoding::Json => vec![
            b"{}".to_vec(),
            b"null".to_vec(),
            b"\"ping\"".to_vec(),
            b"[{\"ack\":{\"ids\":[]}},]".to_vec(),
            nested(b"[", 500_000),
            [nested(b"[{\"ack\":", 100_000)].concat(),
            [&nested(b"[", 300_000)[..], &nested(b"]", 300_000)].concat(),
        ],
        Encoding::Cbor => vec![
            vec![0xa0],
            vec![0xf6],
            vec![0x9f],
            vec![0xff],
            // 200 frames are announced.
            vec![0x98, 200],
            // A text of 4 GiB is announced.
            vec![0x81, 0xa1, 0x7a, 0xff, 0xff, 0xff, 0xff, b'x'],
            nested(&[0x81], 500_000),
            nested(&[0x9f], 500_000),
            nested(&[0xc1], 500_000),
            [&[0x81, 0xa1, 0x63][..], b"ack", &nested(&[0xa1, 0x61, b'x'], 100_000)].concat(),
        ],
    });
    broken
}

#[tokio::test]
async fn what_is_broken_is_malformed_and_the_socket_stays() {
    let stage = stage();
    for encoding in ENCODINGS {
        let mut pair = Pair::new(&stage, encoding).await;
        let stream = Stream::new(pair.bob.number);
        let calls = pair.stage.calls(&pair.bob).await.unwrap();
        let good = match encoding.encode(&[stream.message(1, "hello")]) {
            WireMessage::Text(text) => text.into_bytes(),
            WireMessage::Binary(bytes) => bytes,
        };
        for (place, batch) in broken(encoding, &good).into_iter().enumerate() {
            let start = batch[..batch.len().min(40)].to_vec();
            pair.from_alice.put_bytes(batch).await.unwrap();
            let errors = pair.errors().await;
            assert!(
                errors.iter().all(|&(code, _)| code == ErrorCode::Malformed) && errors.len() == 1,
                "{encoding:?} {place} {start:?}: {errors:?}"
            );
        }
        // The other encoding's kind of message.
        let other = match encoding {
            Encoding::Json => WireMessage::Binary(good),
            Encoding::Cbor => WireMessage::Text("[]".to_owned()),
        };
        pair.from_alice.put(other).await.unwrap();
        assert_eq!(pair.errors().await, [(ErrorCode::Malformed, None)]);

        assert_eq!(pair.stage.calls(&pair.bob).await.unwrap(), calls + 1, "the look at it before");
        pair.only_now(stream, 1).await;
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_reaches_nobody() {
    let stage = stage();
    for encoding in ENCODINGS {
        let mut pair = Pair::new(&stage, encoding).await;
        let stream = Stream::new(pair.bob.number);
        let to = pair.bob.number;
        let bytes = match encoding {
            Encoding::Json => {
                let id = stream.id(1);
                let head = format!(r#"[{{"send":{{"id":"{id}","to":"{to}","body":"#);
                [head.as_bytes(), b"\"\xff\xfe\"}}]"].concat()
            }
            // The kind of a frame, then the name of a field.
            Encoding::Cbor => [
                &[0x82, 0xa1, 0x64][..],
                b"s\xffnd",
                &[0xa0, 0xa1, 0x63],
                b"ack",
                &[0xa1, 0x63],
                b"i\xffs",
                &[0x80],
            ]
            .concat(),
        };
        pair.from_alice.put_bytes(bytes).await.unwrap();
        let errors = pair.errors().await;
        assert!(!errors.is_empty(), "{encoding:?}");
        assert!(errors.iter().all(|&(code, _)| code == ErrorCode::Malformed), "{errors:?}");
        pair.only_now(stream, 1).await;
    }
}

#[derive(Serialize)]
#[serde(untagged)]
enum Odd {
    Known(ClientFrame),
    Unknown { call: u8 },
    Two { ack: Ack, call: u8 },
    Later { ack: Newer },
}

#[derive(Serialize)]
struct Newer {
    ids: [MessageId; 0],
    since: [&'static str; 2],
}

#[tokio::test]
async fn an_unknown_frame_is_refused_alone_and_an_unknown_field_is_ignored() {
    let stage = stage();
    for encoding in ENCODINGS {
        let mut pair = Pair::new(&stage, encoding).await;
        let stream = Stream::new(pair.bob.number);
        let batch = [
            Odd::Unknown { call: 1 },
            Odd::Known(stream.message(1, "hello")),
            Odd::Two { ack: Ack { ids: Vec::new() }, call: 1 },
            Odd::Later { ack: Newer { ids: [], since: ["version", "9"] } },
            Odd::Known(ClientFrame::Ack(Ack { ids: Vec::new() })),
        ];
        pair.from_alice.say(&batch).await.unwrap();
        let errors = [(ErrorCode::UnknownFrame, Some(0)), (ErrorCode::Malformed, Some(2))];
        assert_eq!(pair.errors().await, errors);
        let ServerFrame::Deliver(deliver) = pair.to_bob.hear().await.unwrap() else { panic!() };
        assert_eq!(deliver.id, stream.id(1));
        pair.to_bob.ack(&[deliver.id]).await.unwrap();
    }
}

/// A `send` whose recipient is whatever it is.
#[derive(Serialize)]
struct Addressed<T> {
    send: To<T>,
}

#[derive(Serialize)]
struct To<T> {
    id: MessageId,
    to: T,
    body: estafette_protocol::Body,
}

async fn refused_to<T: Serialize>(pair: &mut Pair<'_>, to: T) {
    let id = Stream::new(pair.bob.number).id(1);
    let body = estafette_protocol::Body(b"hello".to_vec());
    pair.from_alice.say(&[Addressed { send: To { id, to, body } }]).await.unwrap();
    assert_eq!(pair.from_alice.refused().await.unwrap(), (vec![id], ErrorCode::Malformed));
}

#[tokio::test]
async fn a_recipient_who_is_no_number_or_is_not_registered_gets_nothing() {
    let stage = stage();
    for encoding in ENCODINGS {
        let before = [stage.woken().unwrap(), stage.kept().unwrap()];
        let mut pair = Pair::new(&stage, encoding).await;
        for to in
            ["", "+", "bob", "0612345678", "+336 12 34 56 78", "+1234567890123456", "+33\u{0}6"]
        {
            refused_to(&mut pair, to).await;
        }
        for to in [0_i64, -1, 999_999, 1_000_000_000_000_000, i64::MAX] {
            refused_to(&mut pair, to).await;
        }
        refused_to(&mut pair, 33_612_345_678.5).await;
        refused_to(&mut pair, [number(encoding, 1)]).await;
        refused_to(&mut pair, None::<u8>).await;
        assert_eq!([stage.woken().unwrap(), stage.kept().unwrap()], before.map(|count| count + 2));

        // Whether anybody is there only the number's own object can say; it keeps nothing.
        let nobody = Stream::new(number(encoding, 9));
        pair.from_alice.say(&nobody.messages(1..=3, b"hello")).await.unwrap();
        let mut refused = Vec::new();
        while refused.len() < 3 {
            let (ids, code) = pair.from_alice.refused().await.unwrap();
            assert_eq!(code, ErrorCode::Unregistered);
            refused.extend(ids);
        }
        let receipt = Receipt {
            id: Stream::new(number(encoding, 9)).id(1),
            to: number(encoding, 9),
            ids: vec![nobody.id(1)],
            mark: Mark::Read,
        };
        let id = receipt.id;
        pair.from_alice.say(&[ClientFrame::Receipt(receipt)]).await.unwrap();
        let refused = pair.from_alice.refused().await.unwrap();
        assert_eq!(refused, (vec![id], ErrorCode::Unregistered));
        assert_eq!([stage.woken().unwrap(), stage.kept().unwrap()], [before[0] + 3, before[1] + 2]);
        pair.only_now(Stream::new(pair.bob.number), 1).await;
    }
}

#[tokio::test]
async fn an_id_that_is_used_twice_is_one_message() {
    let stage = stage();
    for encoding in ENCODINGS {
        let mut pair = Pair::new(&stage, encoding).await;
        let stream = Stream::new(pair.bob.number);
        // Twice in one batch, then while it is held, then when it was acknowledged, with other words.
        let batch = [stream.message(1, "first"), stream.message(1, "other words")];
        pair.from_alice.say(&batch).await.unwrap();
        let ServerFrame::Deliver(deliver) = pair.to_bob.hear().await.unwrap() else { panic!() };
        assert_eq!((deliver.id, &deliver.body.0[..]), (stream.id(1), &b"first"[..]));
        pair.from_alice.say(&[stream.message(1, "first")]).await.unwrap();
        pair.to_bob.ack(&[stream.id(1)]).await.unwrap();
        pair.from_alice.until_sent(&[stream.id(1)]).await.unwrap();
        pair.from_alice.say(&[stream.message(1, "other words")]).await.unwrap();
        pair.from_alice.until_sent(&[stream.id(1)]).await.unwrap();
        pair.only_now(stream, 2).await;

        // While it is stored, and when it was.
        let Pair { bob, mut from_alice, to_bob, .. } = pair;
        to_bob.close().await.unwrap();
        for words in ["third", "other words"] {
            from_alice.say(&[stream.message(3, words)]).await.unwrap();
            from_alice.until_sent(&[stream.id(3)]).await.unwrap();
        }
        let (mut to_bob, waited) = Wire::open(&stage, &bob, encoding).await.unwrap();
        let [ServerFrame::Deliver(deliver)] = &waited[..] else { panic!("{waited:?}") };
        assert_eq!((deliver.id, &deliver.body.0[..]), (stream.id(3), &b"third"[..]));
        to_bob.ack(&[stream.id(3)]).await.unwrap();
        from_alice.say(&[stream.message(3, "other words")]).await.unwrap();
        from_alice.until_sent(&[stream.id(3)]).await.unwrap();
        // To somebody else it is another message.
        let carol = stage.register(number(encoding, 2)).await.unwrap();
        let mut to_carol = Wire::online(&stage, &carol, encoding).await.unwrap();
        from_alice.say(&[stream.to(carol.number).message(3, "third")]).await.unwrap();
        let ServerFrame::Deliver(deliver) = to_carol.hear().await.unwrap() else { panic!() };
        assert_eq!(deliver.id, stream.id(3));
        to_carol.ack(&[stream.id(3)]).await.unwrap();
        assert_eq!(to_bob.answers().await.unwrap(), []);
    }
}

#[tokio::test]
async fn acknowledging_what_was_never_delivered_loses_nothing() {
    const MESSAGES: u64 = 400;
    let stage = stage();
    for encoding in ENCODINGS {
        let Pair { alice, bob, mut from_alice, to_bob, .. } = Pair::new(&stage, encoding).await;
        to_bob.close().await.unwrap();
        let stream = Stream::new(bob.number);
        for first in [1, 201] {
            let numbers = first..=first + 199;
            let ids: Vec<_> = numbers.clone().map(|number| stream.id(number)).collect();
            from_alice.say(&stream.messages(numbers, b"hello")).await.unwrap();
            from_alice.until_sent(&ids).await.unwrap();
        }

        // The server has put at most 256 on the socket. Bob acknowledges the others, and what nobody
        // ever sent, and only then what he has.
        let mut to_bob = Wire::connect(&stage, &bob.token, encoding).await.unwrap();
        let ServerFrame::Hello(hello) = to_bob.hear().await.unwrap() else { panic!() };
        assert_eq!(hello.waiting, MESSAGES);
        let deliveries = |frames: Vec<ServerFrame>| -> Vec<MessageId> {
            let id = |frame| match frame {
                ServerFrame::Deliver(deliver) => deliver.id,
                other => panic!("{other:?}"),
            };
            frames.into_iter().map(id).collect()
        };
        let mut got = deliveries(to_bob.answers().await.unwrap());
        assert!((1..=limits::UNACKNOWLEDGED_MAX).contains(&got.len()), "{}", got.len());
        let not_yet: Vec<_> =
            (got.len() as u64 + 1..=MESSAGES).map(|number| stream.id(number)).collect();
        let invented: Vec<_> = (1..=100).map(|number| Stream::new(bob.number).id(number)).collect();
        to_bob.ack(&not_yet).await.unwrap();
        to_bob.ack(&invented).await.unwrap();
        assert_eq!(to_bob.answers().await.unwrap(), []);
        to_bob.ack(&got).await.unwrap();
        to_bob.ack(&got).await.unwrap();
        loop {
            match to_bob.hear().await.unwrap() {
                ServerFrame::Deliver(deliver) => {
                    got.push(deliver.id);
                    to_bob.ack(&[deliver.id]).await.unwrap();
                }
                ServerFrame::Drained(_) => break,
                other => panic!("{other:?}"),
            }
        }
        let all: Vec<_> = (1..=MESSAGES).map(|number| stream.id(number)).collect();
        assert_eq!(got, all, "each once, in order");

        // Alice acknowledges what was never hers: her receipts still come.
        from_alice.ack(&all[..200]).await.unwrap();
        let mut delivered = 0;
        while delivered < all.len() {
            let receipt = from_alice.until(|frame| match frame {
                ServerFrame::Receipt(receipt) => Some(receipt),
                _ => None,
            });
            let receipt = receipt.await.unwrap();
            assert_eq!((receipt.from, receipt.mark), (bob.number, Mark::Delivered));
            delivered += receipt.ids.len();
            from_alice.ack(&[receipt.id]).await.unwrap();
        }
        from_alice.answers().await.unwrap();
        for (wire, account) in [(from_alice, &alice), (to_bob, &bob)] {
            wire.close().await.unwrap();
            Wire::online(&stage, account, encoding).await.unwrap().close().await.unwrap();
        }
    }
}
