//! Files on their way out.
//!
//! What an id names never changes, so the id is the entity tag, and a client may keep the file for as long
//! as the server does.

use std::cell::RefCell;
use std::collections::BTreeMap;

use estafette_protocol::{ErrorCode, MediaId, PhoneNumber};
use estafette_relay::{AccountRequest, MediaWork};
use wasm_bindgen::JsValue;
use worker::Response;
use worker::js_sys::Date;

use super::file_key;
use super::headers::{self, Range};
use super::store::File;
use crate::front::{Front, answer, problem};
use crate::problem::Failure;
use crate::token::Identity;

/// Fetches of an account that are counted here before its mailbox hears of them: a call for each would
/// cost half as much as the fetch.
const COUNTED_MAX: u32 = 16;
/// Accounts that are counted at once.
const ACCOUNTS_MAX: usize = 4096;

thread_local! {
    static FETCHES: RefCell<BTreeMap<PhoneNumber, u32>> = const { RefCell::new(BTreeMap::new()) };
}

/// What of a file is sent.
enum Sent {
    All,
    /// So many bytes from an offset on.
    Some {
        offset: u64,
        length: u64,
    },
}

impl Front {
    /// `GET` and `HEAD` of a file.
    pub(crate) async fn download(&self, media: MediaId) -> Result<Response, Failure> {
        let identity = self.authorise_media().await?;
        self.count_fetch(identity).await?;
        let tag = format!("\"{media}\"");
        let matches = |list: String| {
            list.split(',')
                .map(str::trim)
                .any(|one| one == "*" || one.trim_start_matches("W/") == tag)
        };
        let known = self.header("if-none-match").is_some_and(matches);
        // Another file than the one of which the client has a part would be sent whole.
        let same = self.header("if-range").is_none_or(|value| value == tag);
        let range = self.header("range").filter(|_| same).as_deref().and_then(headers::range);
        let key = file_key(media);
        if known || self.request.inner().method() == "HEAD" {
            let file = self.store.look(&key).await.map_err(super::tus::store_failed)?;
            let file = self.in_time(file)?;
            let headers = self.describe(&file, &tag);
            let headers = borrowed(&headers);
            return Ok(if known {
                answer(304, headers.get(2..).unwrap_or_default()).empty()
            } else {
                answer(200, &headers).empty()
            });
        }
        match range {
            None => self.send(&key, &tag, None).await,
            Some(Range::From(first, last)) => {
                let length = last.map(|last| last - first + 1);
                self.send(&key, &tag, Some((first, length))).await
            }
            Some(Range::Last(last)) => {
                let file = self.store.look(&key).await.map_err(super::tus::store_failed)?;
                let size = self.in_time(file)?.size() as u64;
                if last == 0 || size == 0 {
                    return Ok(unsatisfiable(size));
                }
                self.send(&key, &tag, Some((size.saturating_sub(last), None))).await
            }
        }
    }

    async fn send(
        &self,
        key: &str,
        tag: &str,
        stretch: Option<(u64, Option<u64>)>,
    ) -> Result<Response, Failure> {
        let file = self.store.fetch(key, stretch).await.map_err(super::tus::store_failed)?;
        let Some(file) = file else {
            // There is no such file, or no such range of it.
            let file = self.store.look(key).await.map_err(super::tus::store_failed)?;
            let file = self.in_time(file)?;
            return Ok(unsatisfiable(file.size() as u64));
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
        let sent = match stretch {
            None => Sent::All,
            Some((offset, length)) => {
                let rest = size.saturating_sub(offset);
                Sent::Some { offset, length: length.map_or(rest, |length| length.min(rest)) }
            }
        };
        let mut headers = self.describe(&file, tag);
        let status = match sent {
            Sent::All => 200,
            Sent::Some { length: 0, .. } => return Ok(unsatisfiable(size)),
            Sent::Some { offset, length } => {
                let range = format!("bytes {offset}-{}/{size}", offset + length - 1);
                headers.push(("content-range", range));
                if let Some(header) = headers.first_mut() {
                    header.1 = length.to_string();
                }
                206
            }
        };
        let response = answer(status, &borrowed(&headers));
        Ok(match content {
            Some(content) => response.stream(content),
            None => response.empty(),
        })
    }

    /// The headers of a file: length and type first, which a 304 has not.
    fn describe(&self, file: &File, tag: &str) -> Vec<(&'static str, String)> {
        let left = (file.uploaded() as u64 + self.setup.media_life).saturating_sub(self.now) / 1000;
        let uploaded = Date::new(&JsValue::from_f64(file.uploaded()));
        vec![
            ("content-length", (file.size() as u64).to_string()),
            ("content-type", "application/octet-stream".to_owned()),
            ("etag", tag.to_owned()),
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

    /// Charges the account now and then for what it fetched.
    async fn count_fetch(&self, Identity { account, device }: Identity) -> Result<(), Failure> {
        let due = FETCHES.with_borrow_mut(|fetches| {
            if fetches.len() >= ACCOUNTS_MAX {
                fetches.clear();
            }
            let count = fetches.entry(account).or_default();
            *count += 1;
            if *count >= COUNTED_MAX { fetches.remove(&account) } else { None }
        });
        if let Some(reads) = due {
            let work = MediaWork { reads, ..MediaWork::default() };
            self.ask(account, &AccountRequest::Media { device, work }).await?;
        }
        Ok(())
    }
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
