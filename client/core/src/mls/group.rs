//! What is done with a group: made, joined, changed; sealed and opened.

use estafette_protocol::{ConversationId, MessageId, Roster};
use openmls::framing::errors::{MessageDecryptionError, SecretTreeError};
use openmls::prelude::tls_codec::{Deserialize as _, Serialize as _};
use openmls::prelude::{
    ExternalCommitBuilder, GroupEpoch, KeyPackage, KeyPackageIn, LeafNodeIndex, LeafNodeParameters,
    Lifetime, MlsGroup, MlsMessageBodyIn, MlsMessageIn, MlsMessageOut, OpenMlsProvider,
    ProcessMessageError, ProcessedMessageContent, ProtocolMessage, ProtocolVersion, StagedWelcome,
    ValidationError,
};

use super::check::{check_commit, leaf_of};
use super::settings::{capabilities, join_config, past_epochs, roster_of, with_roster};
use super::storage::Storage;
use super::{
    Change, Committed, Leaf, Lists, Made, Mls, MlsError, Occupant, OpenError, Opened, SUITE,
    Suspicion, group_id,
};
use crate::{Store, StoreError};

/// How long a key package is good: as long as OpenMLS takes one at all.
const LIFE_SECONDS: u64 = 84 * 24 * 60 * 60;

fn invalid(error: impl core::fmt::Debug) -> MlsError {
    MlsError::Invalid(format!("{error:?}"))
}

fn bytes(message: &MlsMessageOut) -> Result<Vec<u8>, MlsError> {
    message.to_bytes().map_err(invalid)
}

fn message(bytes: &[u8]) -> Result<MlsMessageBodyIn, MlsError> {
    Ok(MlsMessageIn::tls_deserialize_exact(bytes).map_err(invalid)?.extract())
}

impl Mls {
    /// Makes key packages of this device, and keeps what opens them.
    ///
    /// # Errors
    /// When the store fails, or there is no randomness.
    pub fn key_packages(
        &mut self,
        store: &Store,
        count: usize,
        last_resort: bool,
    ) -> Result<Vec<Vec<u8>>, MlsError> {
        let provider = self.provider(store);
        let mut packages = Vec::with_capacity(count);
        for _ in 0..count {
            let mut builder = KeyPackage::builder()
                .leaf_node_capabilities(capabilities())
                .key_package_lifetime(Lifetime::new(LIFE_SECONDS));
            if last_resort {
                builder = builder.mark_as_last_resort();
            }
            let made =
                builder.build(SUITE, &provider, &self.key, self.credential()).map_err(invalid)?;
            packages.push(made.key_package().tls_serialize_detached().map_err(invalid)?);
        }
        Ok(packages)
    }

    /// The package, if it is one of this device, under the key that its account lists.
    fn package(
        &self,
        store: &Store,
        (leaf, package): &(Leaf, Vec<u8>),
        lists: &dyn Lists,
    ) -> Result<KeyPackage, MlsError> {
        let read = KeyPackageIn::tls_deserialize_exact(package.as_slice()).map_err(invalid)?;
        let provider = self.provider(store);
        let package = read.validate(provider.crypto(), ProtocolVersion::Mls10).map_err(invalid)?;
        let node = package.leaf_node();
        let listed = lists.identity_key(*leaf).ok_or(MlsError::UnknownDevice(*leaf))?;
        if leaf_of(node.credential()) != Some(*leaf) || node.signature_key().as_slice() != listed {
            return Err(MlsError::Suspicious(Suspicion::Ghost(*leaf)));
        }
        Ok(package)
    }

    /// Those of these packages that are genuine. A bad one keeps nobody else out.
    fn packages(
        &self,
        store: &Store,
        packages: &[(Leaf, Vec<u8>)],
        lists: &dyn Lists,
    ) -> Vec<KeyPackage> {
        let good = packages.iter().map(|package| self.package(store, package, lists));
        good.filter_map(Result::ok).collect()
    }

    /// Makes a group, as it is in epoch 1, with the devices of these packages. It can be used once it is
    /// confirmed.
    ///
    /// # Errors
    /// When the store fails, or OpenMLS does.
    pub fn create(
        &mut self,
        store: &Store,
        id: ConversationId,
        roster: Option<&Roster>,
        packages: &[(Leaf, Vec<u8>)],
        lists: &dyn Lists,
    ) -> Result<Made, MlsError> {
        self.forget(store, id)?;
        let packages = self.packages(store, packages, lists);
        let provider = self.provider(store);
        let config = join_config(id);
        let mut group = MlsGroup::builder()
            .with_group_id(group_id(id))
            .ciphersuite(SUITE)
            .with_wire_format_policy(config.wire_format_policy())
            .max_past_epochs(past_epochs(id))
            .sender_ratchet_configuration(*config.sender_ratchet_configuration())
            .use_ratchet_tree_extension(true)
            .lifetime(Lifetime::new(LIFE_SECONDS))
            .with_capabilities(capabilities())
            .with_group_context_extensions(with_roster(roster)?)
            .build(&provider, &self.key, self.credential())
            .map_err(invalid)?;
        let made = self.stage(store, &mut group, packages, Vec::new(), None)?;
        self.put_back(id, group);
        Ok(Made { epoch: 0, commit: Vec::new(), roster: roster.cloned(), ..made })
    }

    /// Stages a commit of this device.
    fn stage(
        &self,
        store: &Store,
        group: &mut MlsGroup,
        add: Vec<KeyPackage>,
        remove: Vec<LeafNodeIndex>,
        roster: Option<&Roster>,
    ) -> Result<Made, MlsError> {
        let provider = self.provider(store);
        let epoch = group.epoch().as_u64();
        let mut builder = group
            .commit_builder()
            .force_self_update(true)
            .leaf_node_parameters(
                LeafNodeParameters::builder().with_capabilities(capabilities()).build(),
            )
            .propose_adds(add)
            .propose_removals(remove);
        if let Some(roster) = roster {
            builder = builder
                .propose_group_context_extensions(with_roster(Some(roster))?)
                .map_err(invalid)?;
        }
        let bundle = builder
            .load_psks(provider.storage())
            .map_err(invalid)?
            .create_group_info(true)
            .use_ratchet_tree_extension(true)
            .build(provider.rand(), provider.crypto(), &self.key, |_| true)
            .map_err(invalid)?
            .stage_commit(&provider)
            .map_err(invalid)?;
        let (commit, welcome, info) = bundle.into_messages();
        Ok(Made {
            epoch,
            commit: bytes(&commit)?,
            info: bytes(&info.ok_or_else(|| invalid("no GroupInfo"))?)?,
            welcome: welcome.as_ref().map(bytes).transpose()?,
            roster: roster.cloned(),
        })
    }

    /// Makes a commit. It changes nothing here before it is confirmed.
    ///
    /// # Errors
    /// When this device is not in the group, or OpenMLS does not make it.
    pub fn commit(
        &mut self,
        store: &Store,
        id: ConversationId,
        change: Change,
        lists: &dyn Lists,
    ) -> Result<Made, MlsError> {
        let Change { add, remove, roster } = change;
        let add = self.packages(store, &add, lists);
        let remove = remove.into_iter().map(LeafNodeIndex::new).collect();
        self.work(store, id, MlsError::NoGroup, |mls, provider, group| {
            group.clear_pending_commit(provider.storage()).map_err(invalid)?;
            mls.stage(store, group, add, remove, roster.as_ref())
        })
    }

    /// The server has taken the pending commit, or the group that was made.
    ///
    /// # Errors
    /// When there is none.
    pub fn confirm(&mut self, store: &Store, id: ConversationId) -> Result<(), MlsError> {
        self.work(store, id, MlsError::NoGroup, |_, provider, group| {
            if group.pending_commit().is_some() {
                group.merge_pending_commit(provider).map_err(invalid)?;
            }
            Ok(())
        })
    }

    /// The server has not taken the pending commit, if there is one.
    ///
    /// # Errors
    /// When the store fails.
    pub fn abandon(&mut self, store: &Store, id: ConversationId) -> Result<(), StoreError> {
        let Some(mut group) = self.take(store, id)? else { return Ok(()) };
        group.clear_pending_commit(&Storage(store))?;
        self.put_back(id, group);
        Ok(())
    }

    /// Forgets a group, with all that opens its messages.
    ///
    /// # Errors
    /// When the store fails.
    pub fn forget(&mut self, store: &Store, id: ConversationId) -> Result<(), StoreError> {
        let Some(mut group) = self.take(store, id)? else { return Ok(()) };
        group.delete(&Storage(store))
    }

    /// Joins by a Welcome. Who is in the group is then for the caller to check: [`Mls::occupants`].
    ///
    /// # Errors
    /// When it is for another device, or makes no sense.
    pub fn join_welcome(
        &mut self,
        store: &Store,
        id: ConversationId,
        welcome: &[u8],
    ) -> Result<(), MlsError> {
        let MlsMessageBodyIn::Welcome(welcome) = message(welcome)? else {
            return Err(invalid("not a Welcome"));
        };
        self.forget(store, id)?;
        let provider = self.provider(store);
        let staged = StagedWelcome::build_from_welcome(&provider, &join_config(id), welcome)
            .map_err(invalid)?
            .skip_lifetime_validation()
            .build()
            .map_err(invalid)?;
        if *staged.group_context().group_id() != group_id(id) {
            return Err(MlsError::Suspicious(Suspicion::Swapped));
        }
        let group = staged.into_group(&provider).map_err(invalid)?;
        self.put_back(id, group);
        Ok(())
    }

    /// Makes the commit by which this device joins by itself, in place of a leaf that it had before. The group
    /// can be used once the server has taken the commit and [`Mls::confirm`] was called. Who is in it is for
    /// the caller to check.
    ///
    /// # Errors
    /// When the GroupInfo makes no sense.
    pub fn join_external(
        &mut self,
        store: &Store,
        id: ConversationId,
        info: &[u8],
    ) -> Result<Made, MlsError> {
        let MlsMessageBodyIn::GroupInfo(info) = message(info)? else {
            return Err(invalid("not a GroupInfo"));
        };
        if *info.group_id() != group_id(id) {
            return Err(MlsError::Suspicious(Suspicion::Swapped));
        }
        self.forget(store, id)?;
        let epoch = info.epoch().as_u64();
        let provider = self.provider(store);
        let leaf = LeafNodeParameters::builder().with_capabilities(capabilities()).build();
        let (group, bundle) = ExternalCommitBuilder::new()
            .with_config(join_config(id))
            .skip_lifetime_validation()
            .build_group(&provider, info, self.credential())
            .map_err(invalid)?
            .leaf_node_parameters(leaf)
            .load_psks(provider.storage())
            .map_err(invalid)?
            .create_group_info(true)
            .use_ratchet_tree_extension(true)
            .build(provider.rand(), provider.crypto(), &self.key, |_| true)
            .map_err(invalid)?
            .finalize(&provider)
            .map_err(invalid)?;
        let (commit, _, info) = bundle.into_messages();
        self.put_back(id, group);
        Ok(Made {
            epoch,
            commit: bytes(&commit)?,
            info: bytes(&info.ok_or_else(|| invalid("no GroupInfo"))?)?,
            welcome: None,
            roster: None,
        })
    }

    /// Follows a commit that the server says was made by `from`.
    ///
    /// # Errors
    /// See [`MlsError`]. Where it is refused, nothing has changed.
    pub fn receive_commit(
        &mut self,
        store: &Store,
        id: ConversationId,
        commit: &[u8],
        from: Leaf,
        lists: &dyn Lists,
    ) -> Result<Committed, MlsError> {
        let MlsMessageBodyIn::PublicMessage(commit) = message(commit)? else {
            return Err(MlsError::Suspicious(Suspicion::Swapped));
        };
        let commit = ProtocolMessage::from(commit);
        if *commit.group_id() != group_id(id) {
            return Err(MlsError::Suspicious(Suspicion::Swapped));
        }
        self.work(store, id, MlsError::NoGroup, |_, provider, group| {
            let epoch = commit.epoch();
            if epoch != group.epoch() {
                let past = epoch < group.epoch();
                return Err(if past { MlsError::PastEpoch } else { MlsError::FutureEpoch });
            }
            let processed = group.process_message(provider, commit).map_err(invalid)?;
            if leaf_of(processed.credential()) != Some(from) {
                return Err(MlsError::Suspicious(Suspicion::NotTheirs(from)));
            }
            let sender = processed.sender().clone();
            let staged = match processed.into_content() {
                ProcessedMessageContent::StagedCommitMessage(staged) => staged,
                ProcessedMessageContent::OwnPendingCommit => {
                    group.merge_pending_commit(provider).map_err(invalid)?;
                    return Ok(Committed::default());
                }
                _ => return Err(MlsError::Suspicious(Suspicion::Swapped)),
            };
            let done = check_commit(id, group, &staged, &sender, from, lists)?;
            group.merge_staged_commit(provider, *staged).map_err(invalid)?;
            Ok(done)
        })
    }

    /// The epoch of a group; `None`: this device is not in it.
    ///
    /// # Errors
    /// When the store fails.
    pub fn epoch(&mut self, store: &Store, id: ConversationId) -> Result<Option<u64>, StoreError> {
        self.look(store, id, |group| group.epoch().as_u64())
    }

    /// Who stands in the leaves of a group.
    ///
    /// # Errors
    /// When the store fails.
    pub fn occupants(
        &mut self,
        store: &Store,
        id: ConversationId,
    ) -> Result<Vec<Occupant>, StoreError> {
        let occupants = self.look(store, id, |group| {
            let occupants = group.members().map(|member| Occupant {
                index: member.index.u32(),
                leaf: leaf_of(&member.credential),
                key: member.signature_key.as_slice().try_into().unwrap_or([0; 32]),
            });
            occupants.collect()
        })?;
        Ok(occupants.unwrap_or_default())
    }

    /// The roster of a group, as its members know it.
    ///
    /// # Errors
    /// When the store fails.
    pub fn roster(
        &mut self,
        store: &Store,
        id: ConversationId,
    ) -> Result<Option<Roster>, StoreError> {
        Ok(self.look(store, id, roster_of)?.flatten())
    }

    /// What is equal on two devices exactly if they agree on the group and its epoch.
    ///
    /// # Errors
    /// When the store fails.
    pub fn fingerprint(
        &mut self,
        store: &Store,
        id: ConversationId,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.look(store, id, |group| group.epoch_authenticator().as_slice().to_vec())
    }

    /// Seals a message, under its id. Returns the epoch beside it.
    ///
    /// # Errors
    /// When this device is not in the group, or a commit of its own is pending.
    pub fn seal(
        &mut self,
        store: &Store,
        id: ConversationId,
        message: MessageId,
        plaintext: &[u8],
    ) -> Result<(u64, Vec<u8>), MlsError> {
        self.work(store, id, MlsError::NoGroup, |mls, provider, group| {
            group.set_aad(message.to_bytes().to_vec());
            let sealed = group.create_message(provider, &mls.key, plaintext).map_err(invalid)?;
            Ok((group.epoch().as_u64(), bytes(&sealed)?))
        })
    }

    /// Opens a message.
    ///
    /// # Errors
    /// See [`OpenError`]. Where the message is refused, nothing has changed.
    pub fn open(
        &mut self,
        store: &Store,
        id: ConversationId,
        sealed: &[u8],
    ) -> Result<Opened, OpenError> {
        let Ok(MlsMessageBodyIn::PrivateMessage(sealed)) = message(sealed) else {
            return Err(OpenError::Forged);
        };
        let sealed = ProtocolMessage::from(sealed);
        if *sealed.group_id() != group_id(id) {
            return Err(OpenError::Forged);
        }
        let Some(mut group) = self.take(store, id)? else { return Err(OpenError::NoGroup) };
        let opened = open(&self.provider(store), &mut group, sealed);
        // A failure leaves the group as it was.
        if !matches!(opened, Err(OpenError::Store(_))) {
            self.put_back(id, group);
        }
        opened
    }
}

fn open(
    provider: &super::Provider<'_>,
    group: &mut MlsGroup,
    sealed: ProtocolMessage,
) -> Result<Opened, OpenError> {
    let epoch: GroupEpoch = sealed.epoch();
    if epoch > group.epoch() {
        return Err(OpenError::FutureEpoch);
    }
    let processed = match group.process_message(provider, sealed) {
        Ok(processed) => processed,
        Err(ProcessMessageError::StorageError(error)) => return Err(error.into()),
        Err(ProcessMessageError::ValidationError(error)) => {
            return Err(why(&error, epoch < group.epoch()));
        }
        Err(_) => return Err(OpenError::Forged),
    };
    let from = leaf_of(processed.credential()).ok_or(OpenError::Forged)?;
    let message: [u8; 16] = processed.aad().try_into().or(Err(OpenError::Forged))?;
    match processed.into_content() {
        ProcessedMessageContent::ApplicationMessage(plaintext) => Ok(Opened {
            from,
            message: MessageId::from_bytes(message),
            plaintext: plaintext.into_bytes(),
        }),
        ProcessedMessageContent::OwnPrivateMessage => Err(OpenError::Own),
        _ => Err(OpenError::Forged),
    }
}

fn why(error: &ValidationError, past: bool) -> OpenError {
    match error {
        ValidationError::NoPastEpochData => OpenError::PastEpoch,
        // Of an epoch before this device came, OpenMLS finds no secret either.
        ValidationError::UnknownMember | ValidationError::UnableToDecrypt(_) if past => {
            OpenError::PastEpoch
        }
        ValidationError::UnableToDecrypt(MessageDecryptionError::SecretTreeError(why)) => match why
        {
            SecretTreeError::TooDistantInThePast => OpenError::PastEpoch,
            _ => OpenError::Duplicate,
        },
        _ => OpenError::Forged,
    }
}
