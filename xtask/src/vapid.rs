//! A pair of keys for pushes (RFC 8292): the private one is a secret of the deployment, the public one
//! is what browsers subscribe with.

use anyhow::Result;
use data_encoding::BASE64URL_NOPAD;
use estafette_testkit::random_secret;
use p256::SecretKey;

/// Prints a fresh pair, and what to do with it.
pub(crate) fn vapid() -> Result<()> {
    let (private, public) = pair()?;
    println!(
        "\
VAPID_KEY   {private}
public key  {public}

The first is a secret. Keep it, and give it to the Worker with

  npx wrangler secret put VAPID_KEY

Set VAPID_SUBJECT in wrangler.toml to an address where push services reach you, such as
mailto:you@example.org. Clients ask the server for the public key (GET /v1/push).

Subscriptions are bound to the key: with another one, every device must subscribe anew."
    );
    Ok(())
}

/// The private and the public key, in base64url.
fn pair() -> Result<(String, String)> {
    loop {
        let private = random_secret()?;
        let bytes = BASE64URL_NOPAD.decode(private.as_bytes())?;
        // One in four thousand million is no key: draw again.
        if let Ok(key) = SecretKey::from_slice(&bytes) {
            return Ok((private, BASE64URL_NOPAD.encode(&key.public_key().to_sec1_bytes())));
        }
    }
}

#[cfg(test)]
mod tests {
    use data_encoding::BASE64URL_NOPAD;

    use super::pair;

    #[test]
    fn pairs_are_fresh_and_of_the_form_that_browsers_take() {
        let (private, public) = pair().unwrap();
        assert_ne!(pair().unwrap().0, private);
        assert_eq!(BASE64URL_NOPAD.decode(private.as_bytes()).unwrap().len(), 32);
        let public = BASE64URL_NOPAD.decode(public.as_bytes()).unwrap();
        assert_eq!((public.len(), public.first()), (65, Some(&4)));
    }
}
