//! What deletes files: the hourly job, for those whose time is over, fragments that nobody came back for,
//! and notes of who approved a device; and the end of an account.
//!
//! R2's lifecycle rule does the same, where it is set, a day late; and nobody can fetch a file whose time
//! is over (`download`). So a run does a bounded work: it looks at no more than 100,000 files, from a place
//! on that is another each hour.

use estafette_protocol::limits::UPLOAD_LIFE;
use estafette_protocol::{Body, ErrorCode, MediaId, Millis};
use estafette_relay::{AccountReply, AccountRequest};
use wasm_bindgen::prelude::*;
use worker::{Env, js_sys, wasm_bindgen_futures};

use super::name::UploadName;
use super::store::{Store, answered};
use super::tus::{Opened, store_failed};
use super::{FILES, FRAGMENTS};
use crate::front::Front;
use crate::link;
use crate::problem::Failure;
use crate::token::Identity;

/// Thousands of files that one run looks at: each is an operation of R2.
const PAGES_MAX: u32 = 100;
const HOUR: Millis = 60 * 60 * 1000;

/// One run, at a time of the platform's clock.
#[wasm_bindgen]
pub async fn sweep(env: Env, store: Store, at: f64) -> Result<(), JsValue> {
    let failed = |_| js_sys::Error::new("the sweep did not end");
    let setup = crate::front::setup(&env)
        .map_err(|_| js_sys::Error::new("the deployment is set up wrongly"))?;
    let now = at as Millis;
    let before = now.saturating_sub(setup.media_life) as f64;
    let start = format!("{FILES}{:032x}", start(now));
    let looked = answered("list", store.sweep(FILES, &start, before, PAGES_MAX));
    let looked = looked.await.map_err(failed)?.as_f64().unwrap_or_default() as u32;
    if looked < PAGES_MAX {
        // To the end of the names, and on from their beginning.
        let rest = store.sweep(FILES, FILES, before, PAGES_MAX - looked);
        answered("list", rest).await.map_err(failed)?;
    }
    // An upload is over a day after it was begun, and its object drops its fragments.
    let before = now.saturating_sub(2 * UPLOAD_LIFE) as f64;
    let fragments = store.sweep(FRAGMENTS, FRAGMENTS, before, PAGES_MAX);
    answered("list", fragments).await.map_err(failed)?;
    let before = now.saturating_sub(HOUR) as f64;
    let links = store.sweep(link::PREFIX, link::PREFIX, before, PAGES_MAX);
    answered("list", links).await.map_err(failed)?;
    Ok(())
}

impl Front {
    /// Deletes all files of the account, finished or not, if its primary device asks.
    pub(crate) async fn delete_files(&self, identity: Identity) -> Result<(), Failure> {
        let Identity { account, device } = identity;
        let uploads = match self.ask(account, &AccountRequest::Uploads(device)).await? {
            AccountReply::Data(Body(uploads)) => str::from_utf8(&uploads)
                .ok()
                .and_then(|uploads| serde_json::from_str::<Vec<MediaId>>(uploads).ok()),
            _ => None,
        };
        for media in uploads.ok_or(ErrorCode::Internal)? {
            let name = UploadName { media, length: 0, begun_at: 0 };
            match self.end_upload(Opened { identity, name }).await {
                Err(failure) if failure.code != ErrorCode::Gone => return Err(failure),
                _ => {}
            }
        }
        for prefix in self.setup.places.of(account) {
            loop {
                let page = self.store.sweep(&prefix, &prefix, f64::INFINITY, PAGES_MAX);
                let looked = answered("list", page).await.map_err(store_failed)?;
                if looked.as_f64().is_none_or(|pages| pages < f64::from(PAGES_MAX)) {
                    break;
                }
            }
        }
        Ok(())
    }
}

/// Where the run of an hour starts: each hour goes on by the golden section of all names, so that any
/// number of runs is spread evenly over them.
fn start(now: Millis) -> u128 {
    const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;
    u128::from((now / HOUR).wrapping_mul(GOLDEN)) << 64
}

#[cfg(test)]
mod tests {
    use super::{HOUR, start};

    #[test]
    fn a_month_of_runs_leaves_no_large_gap() {
        let mut starts: Vec<_> = (0..720).map(|hour| start(hour * HOUR + 5)).collect();
        starts.sort_unstable();
        starts.push(u128::MAX);
        let gap = starts.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
        assert!(gap < u128::MAX / 300, "an even spread has gaps of 1/720");
    }
}
