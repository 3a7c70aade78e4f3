//! Accounts on their first day, where a server is set up as by default.

use estafette::ErrorCode;
use estafette_e2e::{Stage, Stream, Wire, number};
use estafette_protocol::{Encoding, ServerFrame};

use crate::Admin;

#[tokio::test]
async fn a_new_account_has_a_quarter_of_the_limits() {
    let stage = Stage::start(|options| options.var("NEW_ACCOUNT_MS", "")).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let bob = stage.register(number(1)).await.unwrap();
    let usage = stage.server().usage(&alice.token).await.unwrap();
    assert_eq!(usage.budget, 5_000_000);
    let standing = Admin::of(&stage).inspect(alice.number).await;
    assert_eq!((standing.limits.send_burst, standing.limits.sends_per_second), (15, 2));
    assert_eq!(standing.limits.upload_bytes_a_day, 1 << 30);
    let registered_at = standing.registered_at.unwrap();
    assert_eq!(standing.new_until, Some(registered_at + 86_400_000));

    let mut wire = Wire::online(&stage, &alice, Encoding::Cbor).await.unwrap();
    let stream = Stream::new(bob.number);
    wire.say(&stream.messages(1..=60, b"hi")).await.unwrap();
    let first = wire.until(|frame| match frame {
        ServerFrame::Refused(refused) => Some((refused.code, refused.ids[0].number)),
        _ => None,
    });
    let (code, number) = first.await.unwrap();
    assert_eq!(code, ErrorCode::RateLimited);
    // One or two may have come back while the batch was read.
    assert!((16..=18).contains(&number), "{number}");
}

#[tokio::test]
async fn where_it_is_set_so_nobody_is_new() {
    let stage = Stage::start(|options| options.var("NEW_ACCOUNT_MS", 0)).unwrap();
    let alice = stage.register(number(0)).await.unwrap();
    let standing = Admin::of(&stage).inspect(alice.number).await;
    assert_eq!((standing.limits.send_burst, standing.new_until), (60, None));
    assert_eq!(standing.usage.budget, 20_000_000);
}
