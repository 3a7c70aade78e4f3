//! An account is its owner's: exported and deleted by the command line.

use estafette_e2e::Desk;
use serde_json::Value;

#[test]
fn an_account_is_exported_and_deleted_by_its_owner() {
    let (_stage, desk, [alice, bob]) = Desk::of_two().unwrap();
    let send = ["send", &alice, "before", "--timeout", "60"];
    assert!(desk.run("bob", &send, "").unwrap().status.success());
    let exported = desk.run("alice", &["account", "export"], "").unwrap();
    assert!(exported.status.success(), "{exported:?}");
    let export: Value = serde_json::from_slice(&exported.stdout).unwrap();
    assert_eq!(export["number"], alice.as_str());
    assert_eq!(export["devices"].as_array().unwrap().len(), 1);
    assert_eq!(export["waiting"][0]["from"], bob.as_str());
    assert!(!String::from_utf8(exported.stdout).unwrap().contains("before"), "no body is in it");

    let wrong = desk.run("alice", &["account", "delete", &bob], "").unwrap();
    assert_eq!(wrong.status.code(), Some(2), "{wrong:?}");
    assert!(desk.run("bob", &send, "").unwrap().status.success(), "nothing was deleted");

    let deleted = desk.run("alice", &["account", "delete"], &format!("{alice}\n")).unwrap();
    assert!(deleted.status.success(), "{deleted:?}");
    let again = desk.run("bob", &send, "").unwrap();
    assert_eq!(again.status.code(), Some(6), "nobody is registered there: {again:?}");
    let listening = desk.run("alice", &["listen", "--count", "1"], "").unwrap();
    assert_eq!(listening.status.code(), Some(3), "signed out: {listening:?}");
}
