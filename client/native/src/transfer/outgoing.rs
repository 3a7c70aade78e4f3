//! Carries out the steps of an upload.

use std::io::{Read, empty};
use std::time::Duration;

use estafette_core::Outgoing;
use estafette_core::media::{Answer, Layout, Upload, UploadStep};
use estafette_protocol::MediaId;
use tokio_tungstenite::tungstenite::http::Method;

use super::sealed::{Failed, UploadBody};
use super::source::{Source, reading};
use super::wire::{Cut, Wire};
use super::{Stage, Work, blocking, ended, random};
use crate::{Account, Error, Handle};

const UPLOADS: &str = "/v1/uploads";
const BYTES: &str = "application/offset+octet-stream";

/// Uploads a file that the store knows, from where it is. Returns its id.
pub(super) async fn run(
    handle: &Handle,
    outgoing: &Outgoing,
    work: &Work,
) -> Result<MediaId, Error> {
    let layout = Layout::of_size(outgoing.file.size)?;
    let mut upload = Upload::new(layout, outgoing.path.as_deref());
    let mut reason = String::new();
    loop {
        let step = match upload.step() {
            UploadStep::Done(id) => return Ok(id),
            UploadStep::Wait(wait) => {
                work.says(Stage::Waiting(wait), upload.reached(), Some(layout.sealed()));
                tokio::time::sleep(Duration::from_millis(wait)).await;
                continue;
            }
            step => step,
        };
        let account = handle.account();
        let server = account.server.address().to_owned();
        let (asked, file, part) = (step.clone(), outgoing.clone(), work.clone());
        let path = upload.path().map(str::to_owned);
        let done = blocking(move || {
            perform(&account, &file, layout, &asked, path.as_deref().unwrap_or(UPLOADS), &part)
        });
        let answer = match done.await? {
            Ok(answer) => Some(answer),
            Err(Cut(why)) => {
                reason = why;
                None
            }
        };
        let before = upload.path().map(str::to_owned);
        let went_on = upload.on_answer(&step, answer.as_ref(), random());
        if upload.path() != before.as_deref() {
            let path = upload.path().map(str::to_owned);
            handle.place_upload(outgoing.id, path).await?;
        }
        went_on.map_err(|error| ended(error, &server, reason.clone()))?;
    }
}

/// Performs one request.
fn perform(
    account: &Account,
    outgoing: &Outgoing,
    layout: Layout,
    step: &UploadStep,
    path: &str,
    work: &Work,
) -> Result<Result<Answer, Cut>, Error> {
    let wire = Wire::new(account);
    match step {
        UploadStep::Create(part) => {
            let request = wire.tus(Method::POST, UPLOADS).header("Upload-Length", layout.sealed());
            if part.is_empty() {
                return wire.ask(request, Some((&mut empty(), 0)));
            }
            let request = request.header("Content-Type", BYTES);
            send(&wire, request, outgoing, layout, (part.start, part.end), work)
        }
        UploadStep::Send(part) => {
            let request = wire
                .tus(Method::PATCH, path)
                .header("Content-Type", BYTES)
                .header("Upload-Offset", part.start);
            send(&wire, request, outgoing, layout, (part.start, part.end), work)
        }
        UploadStep::Ask => wire.ask(wire.tus(Method::HEAD, path), None),
        UploadStep::Look(id) => {
            wire.ask(wire.request(Method::HEAD, &format!("/v1/media/{id}")), None)
        }
        // Nothing to ask.
        UploadStep::Wait(_) | UploadStep::Done(_) => Err(Error::Ended),
    }
}

fn send(
    wire: &Wire<'_>,
    request: tokio_tungstenite::tungstenite::http::request::Builder,
    outgoing: &Outgoing,
    layout: Layout,
    part: (u64, u64),
    work: &Work,
) -> Result<Result<Answer, Cut>, Error> {
    let file = &outgoing.file;
    let source = Source::from_bytes(&file.source).ok_or(Error::Ended)?;
    source.check(&file.stamp)?;
    let reader = source.sealed(&file.key, layout, part.0)?;
    let mut body = UploadBody::new(reader, part, layout.sealed(), work);
    let answer = wire.ask(request, Some((&mut body as &mut dyn Read, part.1 - part.0)));
    match body.failed() {
        Some(Failed::Stopped(error)) => return Err(error),
        Some(Failed::Read(error)) => return Err(reading(source.path())(error)),
        Some(Failed::Short) => return Err(source.changed()),
        None => {}
    }
    source.check(&file.stamp)?;
    answer
}

/// Tells the server that an upload will not be finished. It finds out by itself otherwise.
pub(super) async fn end(handle: &Handle, path: String) {
    let account = handle.account();
    let _ = blocking(move || {
        let wire = Wire::new(&account);
        wire.ask(wire.tus(Method::DELETE, &path), None).map(drop)
    })
    .await;
}
