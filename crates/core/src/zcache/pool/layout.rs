//! How the zpages of a unit lie in its frames, for whoever has a copy of those and no pool.

use super::{ZpageHeader, zbud};
use crate::page::PAGE_BYTES;

const STEP_BYTES: usize = 32;

/// See the module's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnitLayout {
    frames: u8,
    /// The size of an object; 0 is a frame of zbud, which tells by itself where its zpages are.
    object_steps: u8,
}

impl UnitLayout {
    /// A frame of zbud.
    pub const ZBUD: UnitLayout = UnitLayout { frames: 1, object_steps: 0 };

    /// Objects of this size, one after the other over so many frames.
    pub fn objects(frames: u32, object_bytes: usize) -> Self {
        debug_assert!(object_bytes.is_multiple_of(STEP_BYTES) && object_bytes < PAGE_BYTES);
        UnitLayout { frames: frames as u8, object_steps: (object_bytes / STEP_BYTES) as u8 }
    }

    /// Frames of the unit.
    pub fn frames(&self) -> u32 {
        self.frames.into()
    }

    /// Places for zpages.
    pub fn places(&self) -> u8 {
        match self.object_steps {
            0 => 2,
            steps => {
                (usize::from(self.frames) * PAGE_BYTES / (usize::from(steps) * STEP_BYTES)).min(64) as u8
            }
        }
    }

    /// In two bytes.
    pub fn to_bits(self) -> u16 {
        u16::from_le_bytes([self.frames, self.object_steps])
    }

    /// The reverse.
    pub fn from_bits(bits: u16) -> Self {
        let [frames, object_steps] = bits.to_le_bytes();
        UnitLayout { frames, object_steps }
    }

    /// A zpage in a copy of the unit's frames, one behind the other. `None`: there is none, or what
    /// is there makes no sense.
    pub fn zpage<'a>(&self, unit: &'a [u8], index: u8) -> Option<(ZpageHeader, &'a [u8])> {
        let range = match self.object_steps {
            0 => zbud::zpage_range(unit.first_chunk()?, index)?,
            steps => {
                let object_bytes = usize::from(steps) * STEP_BYTES;
                usize::from(index) * object_bytes..(usize::from(index) + 1) * object_bytes
            }
        };
        let (header, bytes) = unit.get(range)?.split_first_chunk::<{ ZpageHeader::BYTES }>()?;
        let header = ZpageHeader::from_bytes(header);
        Some((header, bytes.get(..header.length.into())?))
    }
}
