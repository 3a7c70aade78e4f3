//! `estafette verify`: whether nobody is between two people.

use estafette::Safety;

use crate::args::Args;
use crate::failure::{Exit, Failure};
use crate::output::{Line, Output};
use crate::{place, qr};

/// Digits that are read out together, and such groups in a row.
const GROUP: usize = 5;
const ROW: usize = 4;

pub(crate) fn run(
    args: &Args,
    who: &str,
    verified: Option<bool>,
    output: &Output,
) -> Result<(), Failure> {
    let profile = place::profile(args)?;
    let (store, own) = (profile.open_store()?, profile.account().number);
    let contacts = store.contacts()?;
    let peer = place::peer(who, &contacts)?;
    let name = place::name(peer, &contacts).map_or_else(|| peer.to_string(), str::to_owned);
    if let Some(verified) = verified {
        store.verify(peer, verified)?;
    }
    let Some(Safety { number, verified }) = store.safety(own, peer)? else {
        let message = format!("nothing is known of {name}'s keys yet: write to them first");
        return Err(Failure::new(Exit::Failed, message));
    };
    output.line(&Line::Safety { peer, number: &number, verified }, || {
        let compared = place::example(args, &format!("verify {peer} --same"));
        let says = match verified {
            true => format!("You have compared it with {name}: it is the same since."),
            false => format!(
                "Compare it with what {name} sees, face to face or in a call. If it is the same, nobody is\n\
                 between you: {compared} notes that."
            ),
        };
        format!("{}\n\n{says}", qr::with(&number, &grouped(&number)))
    })?;
    Ok(())
}

fn grouped(number: &str) -> String {
    let groups: Vec<_> = number.as_bytes().chunks(GROUP).map(String::from_utf8_lossy).collect();
    let rows: Vec<_> = groups.chunks(ROW).map(|row| row.join(" ")).collect();
    rows.join("\n")
}
