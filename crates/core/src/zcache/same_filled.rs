//! Pages that are one 8-byte value over and over: the value is kept, and no zpage at all.
//!
//! Values are few (zeros, ones, NaN), so a small table of them with use counts serves all
//! pages; a page's entry holds the value's index. Where the table is full
//! the value becomes a zpage of its own, of eight bytes.

use crate::page::Page;

const VALUES_MAX: usize = 256;

/// The value that fills a page, if one does.
pub fn value_of(page: &Page) -> Option<u64> {
    let word = |at: usize| u64::from_le_bytes(page[at * 8..at * 8 + 8].try_into().unwrap());
    let value = word(0);
    // Most pages that are not same-filled differ in their last word already (mm/zswap.c).
    (word(511) == value && (1..511).all(|at| word(at) == value)).then_some(value)
}

/// Fills a page with a value.
pub fn fill(page: &mut Page, value: u64) {
    for word in page.chunks_exact_mut(8) {
        word.copy_from_slice(&value.to_le_bytes());
    }
}

#[derive(Clone, Copy, Default)]
struct Value {
    value: u64,
    pages: u32,
}

/// The values in use.
pub struct SameFilled {
    values: [Value; VALUES_MAX],
    pages: u32,
}

impl Default for SameFilled {
    fn default() -> Self {
        SameFilled { values: [Value::default(); VALUES_MAX], pages: 0 }
    }
}

impl SameFilled {
    /// Pages that are kept as a value.
    pub fn page_count(&self) -> u32 {
        self.pages
    }

    /// Keeps a page as its value; the value's index, or `None` where the table is full.
    pub fn store(&mut self, value: u64) -> Option<u32> {
        let in_use = |entry: &Value| entry.pages > 0;
        let index = self
            .values
            .iter()
            .position(|entry| in_use(entry) && entry.value == value)
            .or_else(|| self.values.iter().position(|entry| !in_use(entry)))?;
        self.values[index].value = value;
        self.values[index].pages += 1;
        self.pages += 1;
        Some(index as u32)
    }

    /// The value of an index.
    pub fn load(&self, index: u32) -> u64 {
        assert!(self.values[index as usize].pages > 0);
        self.values[index as usize].value
    }

    /// One page fewer is this value.
    pub fn remove(&mut self, index: u32) {
        self.values[index as usize].pages -= 1;
        self.pages -= 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_odd_byte_anywhere_is_seen() {
        let mut page = Page::ZERO;
        fill(&mut page, 0x3ff0_0000_0000_0000);
        assert_eq!(value_of(&page), Some(0x3ff0_0000_0000_0000));
        for at in [0, 7, 8, 2048, 4088, 4095] {
            page[at] ^= 1;
            assert_eq!(value_of(&page), None, "byte {at}");
            page[at] ^= 1;
        }
    }

    #[test]
    fn values_are_shared_and_the_table_has_an_end() {
        let mut values = SameFilled::default();
        assert_eq!(values.store(5), values.store(5));
        for value in 0..VALUES_MAX as u64 {
            assert!(values.store(value).is_some() || value == VALUES_MAX as u64 - 1 + 5, "{value}");
        }
        assert_eq!(values.store(1 << 40), None);
        let index = values.store(9).unwrap();
        values.remove(index);
        values.remove(index);
        assert!(values.store(1 << 40).is_some());
        assert_eq!(values.page_count(), VALUES_MAX as u32 + 2);
    }
}
