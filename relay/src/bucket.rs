//! A token bucket, kept as the one time at which it will be full again (GCRA). In memory only:
//! an object is forgotten after ten idle seconds at the earliest, which by then have filled most of it.

use estafette_protocol::Millis;

#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Bucket {
    /// In microseconds, so that hundreds a second are exact.
    full_at: u64,
    /// When a token was last asked for, likewise.
    asked_at: u64,
}

impl Bucket {
    /// Takes one of `burst` tokens that come back at `per_second`; otherwise says how long to wait.
    pub(crate) fn take(&mut self, now: Millis, burst: u32, per_second: u32) -> Result<(), Millis> {
        let now = now * 1000;
        let each = 1_000_000 / u64::from(per_second.max(1));
        let depth = each * u64::from(burst);
        // A clock that goes back takes the bucket along: it neither locks out nor lets in.
        let gone_back = self.asked_at.saturating_sub(now);
        let full_at = self.full_at.saturating_sub(gone_back).max(now);
        (self.full_at, self.asked_at) = (full_at, now);
        if full_at + each > now + depth {
            return Err((full_at + each - now - depth).div_ceil(1000));
        }
        self.full_at = full_at + each;
        Ok(())
    }
}
