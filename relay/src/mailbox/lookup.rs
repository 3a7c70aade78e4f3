//! Look-up of contacts: how many numbers an account asks for, whom it may find, and who finds it.
//!
//! Invariants:
//! - how many numbers were asked for is kept, and never which;
//! - what passes the allowance is refused whole, and spends nothing;
//! - an account is found by whom it shows its number, and nobody finds whom they hide from. One that
//!   hides, one that blocks and none at all answer alike, and none of them writes anything.

use estafette_protocol::http::{Attribute, Usage};
use estafette_protocol::{ErrorCode, Millis, PhoneNumber};

use super::Mailbox;
use crate::account::AccountAnswer;
use crate::effect::Refusal;
use crate::sql::{Sql, StorageError};

const DAY: Millis = 24 * 60 * 60 * 1000;

/// How many numbers were looked up.
#[derive(Debug, Default)]
pub(crate) struct Lookups {
    /// Of those that an account has at first.
    first: u64,
    /// A day, counted from 1970.
    day: u64,
    /// Of those of that day.
    today: u64,
}

impl Lookups {
    pub(crate) fn new(first: u64, day: u64, today: u64) -> Self {
        Self { first, day, today }
    }
}

impl<S: Sql> Mailbox<S> {
    /// The account asks for these numbers. Answered by those of them whose objects are to be asked.
    pub(crate) fn look_up(
        &mut self,
        now: Millis,
        numbers: Vec<PhoneNumber>,
    ) -> Result<AccountAnswer, StorageError> {
        let mut distinct: Vec<PhoneNumber> = Vec::with_capacity(numbers.len());
        for number in numbers {
            if !distinct.contains(&number) {
                distinct.push(number);
            }
        }
        let budget = self.limits(now).daily_budget;
        if let Err(wait) = self.ledger.check(now, budget) {
            let (code, retry_after) = (ErrorCode::BudgetExhausted, Some(wait));
            return Ok(Refusal { code, retry_after }.into());
        }
        if let Err(refusal) = self.spend_lookups(now, distinct.len() as u64)? {
            return Ok(refusal.into());
        }
        let mut found = Vec::with_capacity(distinct.len());
        for number in distinct {
            if self.shows(number, Attribute::Number)? {
                self.ledger.call();
                found.push(number);
            }
        }
        Ok(AccountAnswer::Found(found))
    }

    /// Another account asks whether this one is there.
    pub(crate) fn findable(&mut self, by: PhoneNumber) -> Result<AccountAnswer, StorageError> {
        if self.account.is_some() && self.shows(by, Attribute::Number)? {
            return Ok(AccountAnswer::Granted);
        }
        Ok(Refusal::from(ErrorCode::NotFound).into())
    }

    /// Counts so many numbers against the allowance: what an account has at first, and then what it
    /// has in a day. One row, whatever the count.
    pub(crate) fn spend_lookups(
        &mut self,
        now: Millis,
        count: u64,
    ) -> Result<Result<(), Refusal>, StorageError> {
        if count == 0 {
            return Ok(Ok(()));
        }
        if count > self.lookups_left(now) {
            let (code, retry_after) = (ErrorCode::LookupLimit, Some(DAY - now % DAY));
            return Ok(Err(Refusal { code, retry_after }));
        }
        let first = count.min(self.limits(now).lookups_first.saturating_sub(self.lookups.first));
        let lookups = &mut self.lookups;
        if lookups.day != now / DAY {
            (lookups.day, lookups.today) = (now / DAY, 0);
        }
        lookups.first += first;
        lookups.today += count - first;
        self.sql.run(
            "UPDATE account SET looked_up = ?, lookup_day = ?, looked_up_today = ?",
            &[lookups.first.into(), lookups.day.into(), lookups.today.into()],
        )?;
        Ok(Ok(()))
    }

    /// How many numbers may be looked up until midnight UTC.
    fn lookups_left(&self, now: Millis) -> u64 {
        let Lookups { first, day, today } = self.lookups;
        let today = if day == now / DAY { today } else { 0 };
        let limits = self.limits(now);
        limits.lookups_first.saturating_sub(first) + limits.lookups_a_day.saturating_sub(today)
    }

    /// What the day's work has cost, and what is left.
    pub(crate) fn usage(&mut self, now: Millis) -> Usage {
        let lookups_left = self.lookups_left(now);
        let budget = self.limits(now).daily_budget;
        Usage { lookups_left, ..self.ledger.usage(now, budget) }
    }
}
