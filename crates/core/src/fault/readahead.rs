//! Readahead: a fault just behind the last one's pages is taken for a sequence, and brings more
//! pages each time.

use crate::page::PageNumber;

/// Sequences that are followed at the same time: a loop over a few arrays touches as many.
const STREAMS: usize = 8;
/// Pages that the second fault of a sequence brings.
const WINDOW_FIRST: u32 = 4;

#[derive(Clone, Copy, Default)]
struct Stream {
    next: u32,
    window: u32,
    used_at: u64,
}

/// See the module's description.
#[derive(Default)]
pub struct Readahead {
    streams: [Stream; STREAMS],
    now: u64,
}

impl Readahead {
    /// How many pages, from `page` on, a fault there should bring: 1 where it continues nothing,
    /// twice as many as last time where it does, at most `window_max`.
    pub fn window(&self, page: PageNumber, window_max: u32) -> u32 {
        let continued = self.streams.iter().find(|stream| stream.continues_at(page));
        continued
            .map_or(1, |stream| (stream.window * 2).clamp(WINDOW_FIRST, window_max.max(WINDOW_FIRST)))
            .min(window_max)
    }

    /// A fault has brought `count` pages from `page` on.
    pub fn served(&mut self, page: PageNumber, count: u32) {
        self.now += 1;
        let used_at = self.now;
        let stream = match self.streams.iter().position(|stream| stream.continues_at(page)) {
            Some(index) => &mut self.streams[index],
            None => self.streams.iter_mut().min_by_key(|stream| stream.used_at).expect("there are streams"),
        };
        *stream = Stream { next: page.0 + count, window: count, used_at };
    }
}

impl Stream {
    /// Pages in between may have been resident, so the next fault need not be at `next` exactly.
    fn continues_at(&self, page: PageNumber) -> bool {
        self.window > 0 && page.0.wrapping_sub(self.next) < self.window.max(WINDOW_FIRST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_window_grows_in_a_sequence_and_only_there() {
        let mut readahead = Readahead::default();
        let mut fault = |page| {
            let window = readahead.window(PageNumber(page), 32);
            readahead.served(PageNumber(page), window);
            window
        };
        assert_eq!(
            [fault(100), fault(101), fault(105), fault(113), fault(129), fault(161)],
            [1, 4, 8, 16, 32, 32]
        );
        assert_eq!([fault(7000), fault(500), fault(9)], [1, 1, 1]);
        assert_eq!(fault(195), 32, "two pages of the sequence were resident");
        assert_eq!(fault(8), 1, "backwards is not forwards");
    }
}
