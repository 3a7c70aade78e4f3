//! Files on their way out.
//!
//! What an id names never changes, so the id is the entity tag, and a client may keep the file for as long
//! as the server does.

use std::cell::RefCell;

use estafette_protocol::{ErrorCode, MediaId, PhoneNumber};
use estafette_relay::{AccountRequest, MediaWork};
use wasm_bindgen::JsValue;
use worker::Response;
use worker::js_sys::Date;

use super::headers::{self, Range};
use super::store::{File, reads};
use super::tus::store_failed;
use crate::front::{Front, answer, problem};
use crate::problem::Failure;
use crate::token::Identity;

/// Reads for an account that are counted here before its mailbox hears of them: a call for each would
/// cost half as much as the read.
const COUNTED_MAX: u32 = 16;
/// Accounts that are counted at once: the one that came first is forgotten.
const ACCOUNTS_MAX: usize = 256;

thread_local! {
    static READS: RefCell<Vec<(PhoneNumber, u32)>> = const { RefCell::new(Vec::new()) };
}

impl Front {
    /// `GET` and `HEAD` of a file.
    pub(crate) async fn download(&self, media: MediaId) -> Result<Response, Failure> {
        let identity = self.authorise_media().await?;
        self.count_read(identity).await?;
        let tag = tag(media);
        let known = self.knows(&tag);
        // Of another file than the one of which the client has a part, all would be sent.
        let same = self.header("if-range").is_none_or(|value| value == tag);
        let range = self.header("range").filter(|_| same).as_deref().and_then(headers::range);
        let only_head = self.request.inner().method() == "HEAD";
        let account = identity.account;
        match range {
            Some(Range::From(first, last)) if !known && !only_head => {
                let length = last.map(|last| last - first + 1);
                self.send(account, media, Some((first, length))).await
            }
            None if !known && !only_head => self.send(account, media, None).await,
            range => {
                let file =
                    self.store.look(&self.setup.places.file(media)).await.map_err(store_failed)?;
                let file = self.in_time(file)?;
                let headers = self.describe(&file, media);
                let headers = borrowed(&headers);
                let size = file.size() as u64;
                match range {
                    // A file that is known has neither length nor type again.
                    _ if known => Ok(answer(304, headers.get(2..).unwrap_or_default()).empty()),
                    Some(Range::Last(last)) if !only_head => match size.min(last) {
                        0 => Ok(unsatisfiable(size)),
                        last => self.send(account, media, Some((size - last, None))).await,
                    },
                    _ => Ok(answer(200, &headers).empty()),
                }
            }
        }
    }

    /// Whether whoever asks has what an entity tag names.
    pub(crate) fn knows(&self, tag: &str) -> bool {
        self.header("if-none-match").is_some_and(|list| headers::is_known(&list, tag))
    }

    async fn send(
        &self,
        account: PhoneNumber,
        media: MediaId,
        stretch: Option<(u64, Option<u64>)>,
    ) -> Result<Response, Failure> {
        let key = self.setup.places.file(media);
        let (offset, length) = stretch.unwrap_or_default();
        let file = self.store.fetch(&key, offset, length).await.map_err(store_failed)?;
        let Some(file) = file else {
            // There is no such file, or nothing of it at the offset.
            let file = self.store.look(&key).await.map_err(store_failed)?;
            let file = self.in_time(file)?;
            return Ok(match stretch {
                None => answer(200, &borrowed(&self.describe(&file, media))).empty(),
                Some(_) => unsatisfiable(file.size() as u64),
            });
        };
        let content = file.content();
        let file = match self.in_time(Some(file)) {
            Ok(file) => file,
            Err(failure) => {
                if let Some(content) = content {
                    // Nobody reads it, and nobody waits for its end.
                    let _ = content.cancel();
                }
                return Err(failure);
            }
        };
        let size = file.size() as u64;
        let rest = size.saturating_sub(offset);
        let sent = length.map_or(rest, |length| length.min(rest));
        if stretch.is_some() && sent == 0 {
            return Ok(unsatisfiable(size));
        }
        note_reads(account, reads(sent) - 1);
        let mut headers = self.describe(&file, media);
        let mut status = 200;
        if stretch.is_some() {
            status = 206;
            let range = format!("bytes {offset}-{}/{size}", offset + sent.max(1) - 1);
            headers.push(("content-range", range));
            if let Some((_, length)) = headers.first_mut() {
                *length = sent.to_string();
            }
        }
        let response = answer(status, &borrowed(&headers));
        Ok(match content {
            Some(content) => response.stream(content),
            None => response.empty(),
        })
    }

    /// The headers of a file: length and type first, which a 304 has not.
    fn describe(&self, file: &File, media: MediaId) -> Vec<(&'static str, String)> {
        let left = (file.uploaded() as u64 + self.setup.media_life).saturating_sub(self.now) / 1000;
        let uploaded = Date::new(&JsValue::from_f64(file.uploaded()));
        vec![
            ("content-length", (file.size() as u64).to_string()),
            ("content-type", "application/octet-stream".to_owned()),
            ("etag", tag(media)),
            ("cache-control", format!("private, max-age={left}, immutable")),
            ("last-modified", uploaded.to_utc_string().into()),
            ("accept-ranges", "bytes".to_owned()),
        ]
    }

    /// A file whose time is over is not there, whether it was deleted yet or not.
    fn in_time(&self, file: Option<File>) -> Result<File, Failure> {
        let kept = |file: &File| self.now < file.uploaded() as u64 + self.setup.media_life;
        file.filter(kept).ok_or_else(|| ErrorCode::NotFound.into())
    }

    /// Charges the account now and then for what it fetched, or looked at.
    pub(super) async fn count_read(
        &self,
        Identity { account, device }: Identity,
    ) -> Result<(), Failure> {
        let reads = note_reads(account, 1);
        if reads >= COUNTED_MAX {
            READS.with_borrow_mut(|all| all.retain(|(counted, _)| *counted != account));
            let work = MediaWork { reads, ..MediaWork::default() };
            self.ask(account, &AccountRequest::Media { device, work }).await?;
        }
        Ok(())
    }
}

/// Counts reads for an account; returns how many its mailbox does not know of.
fn note_reads(account: PhoneNumber, reads: u32) -> u32 {
    READS.with_borrow_mut(|all| {
        if let Some((_, count)) = all.iter_mut().find(|(counted, _)| *counted == account) {
            *count += reads;
            return *count;
        }
        if all.len() >= ACCOUNTS_MAX {
            all.remove(0);
        }
        all.push((account, reads));
        reads
    })
}

fn tag(media: MediaId) -> String {
    format!("\"{media}\"")
}

fn borrowed<'a>(headers: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    headers.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

fn unsatisfiable(size: u64) -> Response {
    let response = problem(&ErrorCode::UnsatisfiableRange.into());
    // The program's own: not refused.
    let _ = response.headers().set("content-range", &format!("bytes */{size}"));
    response
}
