//! Losses: why a page's only copy could not be had. A lost page remembers it, so that every access
//! can be told.

use std::fmt;

use crate::page_table::FRAME_LIMIT;

/// See the module's description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loss {
    /// The device did not read it, with this error number of the system's.
    Unreadable(i32),
    /// What the device read is not what was written.
    CorruptSlot,
    /// Its zpage is not what was stored.
    CorruptZpage,
}

impl Loss {
    /// As it stands in a lost page's entry.
    pub fn to_bits(self) -> u32 {
        match self {
            Loss::CorruptSlot => 0,
            Loss::CorruptZpage => 1,
            Loss::Unreadable(errno) => 2 + errno.unsigned_abs().min(FRAME_LIMIT - 3),
        }
    }

    /// What stands in a lost page's entry.
    pub fn from_bits(bits: u32) -> Self {
        match bits {
            0 => Loss::CorruptSlot,
            1 => Loss::CorruptZpage,
            errno => Loss::Unreadable((errno - 2) as i32),
        }
    }
}

impl fmt::Display for Loss {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Loss::Unreadable(errno) => {
                write!(formatter, "the swap file cannot be read there (error {errno})")
            }
            Loss::CorruptSlot => {
                formatter.write_str("what the swap file holds there is not what was written")
            }
            Loss::CorruptZpage => {
                formatter.write_str("its compressed form was damaged in RAM, or on the way from there")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loss_survives_packing() {
        for loss in [Loss::Unreadable(5), Loss::Unreadable(0), Loss::CorruptSlot, Loss::CorruptZpage] {
            assert_eq!(Loss::from_bits(loss.to_bits()), loss);
        }
        assert!(Loss::Unreadable(i32::MAX).to_bits() < FRAME_LIMIT);
    }
}
