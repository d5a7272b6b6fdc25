//! What a page holds: a function of the page and of how often it was written, so that the
//! oracle need not keep the bytes.

use super::random::Random;
use crate::page::{Page, PageNumber};

/// How well the pages of a run compress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compressibility {
    /// Not at all, seven of eight.
    Noise,
    /// Of eight pages one is a common value, one a value of its own, one noise, and the others
    /// compress from hardly at all to almost nothing.
    Mixed,
    /// To a half at most.
    Good,
}

/// Fills a page with what it holds after write number `version`; 0 is never written: zeros.
pub fn fill(page: PageNumber, version: u32, compressibility: Compressibility, into: &mut Page) {
    into.fill(0);
    if version == 0 {
        return;
    }
    let mut random = Random::new(u64::from(page.0) << 32 | u64::from(version));
    let mut noise = |bytes: &mut [u8]| {
        for word in bytes.chunks_mut(8) {
            word.copy_from_slice(&random.bits().to_le_bytes()[..word.len()]);
        }
    };
    match (page.0 ^ version) % 8 {
        _ if compressibility == Compressibility::Noise && !page.0.is_multiple_of(8) => noise(&mut into[..]),
        _ if compressibility == Compressibility::Good => {
            let length = page.0.wrapping_mul(2_654_435_761) % 2000;
            noise(&mut into[..length as usize]);
            into[4088..].copy_from_slice(&version.to_le_bytes().repeat(2));
        }
        0 => into.fill((version % 3) as u8),
        1 => {
            let mut value = [0; 8];
            noise(&mut value);
            into.chunks_exact_mut(8).for_each(|word| word.copy_from_slice(&value));
        }
        2 => noise(&mut into[..]),
        kind => {
            let length = (page.0.wrapping_mul(2_654_435_761) % 900 * (kind - 2)) as usize;
            noise(&mut into[..length.min(4096)]);
            into[4088..].copy_from_slice(&version.to_le_bytes().repeat(2));
        }
    }
}
