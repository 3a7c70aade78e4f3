//! A second device, as a new user links it: two command lines and an address that is pasted.

use std::fs;
use std::process::Output;

use estafette_e2e::{Desk, Request, Stage, Talk, Wire};
use estafette_protocol::{Encoding, ErrorCode};
use serde_json::Value;

fn succeeded(output: &Output) -> Vec<Value> {
    assert!(output.status.success(), "{output:?}");
    let text = str::from_utf8(&output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The next line of this type.
fn hears(talk: &mut Talk, kind: &str) -> Value {
    let of_kind =
        |line: &str| serde_json::from_str::<Value>(line).is_ok_and(|line| line["type"] == kind);
    serde_json::from_str(&talk.hear(of_kind).unwrap()).unwrap()
}

/// Makes the profile `laptop` another device of Alice. Returns its id.
fn link(stage: &Stage, desk: &Desk) -> String {
    let link = ["link", "--json", "--name", "laptop", "--server", stage.runtime.url()];
    let mut new = desk.start("laptop", &link).unwrap();
    let url = hears(&mut new, "link")["url"].as_str().unwrap().to_owned();
    let linked = succeeded(&desk.run("alice", &["devices", "link", &url, "--json"], "").unwrap());
    assert_eq!((&linked[0]["type"], &linked[0]["name"]), (&"linked".into(), &"laptop".into()));
    let registered = hears(&mut new, "registered");
    assert_eq!(registered["device"], linked[0]["device"]);
    assert!(new.end().unwrap().success());
    registered["device"].as_str().unwrap().to_owned()
}

#[test]
fn a_linked_device_is_one_of_the_conversation() {
    let (stage, desk, [alice, bob]) = Desk::of_two().unwrap();
    let early = ["send", &alice, "before", "--timeout", "60"];
    assert!(desk.run("bob", &early, "").unwrap().status.success());
    link(&stage, &desk);

    // What comes from now on comes to both, and what one sends the other shows as its own.
    let mut laptop = desk.start("laptop", &["listen", "--json"]).unwrap();
    hears(&mut laptop, "drained");
    let send = ["send", &alice, "to both", "--timeout", "60"];
    assert!(desk.run("bob", &send, "").unwrap().status.success());
    let message = hears(&mut laptop, "message");
    assert_eq!((&message["text"], &message["incoming"]), (&"to both".into(), &true.into()));
    let send = ["send", &bob, "from the phone", "--timeout", "60"];
    assert!(desk.run("alice", &send, "").unwrap().status.success());
    let copy = hears(&mut laptop, "message");
    assert_eq!((&copy["text"], &copy["incoming"]), (&"from the phone".into(), &false.into()));
    assert_eq!(copy["peer"], bob.as_str());
    assert!(laptop.interrupt().unwrap().success());

    let mut phone = desk.start("alice", &["listen", "--json"]).unwrap();
    hears(&mut phone, "drained");
    let send = ["send", &bob, "from the laptop", "--timeout", "60"];
    assert!(desk.run("laptop", &send, "").unwrap().status.success());
    let copy = hears(&mut phone, "message");
    assert_eq!((&copy["text"], &copy["incoming"]), (&"from the laptop".into(), &false.into()));

    // Bob sees one Alice.
    let listen = ["listen", "--count", "2", "--json"];
    let heard = succeeded(&desk.run("bob", &listen, "").unwrap());
    let heard: Vec<_> = heard.iter().filter(|line| line["type"] == "message").collect();
    let texts: Vec<_> = heard.iter().map(|message| &message["text"]).collect();
    assert_eq!(texts, ["from the phone", "from the laptop"]);
    assert!(heard.iter().all(|message| message["peer"] == alice.as_str()), "{heard:?}");

    // What is read on one is read on the other, and told to whoever sent it.
    let ask = ["send", &alice, "did you see?", "--wait", "read", "--timeout", "60", "--json"];
    let asking = desk.start("bob", &ask).unwrap();
    let question = hears(&mut phone, "message");
    assert_eq!(question["text"], "did you see?");
    let mut laptop = desk.start("laptop", &["listen", "--read", "--json"]).unwrap();
    assert_eq!(hears(&mut laptop, "message")["id"], question["id"]);
    let elsewhere = hears(&mut phone, "read_elsewhere");
    assert_eq!(elsewhere["peer"], bob.as_str());
    assert!(elsewhere["ids"].as_array().unwrap().contains(&question["id"]), "{elsewhere}");
    assert!(asking.end().unwrap().success());
    for listening in [laptop, phone] {
        assert!(listening.interrupt().unwrap().success());
    }
}

#[tokio::test]
async fn a_device_is_listed_renamed_and_removed_and_then_cut_off_at_once() {
    let (stage, desk, _) = Desk::of_two().unwrap();
    let device = link(&stage, &desk);
    let list = |profile| succeeded(&desk.run(profile, &["devices", "list", "--json"], "").unwrap());
    let primary = list("alice")[0]["id"].as_str().unwrap().to_owned();

    // The primary device names each, the linked one only itself.
    let rename = ["devices", "rename", &device, "kitchen", "laptop"];
    assert!(desk.run("alice", &rename, "").unwrap().status.success());
    let devices = list("laptop");
    assert_eq!(devices.len(), 2);
    let own = devices.iter().find(|listed| listed["id"] == device.as_str()).unwrap();
    assert_eq!(own["name"], "kitchen laptop");
    assert_eq!((&own["current"], &own["primary"]), (&true.into(), &false.into()));
    for refused in [&["devices", "rename", &primary, "mine"][..], &["devices", "remove", &primary]]
    {
        let output = desk.run("laptop", refused, "").unwrap();
        assert_eq!(output.status.code(), Some(6), "{output:?}");
    }

    let account = fs::read(desk.profile("laptop").join("account.json")).unwrap();
    let account: Value = serde_json::from_slice(&account).unwrap();
    let token = account["token"].as_str().unwrap();
    let mut socket = Wire::connect(&stage, token, Encoding::Json).await.unwrap();
    socket.hear().await.unwrap();
    let removed = desk.run("alice", &["devices", "remove", &device], "").unwrap();
    assert!(removed.status.success(), "{removed:?}");
    assert_eq!(socket.end().await.unwrap(), (Some(ErrorCode::DeviceRemoved), 4001));
    for request in [
        Request::new("GET", "/v1/devices"),
        Request::new("POST", "/v1/token"),
        Request::new("GET", "/v1/people"),
        Request::upgrade("estafette.v1.json"),
    ] {
        let answer = request.clone().token(token).send(&stage).await.unwrap();
        assert_eq!(answer.refusal().unwrap(), (401, ErrorCode::DeviceRemoved), "{request:?}");
    }
    let listened = desk.run("laptop", &["listen"], "").unwrap();
    assert_eq!(listened.status.code(), Some(3), "{listened:?}");
    assert_eq!(list("alice").len(), 1);
    // The way back is the way in.
    assert_ne!(link(&stage, &desk), device);
}
