//! Where OpenMLS keeps its state: one table of keys and values in the store.
//!
//! Invariant: every call comes within a transaction of the store, the one that keeps what the state is about,
//! the message that was opened or is to be sent. So a crash leaves both or neither.
//!
//! A key is one byte that tells the kind, and the CBOR of what OpenMLS names it by; a value is CBOR. Maps have
//! names: what a later version adds can be left out.

use openmls_traits::storage::{CURRENT_VERSION as V, StorageProvider, traits};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Store, StoreError};

/// What the first byte of a key says. The numbers are stored.
#[derive(Debug, Clone, Copy)]
enum Kind {
    KeyPackage = 1,
    Psk = 2,
    EncryptionKeyPair = 3,
    SignatureKeyPair = 4,
    EpochKeyPairs = 5,
    Tree = 6,
    Context = 7,
    InterimTranscriptHash = 8,
    ConfirmationTag = 9,
    JoinConfig = 10,
    OwnLeafNodes = 11,
    GroupState = 12,
    Proposal = 13,
    ProposalRefs = 14,
    OwnLeafIndex = 15,
    EpochSecrets = 16,
    ResumptionPsks = 17,
    MessageSecrets = 18,
}

/// The state of OpenMLS in a store.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage<'a>(pub(super) &'a Store);

fn encode(value: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    minicbor_serde::to_vec(value).or(Err(StoreError::Corrupt))
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, StoreError> {
    minicbor_serde::from_slice(bytes).or(Err(StoreError::Corrupt))
}

fn key(kind: Kind, name: &impl Serialize) -> Result<Vec<u8>, StoreError> {
    let mut key = vec![kind as u8];
    key.extend(encode(name)?);
    Ok(key)
}

impl Storage<'_> {
    fn put(
        self,
        kind: Kind,
        name: &impl Serialize,
        value: &impl Serialize,
    ) -> Result<(), StoreError> {
        self.0.put_mls(&key(kind, name)?, &encode(value)?)
    }

    fn get<T: DeserializeOwned>(
        self,
        kind: Kind,
        name: &impl Serialize,
    ) -> Result<Option<T>, StoreError> {
        self.0.mls(&key(kind, name)?)?.map(|bytes| decode(&bytes)).transpose()
    }

    fn delete(self, kind: Kind, name: &impl Serialize) -> Result<(), StoreError> {
        self.0.delete_mls(&key(kind, name)?)
    }

    /// A list whose items are encoded each by itself, so that items can be added unread.
    fn list(self, kind: Kind, name: &impl Serialize) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(self.get(kind, name)?.unwrap_or_default())
    }

    fn items<T: DeserializeOwned>(
        self,
        kind: Kind,
        name: &impl Serialize,
    ) -> Result<Vec<T>, StoreError> {
        self.list(kind, name)?.iter().map(|item| decode(item)).collect()
    }
}

/// Methods that write, read or delete one value of a group.
macro_rules! of_group {
    (write $($method:ident: $entity:ident = $kind:ident;)*) => {$(
        fn $method<G: traits::GroupId<V>, T: traits::$entity<V>>(
            &self,
            group: &G,
            value: &T,
        ) -> Result<(), StoreError> {
            self.put(Kind::$kind, group, value)
        }
    )*};
    (read $($method:ident: $entity:ident = $kind:ident;)*) => {$(
        fn $method<G: traits::GroupId<V>, T: traits::$entity<V>>(
            &self,
            group: &G,
        ) -> Result<Option<T>, StoreError> {
            self.get(Kind::$kind, group)
        }
    )*};
    (delete $($method:ident = $kind:ident;)*) => {$(
        fn $method<G: traits::GroupId<V>>(&self, group: &G) -> Result<(), StoreError> {
            self.delete(Kind::$kind, group)
        }
    )*};
}

impl StorageProvider<V> for Storage<'_> {
    type Error = StoreError;

    of_group! { write
        write_mls_join_config: MlsGroupJoinConfig = JoinConfig;
        write_tree: TreeSync = Tree;
        write_interim_transcript_hash: InterimTranscriptHash = InterimTranscriptHash;
        write_context: GroupContext = Context;
        write_confirmation_tag: ConfirmationTag = ConfirmationTag;
        write_message_secrets: MessageSecrets = MessageSecrets;
        write_resumption_psk_store: ResumptionPskStore = ResumptionPsks;
        write_own_leaf_index: LeafNodeIndex = OwnLeafIndex;
        write_group_epoch_secrets: GroupEpochSecrets = EpochSecrets;
    }

    of_group! { read
        mls_group_join_config: MlsGroupJoinConfig = JoinConfig;
        tree: TreeSync = Tree;
        group_context: GroupContext = Context;
        interim_transcript_hash: InterimTranscriptHash = InterimTranscriptHash;
        confirmation_tag: ConfirmationTag = ConfirmationTag;
        message_secrets: MessageSecrets = MessageSecrets;
        resumption_psk_store: ResumptionPskStore = ResumptionPsks;
        own_leaf_index: LeafNodeIndex = OwnLeafIndex;
        group_epoch_secrets: GroupEpochSecrets = EpochSecrets;
    }

    of_group! { delete
        delete_own_leaf_nodes = OwnLeafNodes;
        delete_group_config = JoinConfig;
        delete_tree = Tree;
        delete_confirmation_tag = ConfirmationTag;
        delete_group_state = GroupState;
        delete_context = Context;
        delete_interim_transcript_hash = InterimTranscriptHash;
        delete_message_secrets = MessageSecrets;
        delete_all_resumption_psk_secrets = ResumptionPsks;
        delete_own_leaf_index = OwnLeafIndex;
        delete_group_epoch_secrets = EpochSecrets;
    }

    fn append_own_leaf_node<G: traits::GroupId<V>, L: traits::LeafNode<V>>(
        &self,
        group: &G,
        leaf: &L,
    ) -> Result<(), StoreError> {
        let mut list = self.list(Kind::OwnLeafNodes, group)?;
        list.push(encode(leaf)?);
        self.put(Kind::OwnLeafNodes, group, &list)
    }

    fn own_leaf_nodes<G: traits::GroupId<V>, L: traits::LeafNode<V>>(
        &self,
        group: &G,
    ) -> Result<Vec<L>, StoreError> {
        self.items(Kind::OwnLeafNodes, group)
    }

    fn write_group_state<S: traits::GroupState<V>, G: traits::GroupId<V>>(
        &self,
        group: &G,
        state: &S,
    ) -> Result<(), StoreError> {
        self.put(Kind::GroupState, group, state)
    }

    fn group_state<S: traits::GroupState<V>, G: traits::GroupId<V>>(
        &self,
        group: &G,
    ) -> Result<Option<S>, StoreError> {
        self.get(Kind::GroupState, group)
    }

    fn queue_proposal<
        G: traits::GroupId<V>,
        R: traits::ProposalRef<V>,
        P: traits::QueuedProposal<V>,
    >(
        &self,
        group: &G,
        reference: &R,
        proposal: &P,
    ) -> Result<(), StoreError> {
        self.put(Kind::Proposal, &(group, reference), proposal)?;
        let mut list = self.list(Kind::ProposalRefs, group)?;
        list.push(encode(reference)?);
        self.put(Kind::ProposalRefs, group, &list)
    }

    fn queued_proposal_refs<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        group: &G,
    ) -> Result<Vec<R>, StoreError> {
        self.items(Kind::ProposalRefs, group)
    }

    fn queued_proposals<
        G: traits::GroupId<V>,
        R: traits::ProposalRef<V>,
        P: traits::QueuedProposal<V>,
    >(
        &self,
        group: &G,
    ) -> Result<Vec<(R, P)>, StoreError> {
        let references: Vec<R> = self.items(Kind::ProposalRefs, group)?;
        let with_proposal = references.into_iter().map(|reference| {
            let proposal = self.get(Kind::Proposal, &(group, &reference))?;
            Ok((reference, proposal.ok_or(StoreError::Corrupt)?))
        });
        with_proposal.collect()
    }

    fn remove_proposal<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        group: &G,
        reference: &R,
    ) -> Result<(), StoreError> {
        self.delete(Kind::Proposal, &(group, reference))?;
        let removed = encode(reference)?;
        let mut list = self.list(Kind::ProposalRefs, group)?;
        list.retain(|item| *item != removed);
        self.put(Kind::ProposalRefs, group, &list)
    }

    fn clear_proposal_queue<G: traits::GroupId<V>, R: traits::ProposalRef<V>>(
        &self,
        group: &G,
    ) -> Result<(), StoreError> {
        for reference in self.items::<R>(Kind::ProposalRefs, group)? {
            self.delete(Kind::Proposal, &(group, &reference))?;
        }
        self.delete(Kind::ProposalRefs, group)
    }

    fn write_signature_key_pair<
        K: traits::SignaturePublicKey<V>,
        P: traits::SignatureKeyPair<V>,
    >(
        &self,
        public: &K,
        pair: &P,
    ) -> Result<(), StoreError> {
        self.put(Kind::SignatureKeyPair, public, pair)
    }

    fn signature_key_pair<K: traits::SignaturePublicKey<V>, P: traits::SignatureKeyPair<V>>(
        &self,
        public: &K,
    ) -> Result<Option<P>, StoreError> {
        self.get(Kind::SignatureKeyPair, public)
    }

    fn delete_signature_key_pair<K: traits::SignaturePublicKey<V>>(
        &self,
        public: &K,
    ) -> Result<(), StoreError> {
        self.delete(Kind::SignatureKeyPair, public)
    }

    fn write_encryption_key_pair<K: traits::EncryptionKey<V>, P: traits::HpkeKeyPair<V>>(
        &self,
        public: &K,
        pair: &P,
    ) -> Result<(), StoreError> {
        self.put(Kind::EncryptionKeyPair, public, pair)
    }

    fn encryption_key_pair<P: traits::HpkeKeyPair<V>, K: traits::EncryptionKey<V>>(
        &self,
        public: &K,
    ) -> Result<Option<P>, StoreError> {
        self.get(Kind::EncryptionKeyPair, public)
    }

    fn delete_encryption_key_pair<K: traits::EncryptionKey<V>>(
        &self,
        public: &K,
    ) -> Result<(), StoreError> {
        self.delete(Kind::EncryptionKeyPair, public)
    }

    fn write_encryption_epoch_key_pairs<
        G: traits::GroupId<V>,
        E: traits::EpochKey<V>,
        P: traits::HpkeKeyPair<V>,
    >(
        &self,
        group: &G,
        epoch: &E,
        leaf_index: u32,
        pairs: &[P],
    ) -> Result<(), StoreError> {
        self.put(Kind::EpochKeyPairs, &(group, epoch, leaf_index), &pairs)
    }

    fn encryption_epoch_key_pairs<
        G: traits::GroupId<V>,
        E: traits::EpochKey<V>,
        P: traits::HpkeKeyPair<V>,
    >(
        &self,
        group: &G,
        epoch: &E,
        leaf_index: u32,
    ) -> Result<Vec<P>, StoreError> {
        Ok(self.get(Kind::EpochKeyPairs, &(group, epoch, leaf_index))?.unwrap_or_default())
    }

    fn delete_encryption_epoch_key_pairs<G: traits::GroupId<V>, E: traits::EpochKey<V>>(
        &self,
        group: &G,
        epoch: &E,
        leaf_index: u32,
    ) -> Result<(), StoreError> {
        self.delete(Kind::EpochKeyPairs, &(group, epoch, leaf_index))
    }

    fn write_key_package<R: traits::HashReference<V>, K: traits::KeyPackage<V>>(
        &self,
        reference: &R,
        package: &K,
    ) -> Result<(), StoreError> {
        self.put(Kind::KeyPackage, reference, package)
    }

    fn key_package<R: traits::HashReference<V>, K: traits::KeyPackage<V>>(
        &self,
        reference: &R,
    ) -> Result<Option<K>, StoreError> {
        self.get(Kind::KeyPackage, reference)
    }

    fn delete_key_package<R: traits::HashReference<V>>(
        &self,
        reference: &R,
    ) -> Result<(), StoreError> {
        self.delete(Kind::KeyPackage, reference)
    }

    fn write_psk<I: traits::PskId<V>, B: traits::PskBundle<V>>(
        &self,
        id: &I,
        psk: &B,
    ) -> Result<(), StoreError> {
        self.put(Kind::Psk, id, psk)
    }

    fn psk<B: traits::PskBundle<V>, I: traits::PskId<V>>(
        &self,
        id: &I,
    ) -> Result<Option<B>, StoreError> {
        self.get(Kind::Psk, id)
    }

    fn delete_psk<I: traits::PskId<V>>(&self, id: &I) -> Result<(), StoreError> {
        self.delete(Kind::Psk, id)
    }
}
