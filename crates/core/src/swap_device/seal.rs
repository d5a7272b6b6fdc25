//! Seals: what lies on the device is of no use to anybody else, and is never taken for anything
//! but what was written there last.
//!
//! With a key, AES-256-GCM, its nonce made of the slot, the slot's generation (how often it has
//! been written) and the owner; the tag stays in RAM with the key, so that an older content of the
//! slot does not pass either. Without one, a checksum of the contents bound to slot and owner.

use std::sync::Arc;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::layers::Layers;
use super::swap_map::Slot;
use crate::page::PageNumber;

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// What is kept of sealed contents: the AEAD's tag, or a checksum in its first bytes.
pub type Tag = [u8; 16];

/// Bytes of a checksum in a [`Tag`].
pub const CHECKSUM_BYTES: usize = 4;

/// What sealed contents are bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The first slot.
    pub slot: Slot,
    /// How often that slot has been given out.
    pub generation: u32,
    /// The page whose contents these are; `None`: a unit of the pool, whose zpages name theirs.
    pub owner: Option<PageNumber>,
}

/// See the module's description.
pub struct Sealer {
    /// By the layers of what they have sealed; all of them are keys, or none.
    keys: Vec<Option<LessSafeKey>>,
    layers: Arc<Layers>,
}

impl Identity {
    fn owner_bits(&self) -> u32 {
        self.owner.map_or(u32::MAX, |page| page.0)
    }

    /// Slot and generation alone never come a second time.
    fn nonce(&self) -> Nonce {
        let mut nonce = [0; NONCE_LEN];
        for (bytes, word) in nonce.chunks_exact_mut(4).zip([self.slot.0, self.generation, self.owner_bits()])
        {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Nonce::assume_unique_for_key(nonce)
    }

    fn checksum(&self, contents: &[u8]) -> Tag {
        let seed = u64::from(self.owner_bits()) << 32 | u64::from(self.slot.0);
        let mut tag = Tag::default();
        let checksum = xxh3_64_with_seed(contents, seed).to_le_bytes();
        tag[..CHECKSUM_BYTES].copy_from_slice(&checksum[..CHECKSUM_BYTES]);
        tag
    }
}

impl Sealer {
    /// A sealer with this key, which should be fresh and random; without any nothing is encrypted.
    pub fn new(key: Option<&[u8; KEY_BYTES]>) -> Self {
        Sealer { keys: vec![key.map(key_of)], layers: Arc::new(Layers::one()) }
    }

    /// The sealer of a forked child. It needs a key of its own: slots and generations will come again.
    pub fn of_child(self, key: Option<&[u8; KEY_BYTES]>, layers: Arc<Layers>) -> Self {
        let mut keys = self.keys;
        keys.push(key.map(key_of));
        Sealer { keys, layers }
    }

    /// Whether it encrypts.
    pub fn encrypts(&self) -> bool {
        self.keys[0].is_some()
    }

    /// Puts the sealed contents into `into`, which is as long.
    pub fn seal(&self, identity: Identity, contents: &[u8], into: &mut [u8]) -> Tag {
        into.copy_from_slice(contents);
        match &self.keys[usize::from(self.layers.newest())] {
            None => identity.checksum(contents),
            Some(key) => {
                let tag = key.seal_in_place_separate_tag(identity.nonce(), Aad::empty(), into);
                let tag = tag.expect("a few pages can be encrypted");
                tag.as_ref().try_into().expect("tags of AES-GCM have this length")
            }
        }
    }

    /// The reverse. `false`: this is not what was sealed, and `into` is arbitrary.
    #[must_use]
    pub fn open(&self, identity: Identity, tag: &Tag, sealed: &[u8], into: &mut [u8]) -> bool {
        match &self.keys[usize::from(self.layers.of(identity.slot))] {
            None => {
                into.copy_from_slice(sealed);
                identity.checksum(sealed) == *tag
            }
            Some(key) => key.open_separate_gather(identity.nonce(), Aad::empty(), sealed, tag, into).is_ok(),
        }
    }
}

fn key_of(bytes: &[u8; KEY_BYTES]) -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, bytes).expect("a key of the right length"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity = Identity { slot: Slot(7), generation: 3, owner: Some(PageNumber(9)) };

    #[test]
    fn only_what_was_sealed_there_is_opened() {
        let contents: Vec<u8> = (0..8192).map(|at| (at / 64) as u8).collect();
        for key in [None, Some(&[5; KEY_BYTES])] {
            let sealer = Sealer::new(key);
            let mut sealed = vec![0; contents.len()];
            let tag = sealer.seal(IDENTITY, &contents, &mut sealed);
            assert_eq!(sealed == contents, key.is_none());
            let mut back = vec![0; contents.len()];
            assert!(sealer.open(IDENTITY, &tag, &sealed, &mut back));
            assert!(back == contents);
            for other in [
                Identity { slot: Slot(8), ..IDENTITY },
                Identity { owner: Some(PageNumber(8)), ..IDENTITY },
                Identity { owner: None, ..IDENTITY },
            ] {
                assert!(!sealer.open(other, &tag, &sealed, &mut back), "{other:?}");
            }
            for at in [0, 4095, 4096, 8191] {
                sealed[at] ^= 1;
                assert!(!sealer.open(IDENTITY, &tag, &sealed, &mut back), "byte {at}");
                sealed[at] ^= 1;
            }
        }
    }

    #[test]
    fn a_child_opens_what_its_parent_sealed_and_seals_by_another_key() {
        let contents = [3; 4096];
        let sealed_by = |sealer: &Sealer| {
            let mut sealed = [0; 4096];
            let tag = sealer.seal(IDENTITY, &contents, &mut sealed);
            (sealed, tag)
        };
        let opens = |sealer: &Sealer, (sealed, tag): &([u8; 4096], Tag)| {
            let mut back = [0; 4096];
            sealer.open(IDENTITY, tag, sealed, &mut back) && back == contents
        };
        let parents = sealed_by(&Sealer::new(Some(&[1; KEY_BYTES])));
        let layers = Arc::new(Layers::one().of_child(8).unwrap());
        let child = Sealer::new(Some(&[1; KEY_BYTES])).of_child(Some(&[2; KEY_BYTES]), Arc::clone(&layers));
        assert!(opens(&child, &parents));
        let childs = sealed_by(&child);
        assert_ne!(parents, childs);
        layers.written(IDENTITY.slot, 1);
        assert!(opens(&child, &childs) && !opens(&child, &parents));
    }

    #[test]
    fn no_two_writes_and_no_two_keys_give_the_same_bytes() {
        let contents = [0; 4096];
        let seal = |key: u8, generation| {
            let mut sealed = [0; 4096];
            let tag = Sealer::new(Some(&[key; KEY_BYTES])).seal(
                Identity { generation, ..IDENTITY },
                &contents,
                &mut sealed,
            );
            (sealed, tag)
        };
        assert_ne!(seal(1, 1), seal(1, 2));
        assert_ne!(seal(1, 1), seal(2, 1));
        let (sealed, tag) = seal(1, 1);
        let older = Identity { generation: 2, ..IDENTITY };
        assert!(!Sealer::new(Some(&[1; KEY_BYTES])).open(older, &tag, &sealed, &mut [0; 4096]));
    }
}
