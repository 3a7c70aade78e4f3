//! What a commit may do.
//!
//! Invariant: a leaf comes in only as a device that its account lists, under the key that the list names, and
//! never in the place of another; and who changes the roster was let to by the roster before.

use estafette_protocol::{ConversationId, Roster};
use openmls::prelude::{
    BasicCredential, Credential, LeafNode, MlsGroup, Proposal, Sender, StagedCommit,
};

use super::settings::{roster, roster_of};
use super::{Committed, Leaf, Lists, MlsError};

/// What was found out about somebody, the server or a member, who is not honest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Suspicion {
    /// A leaf says that it is a device which its account does not list, or under another key.
    Ghost(Leaf),
    /// A leaf cannot be read.
    Nobody,
    /// Two leaves say that they are the same device.
    Twice(Leaf),
    /// Somebody put themselves in the place of another.
    Impostor(Leaf),
    /// Somebody removed a device that its account lists.
    Removed(Leaf),
    /// A member did what the roster does not let them.
    Unauthorized(Leaf),
    /// It was not made by whom the server says.
    NotTheirs(Leaf),
    /// It is not what the server says it is.
    Swapped,
}

type Checked<T> = Result<T, MlsError>;

fn suspicious<T>(suspicion: Suspicion) -> Checked<T> {
    Err(MlsError::Suspicious(suspicion))
}

pub(super) fn leaf_of(credential: &Credential) -> Option<Leaf> {
    let basic = BasicCredential::try_from(credential.clone()).ok()?;
    Leaf::from_bytes(basic.identity())
}

fn checked_leaf(node: &LeafNode, lists: &dyn Lists) -> Checked<Leaf> {
    let Some(leaf) = leaf_of(node.credential()) else { return suspicious(Suspicion::Nobody) };
    match lists.identity_key(leaf) {
        None => Err(MlsError::UnknownDevice(leaf)),
        Some(key) if key == node.signature_key().as_slice() => Ok(leaf),
        Some(_) => suspicious(Suspicion::Ghost(leaf)),
    }
}

/// Checks a staged commit of somebody else, before it is merged.
pub(super) fn check_commit(
    id: ConversationId,
    group: &MlsGroup,
    staged: &StagedCommit,
    sender: &Sender,
    by: Leaf,
    lists: &dyn Lists,
) -> Checked<Committed> {
    if let Some(path) = staged.update_path_leaf_node() {
        // The path's leaf is the sender's own, and stays theirs.
        if checked_leaf(path, lists)? != by {
            return suspicious(Suspicion::Impostor(by));
        }
    }
    let before: Vec<Leaf> = leaves(group);
    let external = matches!(sender, Sender::NewMemberCommit);
    let mut done = Committed { added: Vec::new(), removed: Vec::new(), out: staged.self_removed() };
    for queued in staged.queued_proposals() {
        match queued.proposal() {
            Proposal::Add(add) => {
                done.added.push(checked_leaf(add.key_package().leaf_node(), lists)?);
            }
            Proposal::Remove(remove) => {
                let removed = group.member_at(remove.removed());
                let Some(removed) = removed else { return suspicious(Suspicion::Nobody) };
                match leaf_of(&removed.credential) {
                    Some(leaf) if external && leaf != by => {
                        return suspicious(Suspicion::Impostor(by));
                    }
                    Some(leaf) => done.removed.push(leaf),
                    None => {}
                }
            }
            Proposal::GroupContextExtensions(_) | Proposal::ExternalInit(_) => {}
            _ => return suspicious(Suspicion::Unauthorized(by)),
        }
    }
    if external {
        done.added.push(by);
    }
    let mut after: Vec<Leaf> = before;
    for removed in &done.removed {
        if let Some(at) = after.iter().position(|leaf| leaf == removed) {
            after.swap_remove(at);
        }
    }
    for added in &done.added {
        if after.contains(added) {
            return suspicious(Suspicion::Twice(*added));
        }
        after.push(*added);
    }
    let after = roster(staged.group_context().extensions());
    permitted(id, roster_of(group), after.as_ref(), by, &done)?;
    // Who is in by right stays in, but by their own doing.
    let belongs = |leaf: &Leaf| match id.parties() {
        Some((one, other)) => leaf.account == one || leaf.account == other,
        None => after.as_ref().is_some_and(|after| after.role(leaf.account).is_some()),
    };
    let others = done.removed.iter().filter(|leaf| leaf.account != by.account && belongs(leaf));
    for leaf in others {
        if lists.identity_key(*leaf).is_some() {
            return Err(MlsError::StillListed(*leaf));
        }
    }
    Ok(done)
}

fn leaves(group: &MlsGroup) -> Vec<Leaf> {
    group.members().filter_map(|member| leaf_of(&member.credential)).collect()
}

/// Whether the rosters before and after let the sender make this change.
fn permitted(
    id: ConversationId,
    before: Option<Roster>,
    after: Option<&Roster>,
    by: Leaf,
    done: &Committed,
) -> Checked<()> {
    let unauthorized = || suspicious(Suspicion::Unauthorized(by));
    if let Some((one, other)) = id.parties() {
        let is_party = |leaf: &Leaf| leaf.account == one || leaf.account == other;
        let fine = done.added.iter().all(is_party) && is_party(&by) && after.is_none();
        return if fine { Ok(()) } else { unauthorized() };
    }
    let (Some(before), Some(after)) = (before, after) else { return unauthorized() };
    if !before.lets(by.account, after) {
        return unauthorized();
    }
    let invited = after.invitation.is_some();
    let belongs = |leaf: &Leaf| after.role(leaf.account).is_some() || (invited && *leaf == by);
    if !done.added.iter().all(belongs) {
        return unauthorized();
    }
    Ok(())
}
