//! Whoever runs the server: what they may do with their secret, what is written down of it, and what users
//! tell them. And how new accounts fare.
#![allow(missing_docs, clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

mod doors;
mod motd;
mod newcomers;
mod reports;
mod suspension;

use estafette::{ErrorCode, PhoneNumber};
use estafette_e2e::{Answer, Request, Stage};
use estafette_protocol::http::{Audit, Inspection};
use serde_json::json;

/// The admin at a server.
struct Admin<'a> {
    stage: &'a Stage,
    secret: String,
}

impl<'a> Admin<'a> {
    fn of(stage: &'a Stage) -> Self {
        let secret = stage.runtime.var("ADMIN_SECRET").unwrap();
        Self { stage, secret: secret.as_str().unwrap().to_owned() }
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> Answer {
        let request = Request::new(method, path).token(&self.secret);
        // As the edge sets it, whatever a client says.
        let request = request.header("CF-Connecting-IP", "192.0.2.7");
        request.body(body).send(self.stage).await.unwrap()
    }

    async fn suspend(&self, number: PhoneNumber, reason: &str) -> Answer {
        let path = format!("/v1/admin/accounts/{number}/suspension");
        self.ask("PUT", &path, &json!({ "reason": reason }).to_string()).await
    }

    async fn restore(&self, number: PhoneNumber) -> Answer {
        self.ask("DELETE", &format!("/v1/admin/accounts/{number}/suspension"), "").await
    }

    async fn inspect(&self, number: PhoneNumber) -> Inspection {
        let answer = self.ask("GET", &format!("/v1/admin/accounts/{number}"), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_slice(&answer.body).unwrap()
    }

    async fn audit(&self, after: &str) -> Audit {
        let after = if after.is_empty() { String::new() } else { format!("?after={after}") };
        let answer = self.ask("GET", &format!("/v1/admin/audit{after}"), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        serde_json::from_slice(&answer.body).unwrap()
    }
}

const NOT_FOUND: (u16, ErrorCode) = (404, ErrorCode::NotFound);
const SUSPENDED: (u16, ErrorCode) = (403, ErrorCode::Suspended);
