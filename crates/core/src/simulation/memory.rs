//! Memory of the simulated world: page frames in ordinary memory, and every rule of the real
//! one an assertion.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::cell::{Cell, RefCell, UnsafeCell};
use std::collections::HashSet;
use std::ptr::NonNull;

use super::failing::{Failing, Kind, Numbered};
use super::random::Random;
use crate::page::{Page, PageNumber};
use crate::swap_cache::StagingSlot;
use crate::world::{Memory, Staged};
use crate::zcache::pool::arena::{Arena, FrameIndex};

/// What a place holds that holds nothing: whoever reads it by mistake notices.
const GARBAGE: u8 = 0xdb;

struct Mapping {
    contents: Box<Page>,
    is_protected: bool,
}

struct StagingPlace {
    contents: UnsafeCell<Box<Page>>,
    is_filled: Cell<bool>,
}

/// See the module's description. For one thread.
pub struct SimulatedMemory {
    mapped: RefCell<Vec<Option<Mapping>>>,
    staging: Vec<StagingPlace>,
    /// Pages that the program has discarded behind the pager's back, and that it has not noticed yet.
    vanished: RefCell<HashSet<PageNumber>>,
    /// Pages that become zeros by themselves when they are touched.
    unwatched: RefCell<HashSet<PageNumber>>,
    /// Pages whose every access fails.
    poisoned: RefCell<HashSet<PageNumber>>,
    /// The frames of the pool, to make those that are released useless.
    frames: NonNull<Page>,
    random: RefCell<Random>,
    /// One in so many calls that may fail does; 0 is none.
    refusals_one_in: u32,
    numbered: Numbered,
}

impl SimulatedMemory {
    /// Memory with nothing in it.
    pub fn new(
        window_pages: u32,
        staging_slots: u32,
        frames: &Frames,
        seed: u64,
        refusals_one_in: u32,
        failing: Option<Failing>,
    ) -> Self {
        let staged = || StagingPlace {
            contents: UnsafeCell::new(Box::new(Page([GARBAGE; 4096]))),
            is_filled: Cell::new(false),
        };
        SimulatedMemory {
            mapped: RefCell::new((0..window_pages).map(|_| None).collect()),
            staging: (0..staging_slots).map(|_| staged()).collect(),
            vanished: RefCell::default(),
            unwatched: RefCell::default(),
            poisoned: RefCell::default(),
            frames: frames.base,
            random: RefCell::new(Random::new(seed)),
            refusals_one_in,
            numbered: Numbered::new(failing),
        }
    }

    /// Whether accesses to a page fail for good.
    pub fn is_poisoned(&self, page: PageNumber) -> bool {
        self.poisoned.borrow().contains(&page)
    }

    /// Lets the program access a page. `None`: this access faults.
    pub fn access<T>(
        &self,
        page: PageNumber,
        is_write: bool,
        with: impl FnOnce(&mut Page) -> T,
    ) -> Option<T> {
        let mut mapped = self.mapped.borrow_mut();
        let mapping = &mut mapped[page.index()];
        if mapping.is_none() && self.unwatched.borrow().contains(&page) {
            *mapping = Some(Mapping { contents: Box::new(Page::ZERO), is_protected: false });
        }
        let mapping = mapping.as_mut()?;
        (!is_write || !mapping.is_protected).then(|| with(&mut mapping.contents))
    }

    /// The program discards a page by itself, if that is mapped and can be written: of others the pager
    /// may have a copy that comes back. Whether it did.
    pub fn vanish(&self, page: PageNumber) -> bool {
        let mapping = &mut self.mapped.borrow_mut()[page.index()];
        let is_dirty = mapping.as_ref().is_some_and(|mapping| !mapping.is_protected);
        if is_dirty {
            *mapping = None;
            if !self.unwatched.borrow().contains(&page) {
                self.vanished.borrow_mut().insert(page);
            }
        }
        is_dirty
    }

    /// Pages that the program can access.
    pub fn mapped_count(&self) -> usize {
        self.mapped.borrow().iter().flatten().count()
    }

    /// Staging slots that hold a page.
    pub fn staged_count(&self) -> usize {
        self.staging.iter().filter(|staged| staged.is_filled.get()).count()
    }

    /// The operations by number.
    pub fn numbered(&self) -> &Numbered {
        &self.numbered
    }

    fn refuses(&self) -> bool {
        self.refusals_one_in > 0 && self.random.borrow_mut().one_in(self.refusals_one_in)
    }

    fn put_into(&self, slot: StagingSlot, contents: Box<Page>) {
        let staged = &self.staging[slot.index()];
        assert!(!staged.is_filled.replace(true), "{slot:?} is filled already");
        // SAFETY: one thread, and nobody holds a reference from `staged` to a slot that was empty.
        unsafe { *staged.contents.get() = contents };
    }

    fn empty(&self, slot: StagingSlot) -> Box<Page> {
        let staged = &self.staging[slot.index()];
        assert!(staged.is_filled.replace(false), "{slot:?} is empty already");
        // SAFETY: one thread; whoever empties a slot is its last reader (`SwapCache`), so nobody
        // holds a reference to it.
        unsafe { std::mem::replace(&mut *staged.contents.get(), Box::new(Page([GARBAGE; 4096]))) }
    }
}

impl Memory for SimulatedMemory {
    fn unwatch(&self, first: PageNumber, count: u32) -> bool {
        if self.refuses() {
            return false;
        }
        for page in (first.0..first.0 + count).map(PageNumber) {
            assert!(self.mapped.borrow()[page.index()].is_none(), "{page:?} is mapped and new");
            self.unwatched.borrow_mut().insert(page);
        }
        true
    }

    fn watch(&self, first: PageNumber, count: u32) {
        for page in (first.0..first.0 + count).map(PageNumber) {
            assert!(self.unwatched.borrow_mut().remove(&page), "{page:?} is watched already");
        }
    }

    fn present(&self, first: PageNumber, count: u32) -> u64 {
        let mut present = 0;
        for offset in 0..count {
            let page = first.plus(offset);
            assert!(!self.unwatched.borrow().contains(&page), "{page:?} can come into being");
            let is_there = self.mapped.borrow()[page.index()].is_some();
            present |= u64::from(is_there) << offset;
        }
        present
    }

    fn map(&self, first: PageNumber, contents: &[Page], protect: bool) -> usize {
        if self.numbered.fails(Kind::Map) {
            return 0;
        }
        for (index, page) in contents.iter().enumerate() {
            if self.refuses() {
                return index;
            }
            let mapping = &mut self.mapped.borrow_mut()[first.index() + index];
            let number = first.plus(index as u32);
            assert!(mapping.is_none() && !self.is_poisoned(number), "{number:?} is mapped already");
            *mapping = Some(Mapping { contents: Box::new(page.clone()), is_protected: protect });
        }
        contents.len()
    }

    fn unprotect(&self, first: PageNumber, count: u32) {
        for (index, mapping) in
            self.mapped.borrow_mut()[first.index()..][..count as usize].iter_mut().enumerate()
        {
            let number = first.plus(index as u32);
            match mapping {
                Some(mapping) => mapping.is_protected = false,
                None => assert!(self.vanished.borrow().contains(&number), "{number:?} is not mapped"),
            }
        }
    }

    fn unmap_to_staging(&self, pairs: &[(PageNumber, StagingSlot)]) -> Staged {
        let mut staged = Staged::default();
        if self.numbered.fails(Kind::Move) {
            return staged;
        }
        for (index, (page, slot)) in pairs.iter().enumerate() {
            if !self.refuses() {
                let mapping = self.mapped.borrow_mut()[page.index()].take();
                staged.moved |= 1 << index;
                staged.vanished |= u64::from(mapping.is_none()) << index;
                assert!(
                    mapping.is_some() || self.vanished.borrow_mut().remove(page),
                    "{page:?} is not mapped"
                );
                let zeros = || Box::new(Page::ZERO);
                self.put_into(*slot, mapping.map_or_else(zeros, |mapping| mapping.contents));
            }
        }
        staged
    }

    fn unmap_clean(&self, pages: &[PageNumber]) {
        for page in pages {
            let mapping = self.mapped.borrow_mut()[page.index()].take().expect("a resident page is mapped");
            assert!(mapping.is_protected, "{page:?} may have been written");
        }
    }

    fn restore_by_move(&self, slot: StagingSlot, page: PageNumber) -> bool {
        if self.numbered.fails(Kind::MoveBack) || self.refuses() {
            return false;
        }
        let contents = self.empty(slot);
        let mapping = &mut self.mapped.borrow_mut()[page.index()];
        assert!(mapping.is_none(), "{page:?} is mapped already");
        *mapping = Some(Mapping { contents, is_protected: false });
        true
    }

    fn staged(&self, slot: StagingSlot) -> &Page {
        let staged = &self.staging[slot.index()];
        assert!(staged.is_filled.get(), "{slot:?} is empty");
        // SAFETY: one thread, and a slot that is read is neither filled nor emptied (`SwapCache`).
        unsafe { &*staged.contents.get() }
    }

    fn stage(&self, slot: StagingSlot, contents: &Page) -> bool {
        let refuses = self.numbered.fails(Kind::Stage) || self.refuses();
        // The slot counts as filled even where that failed: whoever took it releases it.
        self.put_into(slot, Box::new(if refuses { Page([GARBAGE; 4096]) } else { contents.clone() }));
        !refuses
    }

    fn release_staged(&self, slots: &[StagingSlot]) {
        for slot in slots.iter().filter(|slot| self.staging[slot.index()].is_filled.get()) {
            self.empty(*slot);
        }
    }

    fn release_frames(&self, frames: &[FrameIndex]) {
        for frame in frames {
            // SAFETY: the arena has given these frames out to be released, and does not touch them
            // meanwhile; they are in bounds.
            unsafe { self.frames.add(frame.0 as usize).as_mut() }.fill(GARBAGE);
        }
    }

    fn discard(&self, first: PageNumber, count: u32) {
        self.mapped.borrow_mut()[first.index()..][..count as usize].fill_with(|| None);
        let is_in = |page: &PageNumber| (first.0..first.0 + count).contains(&page.0);
        self.vanished.borrow_mut().retain(|page| !is_in(page));
        self.poisoned.borrow_mut().retain(|page| !is_in(page));
    }

    fn poison(&self, page: PageNumber) {
        assert!(self.mapped.borrow()[page.index()].is_none(), "{page:?} is lost, and mapped");
        self.poisoned.borrow_mut().insert(page);
    }

    fn wake(&self, page: PageNumber) -> bool {
        let mapping = &mut self.mapped.borrow_mut()[page.index()];
        let was_there = mapping.is_some();
        assert!(
            was_there || self.vanished.borrow_mut().remove(&page),
            "{page:?} is resident, and not mapped"
        );
        mapping.get_or_insert_with(|| Mapping { contents: Box::new(Page::ZERO), is_protected: false });
        was_there
    }
}

/// The frames of a pool in ordinary memory, zeroed.
pub struct Frames {
    base: NonNull<Page>,
    layout: Layout,
}

impl Frames {
    /// So many frames, and an arena over them, which must go first.
    pub fn with_arena(frame_count: u32) -> (Frames, Arena) {
        let layout = Layout::array::<Page>(frame_count as usize).expect("a small arena");
        // SAFETY: the layout is not empty; the arena has the frames to itself, and its owner
        // keeps them until it is gone.
        unsafe {
            let base = NonNull::new(alloc_zeroed(layout).cast::<Page>()).expect("memory for an arena");
            (Frames { base, layout }, Arena::new(base, frame_count))
        }
    }
}

// SAFETY: the only owner of its memory, which is not accessed through it.
unsafe impl Send for Frames {}

impl Drop for Frames {
    fn drop(&mut self) {
        // SAFETY: allocated in `with_arena` with this layout.
        unsafe { dealloc(self.base.as_ptr().cast(), self.layout) }
    }
}
