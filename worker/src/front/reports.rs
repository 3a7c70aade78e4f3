//! `POST /v1/reports`: somebody tells the operator of somebody. The server keeps nothing of it.

use estafette_protocol::http::{ReportReason, ReportRequest, ReportedMessage};
use estafette_protocol::{ErrorCode, Millis, PhoneNumber, limits};
use estafette_relay::AccountRequest;
use serde::Serialize;
use worker::Response;

use super::{Front, answer};
use crate::gateway;
use crate::input;
use crate::log::{self, Event};
use crate::problem::Failure;
use crate::token::Identity;

/// How long to wait before a report is made again that nobody took.
const AGAIN: Millis = 60_000;

/// A report as it is posted.
#[derive(Serialize)]
struct Report<'a> {
    at: Millis,
    reporter: PhoneNumber,
    reported: PhoneNumber,
    reason: ReportReason,
    comment: &'a str,
    messages: &'a [ReportedMessage],
}

impl Front {
    pub(super) async fn report(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise().await?;
        let body = self.body_up_to(limits::REPORT_BYTES_MAX).await?;
        let (reported, request) = input::report(&body)?;
        let desk = self.setup.reports.as_ref().ok_or(ErrorCode::ReportsUnavailable)?;
        self.granted(account, &AccountRequest::Report(device)).await?;
        let ReportRequest { reason, comment, messages, .. } = &request;
        let (at, reporter) = (self.now, account);
        let report = Report { at, reporter, reported, reason: *reason, comment, messages };
        let report = serde_json::to_string(&report).or(Err(ErrorCode::Internal))?;
        gateway::post(desk, &report).await.map_err(|error| {
            log::write(&Event::Report(error));
            Failure::for_now(ErrorCode::ReportsUnavailable, AGAIN)
        })?;
        Ok(answer(204, &[]).empty())
    }
}
