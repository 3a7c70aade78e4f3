//! How groups are set up. What is here is in every group's state and in every leaf: `docs/decisions/0019`.

use estafette_protocol::{ConversationId, Roster};
use openmls::prelude::{
    Capabilities, Extension, ExtensionType, Extensions, GroupContext,
    MIXED_PLAINTEXT_WIRE_FORMAT_POLICY, MlsGroup, MlsGroupJoinConfig,
    RequiredCapabilitiesExtension, SenderRatchetConfiguration, UnknownExtension,
};

use super::{MlsError, SUITE};

/// The number of our extension of the group context, the roster: of the range for private use.
const ROSTER: u16 = 0xf0e5;
/// Epochs before the present one of which messages can still be opened. In a conversation of two, messages
/// do not pass through the log, so that one of an earlier epoch may come late. In a group none does.
const PAST_EPOCHS_DIRECT: usize = 3;
const PAST_EPOCHS_GROUP: usize = 1;
/// Messages of one device that may come later than others of it.
const OUT_OF_ORDER: u32 = 64;
/// Messages of one device that may be missing: more than a mailbox holds.
const MISSING: u32 = 25_000;

pub(super) fn past_epochs(id: ConversationId) -> usize {
    if id.parties().is_some() { PAST_EPOCHS_DIRECT } else { PAST_EPOCHS_GROUP }
}

pub(super) fn join_config(id: ConversationId) -> MlsGroupJoinConfig {
    MlsGroupJoinConfig::builder()
        .wire_format_policy(MIXED_PLAINTEXT_WIRE_FORMAT_POLICY)
        .max_past_epochs(past_epochs(id))
        .sender_ratchet_configuration(SenderRatchetConfiguration::new(OUT_OF_ORDER, MISSING))
        .use_ratchet_tree_extension(true)
        .build()
}

pub(super) fn capabilities() -> Capabilities {
    Capabilities::builder()
        .ciphersuites(vec![SUITE])
        .extensions(vec![ExtensionType::Unknown(ROSTER), ExtensionType::LastResort])
        .build()
}

/// The extensions of the group context that hold a roster.
pub(super) fn with_roster(roster: Option<&Roster>) -> Result<Extensions<GroupContext>, MlsError> {
    let Some(roster) = roster else { return Ok(Extensions::empty()) };
    let invalid = |_| MlsError::Invalid("a roster that cannot be written".into());
    let bytes = minicbor_serde::to_vec(roster).map_err(|_| MlsError::Invalid("roster".into()))?;
    let required = RequiredCapabilitiesExtension::new(&[ExtensionType::Unknown(ROSTER)], &[], &[]);
    let extensions = vec![
        Extension::RequiredCapabilities(required),
        Extension::Unknown(ROSTER, UnknownExtension(bytes)),
    ];
    Extensions::from_vec(extensions).map_err(invalid)
}

/// The roster of a group, if it has one that can be read.
pub(super) fn roster(extensions: &Extensions<GroupContext>) -> Option<Roster> {
    let extension = extensions.unknown(ROSTER)?;
    minicbor_serde::from_slice(&extension.0).ok()
}

pub(super) fn roster_of(group: &MlsGroup) -> Option<Roster> {
    roster(group.extensions())
}
