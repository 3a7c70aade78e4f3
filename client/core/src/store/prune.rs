//! Forgets what is old, so that the store stays small.
//!
//! Invariant: a message that was shown is known for as long as the server may deliver it again.
//! After it is deleted, `heard.pruned` stands for it.

use estafette_protocol::{Millis, limits};

use super::{Store, StoreError, signed};

/// How long a silent stream is remembered: twice as long as the server keeps a message.
const STREAM_LIFE: Millis = 2 * limits::MESSAGE_LIFE;

impl Store {
    /// Deletes the settled messages that are older than `keep`, and gives their room back.
    pub(crate) fn prune(&self, now: Millis, keep: Millis) -> Result<(), StoreError> {
        let before = signed(now.saturating_sub(keep));
        let deleted = self.transaction(|| {
            // What has no date yet, or one in the future, is dated now.
            self.connection
                .execute("UPDATE message SET kept_at = ?1 WHERE kept_at > ?1", [signed(now)])?;
            self.connection
                .execute("UPDATE heard SET heard_at = ?1 WHERE heard_at > ?1", [signed(now)])?;
            self.connection.execute(
                "UPDATE heard SET pruned = max(heard.pruned, old.number)
                 FROM (SELECT iif(incoming, peer, own.value) AS peer, device, stream,
                        max(number) AS number
                    FROM message LEFT JOIN setting AS own ON own.name = 'account'
                    WHERE kept_at < ? GROUP BY incoming, message.peer, device, stream) AS old
                 WHERE (heard.peer, heard.device, heard.stream)
                    = (old.peer, old.device, old.stream)",
                [before],
            )?;
            let life = signed(now.saturating_sub(STREAM_LIFE));
            self.connection.execute("DELETE FROM heard WHERE heard_at < ?", [life])?;
            // The server has long forgotten what was not finished.
            self.connection
                .execute("UPDATE upload SET begun_at = ?1 WHERE begun_at > ?1", [signed(now)])?;
            self.connection.execute("DELETE FROM upload WHERE begun_at < ?", [before])?;
            let statement = "DELETE FROM message WHERE kept_at < ? AND settled = 1";
            Ok(self.connection.execute(statement, [before])?)
        })?;
        if deleted > 0 {
            let mut vacuum = self.connection.prepare("PRAGMA incremental_vacuum")?;
            let mut pages = vacuum.query([])?;
            while pages.next()?.is_some() {}
        }
        Ok(())
    }
}
