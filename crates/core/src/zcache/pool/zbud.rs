//! zbud: at most two zpages ("buddies") in a frame.
//!
//! ```text
//! 0        64                                                          4096
//! | header | first zpage, from here up → |   free   | last zpage, ending here |
//! ```
//! A frame is 64 chunks of 64 bytes. The first chunk is the header: the policy's links,
//! the links of the unbuddied list, the chunks of both zpages, whether the frame is isolated, and
//! the policy's mark. As the header is in the frame, metadata outside of the frames is next to nothing,
//! and a zpage never straddles frames. What is free is in one piece, so no frame fragments.
//!
//! A frame with one zpage is *unbuddied*: it is on the list of its number of free chunks. A
//! store takes a frame from the list with the fewest chunks that suffice (best fit), found by a
//! bit map of the lists that have members.
//!
//! Layout and lists are those of the kernel's mm/zbud.c and of the zcache of 2012. They give
//! density away for eviction that is easy to foresee: a frame is free again after two zpages
//! have left, and few zpages that leave together differ little in age. Compaction is ours.
//!
//! A handle is `frame * 2 + buddy`.

use std::ops::Range;

use super::arena::{Arena, FrameIndex};
use super::layout::UnitLayout;
use super::unit_list::{Links, Side, UnitList};
use super::{Handle, Pool, REFERENCED, Refusal, Unit, ZpageHeader};
use crate::budget::Budget;
use crate::page::{PAGE_BYTES, PageNumber};
use crate::zcache::policy::{Policy, PolicyKind, Units};

const CHUNK_BYTES: usize = 64;
/// Chunks of a frame that zpages can have.
const CHUNKS: usize = PAGE_BYTES / CHUNK_BYTES - 1;
/// One chunk is left for a buddy: else the frame saves nothing.
const ZPAGE_BYTES_MAX: usize = (CHUNKS - 1) * CHUNK_BYTES - ZpageHeader::BYTES;

// Where things stand in a frame's header.
const POLICY_LINKS: usize = 0;
const UNBUDDIED_LINKS: usize = 8;
const BUDDY_CHUNKS: usize = 16;
const ISOLATED: usize = 18;
const MARK: usize = 19;

const FIRST: usize = 0;
const LAST: usize = 1;

/// See the module's description.
pub struct Zbud {
    arena: Arena,
    /// It has all frames but the isolated ones.
    policy: Box<dyn Policy>,
    /// Linked by the policy's links.
    isolated: UnitList,
    /// By free chunks.
    unbuddied: [UnitList; CHUNKS],
    /// Bit `n` is set where `unbuddied[n]` has members.
    unbuddied_map: u64,
    zpage_count: u32,
    zpage_bytes: u64,
}

/// One pair of links in the frames' headers.
struct HeaderLinks<'a>(&'a mut Arena, usize);

impl Links for HeaderLinks<'_> {
    fn neighbour(&self, of: u32, side: Side) -> u32 {
        link(self.0, of, self.1, side)
    }

    fn set_neighbour(&mut self, of: u32, side: Side, to: u32) {
        let at = self.1 + 4 * side as usize;
        self.0.frame_mut(FrameIndex(of))[at..at + 4].copy_from_slice(&to.to_le_bytes());
    }
}

/// The frames as the policy sees them.
struct HeaderUnits<'a>(&'a mut Arena);

impl Links for HeaderUnits<'_> {
    fn neighbour(&self, of: u32, side: Side) -> u32 {
        link(self.0, of, POLICY_LINKS, side)
    }

    fn set_neighbour(&mut self, of: u32, side: Side, to: u32) {
        HeaderLinks(self.0, POLICY_LINKS).set_neighbour(of, side, to);
    }
}

impl Units for HeaderUnits<'_> {
    fn mark(&self, unit: u32) -> u8 {
        self.0.frame(FrameIndex(unit))[MARK]
    }

    fn set_mark(&mut self, unit: u32, mark: u8) {
        self.0.frame_mut(FrameIndex(unit))[MARK] = mark;
    }

    fn frame_count(&self, _: u32) -> u32 {
        1
    }

    fn zpage_count(&self, unit: u32) -> u32 {
        buddies(self.0, unit).iter().map(|&chunks| u32::from(chunks != 0)).sum()
    }

    fn take_referenced(&mut self, unit: u32) -> u32 {
        let mut referenced = 0;
        for (buddy, chunks) in buddies(self.0, unit).into_iter().enumerate() {
            if chunks != 0 {
                let at = start_of(buddy, chunks) + REFERENCED;
                referenced += u32::from(std::mem::take(&mut self.0.frame_mut(FrameIndex(unit))[at]));
            }
        }
        referenced
    }
}

/// The chunks of a frame's first and last zpage, 0 for none.
fn buddies(arena: &Arena, frame: u32) -> [usize; 2] {
    let header = arena.frame(FrameIndex(frame));
    [header[BUDDY_CHUNKS + FIRST] as usize, header[BUDDY_CHUNKS + LAST] as usize]
}

/// Where in its frame a zpage of so many chunks starts.
fn start_of(buddy: usize, chunks: usize) -> usize {
    if buddy == FIRST { CHUNK_BYTES } else { PAGE_BYTES - chunks * CHUNK_BYTES }
}

fn link(arena: &Arena, frame: u32, links: usize, side: Side) -> u32 {
    let at = links + 4 * side as usize;
    u32::from_le_bytes(arena.frame(FrameIndex(frame))[at..at + 4].try_into().unwrap())
}

impl Zbud {
    /// A pool without zpages over the frames of `arena`.
    pub fn new(arena: Arena, policy: PolicyKind) -> Self {
        assert!(arena.frame_count() <= 1 << 31, "handles of zbud are too short for so many frames");
        Zbud {
            policy: policy.policy(arena.frame_count()),
            arena,
            isolated: UnitList::EMPTY,
            unbuddied: [UnitList::EMPTY; CHUNKS],
            unbuddied_map: 0,
            zpage_count: 0,
            zpage_bytes: 0,
        }
    }

    fn buddies(&self, frame: u32) -> [usize; 2] {
        buddies(&self.arena, frame)
    }

    fn is_isolated(&self, frame: u32) -> bool {
        self.arena.frame(FrameIndex(frame))[ISOLATED] != 0
    }

    /// The frame of a zpage, and where the zpage starts in it.
    fn place(&self, handle: Handle) -> (FrameIndex, usize) {
        let (frame, buddy) = (handle.0 / 2, handle.0 as usize % 2);
        let chunks = self.buddies(frame)[buddy];
        assert!(chunks != 0, "there is no zpage at {handle:?}");
        (FrameIndex(frame), start_of(buddy, chunks))
    }

    fn free_chunks(&self, frame: u32) -> usize {
        let [first, last] = self.buddies(frame);
        CHUNKS - first - last
    }

    fn list_unbuddied(&mut self, frame: u32) {
        let free = self.free_chunks(frame);
        self.unbuddied[free].push(&mut HeaderLinks(&mut self.arena, UNBUDDIED_LINKS), Side::Front, frame);
        self.unbuddied_map |= 1 << free;
    }

    fn unlist_unbuddied(&mut self, frame: u32) {
        let free = self.free_chunks(frame);
        self.unbuddied[free].remove(&mut HeaderLinks(&mut self.arena, UNBUDDIED_LINKS), frame);
        if self.unbuddied[free].end(Side::Front).is_none() {
            self.unbuddied_map &= !(1 << free);
        }
    }

    /// An unbuddied frame with as few free chunks as suffice.
    fn best_fit(&self, chunks: usize) -> Option<u32> {
        let fitting = self.unbuddied_map >> chunks << chunks;
        self.unbuddied.get(fitting.trailing_zeros() as usize)?.end(Side::Front)
    }

    /// Takes up the chunks of a new zpage in a frame that has them.
    fn occupy(&mut self, frame: u32, chunks: usize) -> Handle {
        let buddy = if self.buddies(frame)[FIRST] == 0 { FIRST } else { LAST };
        self.arena.frame_mut(FrameIndex(frame))[BUDDY_CHUNKS + buddy] = chunks as u8;
        Handle(frame * 2 + buddy as u32)
    }

    fn open_frame(&mut self, budget: &mut Budget) -> Result<u32, Refusal> {
        let frame = self.arena.take(budget)?;
        self.arena.frame_mut(frame)[BUDDY_CHUNKS..=MARK].fill(0);
        self.policy.insert(&mut HeaderUnits(&mut self.arena), frame.0);
        Ok(frame.0)
    }

    /// Gives back an empty frame that is on no list. A stale handle to it finds a header that
    /// says "empty", also after the frame's RAM was released.
    fn close_frame(&mut self, frame: u32, budget: &mut Budget) {
        debug_assert_eq!(self.buddies(frame), [0, 0]);
        self.arena.frame_mut(FrameIndex(frame))[ISOLATED] = 0;
        self.arena.give_back(FrameIndex(frame), budget);
    }
}

/// Where a zpage lies in a frame, by the frame's header.
pub(super) fn zpage_range(header: &[u8; CHUNK_BYTES], buddy: u8) -> Option<Range<usize>> {
    let chunks = usize::from(*header[BUDDY_CHUNKS..=BUDDY_CHUNKS + LAST].get(usize::from(buddy))?);
    let bytes = chunks * CHUNK_BYTES;
    match (usize::from(buddy), chunks) {
        (_, 0) => None,
        (FIRST, _) => Some(CHUNK_BYTES..CHUNK_BYTES + bytes),
        _ => Some(PAGE_BYTES.checked_sub(bytes)?..PAGE_BYTES),
    }
}

impl Pool for Zbud {
    fn zpage_bytes_max(&self) -> usize {
        ZPAGE_BYTES_MAX
    }

    fn store(&mut self, header: ZpageHeader, bytes: &[u8], budget: &mut Budget) -> Result<Handle, Refusal> {
        assert_eq!(header.length as usize, bytes.len());
        if bytes.len() > ZPAGE_BYTES_MAX {
            return Err(Refusal::CompressPoor);
        }
        let zpage_bytes = ZpageHeader::BYTES + bytes.len();
        let chunks = zpage_bytes.div_ceil(CHUNK_BYTES);
        let handle = if let Some(frame) = self.best_fit(chunks) {
            self.unlist_unbuddied(frame);
            self.occupy(frame, chunks)
        } else {
            let frame = self.open_frame(budget)?;
            let handle = self.occupy(frame, chunks);
            self.list_unbuddied(frame);
            handle
        };
        let (frame, start) = self.place(handle);
        let zpage = &mut self.arena.frame_mut(frame)[start..start + zpage_bytes];
        zpage[..ZpageHeader::BYTES].copy_from_slice(&header.to_bytes());
        zpage[REFERENCED] = 1;
        zpage[ZpageHeader::BYTES..].copy_from_slice(bytes);
        self.policy.stored(&mut HeaderUnits(&mut self.arena), frame.0, header.page);
        self.zpage_count += 1;
        self.zpage_bytes += zpage_bytes as u64;
        Ok(handle)
    }

    fn header(&self, handle: Handle) -> ZpageHeader {
        let (frame, start) = self.place(handle);
        let bytes = &self.arena.frame(frame)[start..start + ZpageHeader::BYTES];
        ZpageHeader::from_bytes(bytes.try_into().unwrap())
    }

    fn load(&self, handle: Handle, into: &mut [u8]) -> ZpageHeader {
        let header = self.header(handle);
        let (frame, start) = self.place(handle);
        let (start, length) = (start + ZpageHeader::BYTES, header.length as usize);
        into[..length].copy_from_slice(&self.arena.frame(frame)[start..start + length]);
        header
    }

    fn used(&mut self, handle: Handle) {
        let (frame, start) = self.place(handle);
        if !self.is_isolated(frame.0) {
            self.arena.frame_mut(frame)[start + REFERENCED] = 1;
            self.policy.used(&mut HeaderUnits(&mut self.arena), frame.0);
        }
    }

    fn remove(&mut self, handle: Handle, budget: &mut Budget) {
        let header = self.header(handle);
        let zpage_bytes = ZpageHeader::BYTES + header.length as usize;
        let (frame, buddy) = (handle.0 / 2, handle.0 as usize % 2);
        let (isolated, was_alone) = (self.is_isolated(frame), self.buddies(frame).contains(&0));
        if !isolated && was_alone {
            self.unlist_unbuddied(frame);
        }
        self.arena.frame_mut(FrameIndex(frame))[BUDDY_CHUNKS + buddy] = 0;
        self.policy.left(&mut HeaderUnits(&mut self.arena), frame, header.page, isolated);
        if !isolated && was_alone {
            self.policy.remove(&mut HeaderUnits(&mut self.arena), frame);
            self.close_frame(frame, budget);
        } else if !isolated {
            self.list_unbuddied(frame);
        }
        self.zpage_count -= 1;
        self.zpage_bytes -= zpage_bytes as u64;
    }

    fn isolate_coldest(&mut self) -> Option<Unit> {
        let frame = self.policy.take_coldest(&mut HeaderUnits(&mut self.arena))?;
        if self.buddies(frame).contains(&0) {
            self.unlist_unbuddied(frame);
        }
        self.arena.frame_mut(FrameIndex(frame))[ISOLATED] = 1;
        self.isolated.push(&mut HeaderUnits(&mut self.arena), Side::Front, frame);
        Some(Unit(frame))
    }

    fn zpages_of(&self, unit: Unit, each: &mut dyn FnMut(Handle)) {
        for (buddy, chunks) in self.buddies(unit.0).into_iter().enumerate() {
            if chunks != 0 {
                each(Handle(unit.0 * 2 + buddy as u32));
            }
        }
    }

    fn end_isolation(&mut self, unit: Unit, budget: &mut Budget) -> u32 {
        let frame = unit.0;
        assert!(self.is_isolated(frame), "{unit:?} is not isolated");
        self.isolated.remove(&mut HeaderUnits(&mut self.arena), frame);
        if self.buddies(frame) == [0, 0] {
            self.close_frame(frame, budget);
            return 1;
        }
        self.policy.put_back(&mut HeaderUnits(&mut self.arena), frame);
        self.arena.frame_mut(FrameIndex(frame))[ISOLATED] = 0;
        if self.buddies(frame).contains(&0) {
            self.list_unbuddied(frame);
        }
        0
    }

    /// Pairs the smallest lone zpage with the largest one that it fits beside, which makes as
    /// many pairs as can be. Each move frees a frame.
    fn compact(
        &mut self,
        moves_max: u32,
        budget: &mut Budget,
        moved: &mut dyn FnMut(PageNumber, Handle),
    ) -> u32 {
        let mut freed = 0;
        while freed < moves_max && self.unbuddied_map != 0 {
            let from = self.unbuddied[self.unbuddied_map.ilog2() as usize].end(Side::Back).unwrap();
            let chunks = CHUNKS - self.free_chunks(from);
            self.unlist_unbuddied(from);
            let Some(to) = self.best_fit(chunks) else {
                // A larger one would fit nowhere either.
                self.list_unbuddied(from);
                break;
            };
            self.unlist_unbuddied(to);
            let buddy = if self.buddies(from)[FIRST] == 0 { LAST } else { FIRST };
            let (from_frame, from_start) = self.place(Handle(from * 2 + buddy as u32));
            let handle = self.occupy(to, chunks);
            let (to_frame, to_start) = self.place(handle);
            for at in (0..chunks * CHUNK_BYTES).step_by(CHUNK_BYTES) {
                let mut chunk = [0; CHUNK_BYTES];
                chunk.copy_from_slice(&self.arena.frame(from_frame)[from_start + at..][..CHUNK_BYTES]);
                self.arena.frame_mut(to_frame)[to_start + at..][..CHUNK_BYTES].copy_from_slice(&chunk);
            }
            self.arena.frame_mut(from_frame)[BUDDY_CHUNKS + buddy] = 0;
            self.policy.remove(&mut HeaderUnits(&mut self.arena), from);
            self.close_frame(from, budget);
            moved(self.header(handle).page, handle);
            freed += 1;
        }
        freed
    }

    fn layout(&self, _unit: Unit) -> UnitLayout {
        UnitLayout::ZBUD
    }

    fn copy_unit(&self, unit: Unit, into: &mut [u8]) {
        into.copy_from_slice(&self.arena.frame(FrameIndex(unit.0))[..]);
    }

    fn index_in_unit(&self, handle: Handle) -> u8 {
        (handle.0 % 2) as u8
    }

    fn zpage_count(&self) -> u32 {
        self.zpage_count
    }

    fn zpage_bytes(&self) -> u64 {
        self.zpage_bytes
    }

    fn metadata_bytes(&self) -> u64 {
        size_of::<Self>() as u64
    }

    fn arena(&self) -> &Arena {
        &self.arena
    }

    fn arena_mut(&mut self) -> &mut Arena {
        &mut self.arena
    }

    fn set_policy(&mut self, policy: Box<dyn Policy>) {
        assert_eq!(self.zpage_count, 0, "a policy knows all units from the first one on");
        self.policy = policy;
    }

    fn check(&self) {
        let links = |links: usize| move |frame, side| link(&self.arena, frame, links, side);
        let (mut frames, mut alone, mut zpage_count, mut zpage_bytes) = (0, 0, 0, 0);
        let mut check_frame = |frame, isolated| {
            frames += 1;
            assert!(frames <= self.arena.in_use(), "more frames on the lists than are in use");
            assert_eq!(self.is_isolated(frame), isolated);
            let [first, last] = self.buddies(frame);
            assert!(first + last <= CHUNKS && (isolated || first + last != 0), "{first} + {last} chunks");
            alone += (!isolated && (first == 0 || last == 0)) as u32;
            self.zpages_of(Unit(frame), &mut |handle| {
                let bytes = ZpageHeader::BYTES + self.header(handle).length as usize;
                assert_eq!(bytes.div_ceil(CHUNK_BYTES), self.buddies(frame)[handle.0 as usize % 2]);
                zpage_count += 1;
                zpage_bytes += bytes as u64;
            });
        };
        self.policy.walk(&links(POLICY_LINKS), &mut |frame| check_frame(frame, false));
        self.isolated.walk(links(POLICY_LINKS)).for_each(|frame| check_frame(frame, true));
        for (free, list) in self.unbuddied.iter().enumerate() {
            assert_eq!(self.unbuddied_map >> free & 1 != 0, list.end(Side::Front).is_some());
            for frame in list.walk(links(UNBUDDIED_LINKS)) {
                assert!(!self.is_isolated(frame) && self.buddies(frame).contains(&0));
                assert_eq!(self.free_chunks(frame), free);
                assert!(alone > 0, "more frames are unbuddied than hold one zpage");
                alone -= 1;
            }
        }
        assert_eq!(alone, 0, "frames with one zpage that are not unbuddied");
        assert_eq!(frames, self.arena.in_use());
        assert_eq!((zpage_count, zpage_bytes), (self.zpage_count, self.zpage_bytes));
    }
}
