//! The picture of a profile: one object of the bucket for each account, put over the one before.
//!
//! Invariants:
//! - its name tells nobody whose it is, and is found from the number alone: nothing is orphaned;
//! - what the mailbox says is there is there: it is told after the bytes came, and before they go. A
//!   picture of which it knows nothing is given to nobody, and goes with the next, or with the account.

use base16ct::lower;
use estafette_protocol::{ErrorCode, MediaId, PhoneNumber, limits};
use estafette_relay::{AccountRequest, MediaWork};
use hmac::Mac;
use worker::Response;

use super::tus::store_failed;
use crate::code::mac;
use crate::front::{Front, answer};
use crate::problem::Failure;
use crate::token::Identity;

const OCTET_STREAM: &str = "application/octet-stream";

/// Under which name the bucket has an account's picture. No lifecycle rule may name what it begins with.
fn key(code_key: &[u8], account: PhoneNumber) -> String {
    let name = mac(code_key, &[b"picture ", account.to_string().as_bytes()]).finalize();
    format!("picture/{}", lower::encode_string(&name.into_bytes()))
}

impl Front {
    fn picture_key(&self, account: PhoneNumber) -> String {
        key(&self.setup.code_key, account)
    }

    pub(crate) async fn put_picture(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise_media().await?;
        let bytes = self.announced(false)?;
        if self.header("content-type").as_deref() != Some(OCTET_STREAM) {
            return Err(ErrorCode::UnsupportedMediaType.into());
        }
        if bytes == 0 {
            return Err(ErrorCode::Malformed.into());
        }
        if bytes > limits::PICTURE_BYTES_MAX {
            return Err(ErrorCode::TooLarge.into());
        }
        // As a file that comes whole is charged. It has no id, and without an end none is kept.
        let (media, open_until) = (MediaId(0), None);
        let work = MediaWork { writes: 1, ..MediaWork::default() };
        let request = AccountRequest::Upload { device, media, bytes, open_until, work };
        self.ask(account, &request).await?;
        let body = self.request.inner().body();
        let stored = self.store.store(&self.picture_key(account), body, None, None).await;
        stored.map_err(store_failed)?;
        let noted = self.granted(account, &AccountRequest::SetPicture { device, bytes }).await;
        if let Err(Failure { code: ErrorCode::DeviceRemoved, .. }) = noted {
            // The account may have been deleted meanwhile.
            self.erase_picture(account).await?;
        }
        noted
    }

    pub(crate) async fn drop_picture(&self) -> Result<Response, Failure> {
        let Identity { account, device } = self.authorise_media().await?;
        let done = self.granted(account, &AccountRequest::SetPicture { device, bytes: 0 }).await?;
        self.erase_picture(account).await?;
        Ok(done)
    }

    /// Deletes an account's picture, if there is one.
    pub(crate) async fn erase_picture(&self, account: PhoneNumber) -> Result<(), Failure> {
        self.store.erase(&self.picture_key(account)).await
    }

    /// Puts the picture of an account that moves where that of its new number is.
    pub(crate) async fn bring_picture(
        &self,
        from: PhoneNumber,
        to: PhoneNumber,
    ) -> Result<(), Failure> {
        let file =
            self.store.fetch(&self.picture_key(from), 0, None).await.map_err(store_failed)?;
        let Some(file) = file else { return self.erase_picture(to).await };
        let stored = self.store.store(&self.picture_key(to), file.content(), None, None).await;
        stored.map_err(store_failed)
    }

    /// Somebody's picture, if it is shown to whoever asks.
    pub(crate) async fn picture(&self, number: PhoneNumber) -> Result<Response, Failure> {
        let identity = self.authorise_media().await?;
        let Identity { account, device } = identity;
        self.ask(account, &AccountRequest::Visit(device)).await?;
        self.ask(number, &AccountRequest::ShownPicture(account)).await?;
        self.count_read(identity).await?;
        let file = self.store.fetch(&self.picture_key(number), 0, None).await;
        let file = file.map_err(store_failed)?.ok_or(ErrorCode::NotFound)?;
        let (tag, size) = (file.tag(), (file.size() as u64).to_string());
        // It may be hidden, or be another, the next time: a copy is used after asking.
        let known = [("etag", tag.as_str()), ("cache-control", "private, no-cache")];
        let whole = [("content-length", size.as_str()), ("content-type", OCTET_STREAM)];
        let knows = self.knows(&tag);
        match file.content() {
            Some(content) if !knows && self.request.inner().method() != "HEAD" => {
                Ok(answer(200, &[known, whole].concat()).stream(content))
            }
            content => {
                if let Some(content) = content {
                    // Nobody reads it, and nobody waits for its end.
                    let _ = content.cancel();
                }
                Ok(if knows {
                    answer(304, &known).empty()
                } else {
                    answer(200, &[known, whole].concat()).empty()
                })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::key;

    /// Nothing finds a picture again that was put under another name.
    #[test]
    fn the_name_of_a_picture_is_pinned() {
        let [alice, bob] = ["+33612345678", "+33612345679"].map(|number| number.parse().unwrap());
        let name = "picture/a671626209ca18f46023a3f9fdd9dc397859f0eba68e84e6d9583f498dde4780";
        assert_eq!(key(b"key", alice), name);
        assert_ne!(key(b"key", alice), key(b"key", bob));
        assert_ne!(key(b"key", alice), key(b"kez", alice));
    }
}
