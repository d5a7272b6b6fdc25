//! zsmalloc: zpages of like size, packed over a few frames.
//!
//! ```text
//! zspage of class 3264: 5 objects on 4 frames, which need not be neighbours
//! | frame               | frame               | frame               | frame               |
//! | object 0        | object 1        | object 2        | object 3        | object 4      | |
//! ```
//! A zpage with its header is an *object* of the smallest size class that holds it. A *zspage*
//! is 1 to 4 frames cut into objects of one class; it has as many frames as waste least at its
//! end. An object may straddle two frames, so it is copied in up to two pieces; its header does
//! not, as objects start at multiples of 32 bytes. Object sizes grow in steps of 32 bytes, and
//! sizes that give as many objects on as many frames are one class. The largest objects are 5 on
//! 4 frames, since anything larger saves nothing; the smallest are 64 bytes, so that a zspage has
//! at most 64 objects and its occupancy is one word.
//!
//! The table of zspages is outside of the frames, 48 bytes an entry; entries are used again, so
//! it has as many as there ever were zspages at once. A class has its partly used zspages on
//! lists by fullness. A store goes to the fullest group and compaction drains the emptiest one,
//! both groups at opposite ends, so that a zspage once picked goes on to be filled or drained.
//!
//! Classes, straddling, and groups by fullness are those of the kernel's mm/zsmalloc.c, which
//! also had an LRU of zspages (Linux 6.2) until zswap.c got one of zpages.
//!
//! A handle is `zspage * 64 + object`.

use super::arena::{Arena, FrameIndex};
use super::layout::UnitLayout;
use super::unit_list::{Links, NONE, Side, UnitList};
use super::{Handle, Pool, REFERENCED, Refusal, Unit, ZPAGES_PER_UNIT_MAX, ZpageHeader};
use crate::budget::Budget;
use crate::page::{PAGE_BYTES, PageNumber};
use crate::zcache::policy::{Policy, PolicyKind, Units};

/// The most frames of a zspage.
pub const FRAMES_PER_ZSPAGE_MAX: usize = 4;
const OBJECTS_MAX: usize = ZPAGES_PER_UNIT_MAX;
const OBJECT_BYTES_MIN: usize = 64;
const OBJECT_BYTES_STEP: usize = 32;
/// One object more than frames: else nothing is saved.
const OBJECT_BYTES_MAX: usize =
    FRAMES_PER_ZSPAGE_MAX * PAGE_BYTES / (FRAMES_PER_ZSPAGE_MAX + 1) / OBJECT_BYTES_STEP * OBJECT_BYTES_STEP;
const ZPAGE_BYTES_MAX: usize = OBJECT_BYTES_MAX - ZpageHeader::BYTES;
const SIZES: usize = (OBJECT_BYTES_MAX - OBJECT_BYTES_MIN) / OBJECT_BYTES_STEP + 1;
/// Groups of zspages by fullness. Empty and full ones are in none.
const GROUPS: usize = 4;

const POLICY_LINKS: usize = 0;
const GROUP_LINKS: usize = 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// On the list of entries to be used again.
    Unused,
    /// The policy has it, and it is in a group if it has both objects and room.
    Active,
    /// On the list of isolated zspages.
    Isolated,
}

struct Zspage {
    occupied: u64,
    frames: [FrameIndex; FRAMES_PER_ZSPAGE_MAX],
    links: [[u32; 2]; 2],
    class: u8,
    state: State,
    /// The policy's.
    mark: u8,
}

const _: () = assert!(size_of::<Zspage>() == 48);

impl Zspage {
    /// The objects that are zpages.
    fn objects(&self) -> impl Iterator<Item = u32> + use<> {
        let occupied = self.occupied;
        (0..u64::BITS - occupied.leading_zeros()).filter(move |object| occupied >> object & 1 != 0)
    }

    /// The frame in which an object starts, where it starts there, and the frame that it may
    /// go on in.
    fn place(&self, object: u32, object_bytes: usize) -> (FrameIndex, usize, FrameIndex) {
        let start = object as usize * object_bytes;
        let frame = start / PAGE_BYTES;
        let next = (frame + 1).min(FRAMES_PER_ZSPAGE_MAX - 1);
        (self.frames[frame], start % PAGE_BYTES, self.frames[next])
    }
}

struct Class {
    object_bytes: usize,
    objects: u32,
    frames: u32,
    /// Objects that active zspages have room for.
    room: u32,
    groups: [UnitList; GROUPS],
}

impl Class {
    fn group(&self, zspage: &Zspage) -> Option<usize> {
        let objects = zspage.occupied.count_ones();
        let listed = zspage.state == State::Active && objects != 0 && objects != self.objects;
        listed.then(|| GROUPS * objects as usize / self.objects as usize)
    }

    fn room_in(&self, zspage: &Zspage) -> u32 {
        if zspage.state == State::Active { self.objects - zspage.occupied.count_ones() } else { 0 }
    }

    /// The zspage that a store goes to.
    fn fullest(&self) -> Option<u32> {
        self.groups.iter().rev().find_map(|group| group.end(Side::Front))
    }

    /// The zspage that compaction drains.
    fn sparsest(&self) -> Option<u32> {
        self.groups.iter().find_map(|group| group.end(Side::Back))
    }
}

/// See the module's description.
pub struct Zsmalloc {
    arena: Arena,
    zspages: Vec<Zspage>,
    /// It has all active zspages.
    policy: Box<dyn Policy>,
    /// Linked by the policy's links, like the next one.
    unused: UnitList,
    isolated: UnitList,
    classes: Vec<Class>,
    /// By object size in steps of [`OBJECT_BYTES_STEP`].
    class_of_size: [u8; SIZES],
    zpage_count: u32,
    zpage_bytes: u64,
}

/// One pair of links in the table.
struct TableLinks<'a>(&'a mut [Zspage], usize);

impl Links for TableLinks<'_> {
    fn neighbour(&self, of: u32, side: Side) -> u32 {
        self.0[of as usize].links[self.1][side as usize]
    }

    fn set_neighbour(&mut self, of: u32, side: Side, to: u32) {
        self.0[of as usize].links[self.1][side as usize] = to;
    }
}

/// The zspages as the policy sees them.
struct TableUnits<'a> {
    arena: &'a mut Arena,
    zspages: &'a mut [Zspage],
    classes: &'a [Class],
}

impl Links for TableUnits<'_> {
    fn neighbour(&self, of: u32, side: Side) -> u32 {
        self.zspages[of as usize].links[POLICY_LINKS][side as usize]
    }

    fn set_neighbour(&mut self, of: u32, side: Side, to: u32) {
        self.zspages[of as usize].links[POLICY_LINKS][side as usize] = to;
    }
}

impl Units for TableUnits<'_> {
    fn mark(&self, unit: u32) -> u8 {
        self.zspages[unit as usize].mark
    }

    fn set_mark(&mut self, unit: u32, mark: u8) {
        self.zspages[unit as usize].mark = mark;
    }

    fn frame_count(&self, unit: u32) -> u32 {
        self.classes[self.zspages[unit as usize].class as usize].frames
    }

    fn zpage_count(&self, unit: u32) -> u32 {
        self.zspages[unit as usize].occupied.count_ones()
    }

    fn take_referenced(&mut self, unit: u32) -> u32 {
        let zspage = &self.zspages[unit as usize];
        let object_bytes = self.classes[zspage.class as usize].object_bytes;
        let mut referenced = 0;
        for object in zspage.objects() {
            let (frame, start, _) = zspage.place(object, object_bytes);
            let bit = &mut self.arena.frame_mut(frame)[start + REFERENCED];
            referenced += u32::from(std::mem::take(bit));
        }
        referenced
    }
}

/// The frames of a zspage of such objects, and the objects on them, with the least waste.
fn shape_of(object_bytes: usize) -> (u32, u32) {
    let objects = |frames: usize| (frames * PAGE_BYTES / object_bytes).min(OBJECTS_MAX);
    let mut best = 1;
    for frames in 2..=FRAMES_PER_ZSPAGE_MAX {
        if objects(frames) * best > objects(best) * frames {
            best = frames;
        }
    }
    (best as u32, objects(best) as u32)
}

impl Zsmalloc {
    /// A pool without zpages over the frames of `arena`.
    pub fn new(arena: Arena, policy: PolicyKind) -> Self {
        let zspages_max = arena.frame_count() as usize;
        assert!(zspages_max * OBJECTS_MAX <= 1 << 32, "handles of zsmalloc are too short for so many frames");
        let mut classes: Vec<Class> = Vec::new();
        let mut class_of_size = [0; SIZES];
        for (size, class) in class_of_size.iter_mut().enumerate() {
            let object_bytes = OBJECT_BYTES_MIN + size * OBJECT_BYTES_STEP;
            let (frames, objects) = shape_of(object_bytes);
            match classes.last_mut() {
                Some(last) if (last.frames, last.objects) == (frames, objects) => {
                    last.object_bytes = object_bytes
                }
                _ => classes.push(Class {
                    object_bytes,
                    objects,
                    frames,
                    room: 0,
                    groups: [UnitList::EMPTY; GROUPS],
                }),
            }
            *class = (classes.len() - 1) as u8;
        }
        Zsmalloc {
            policy: policy.policy(arena.frame_count()),
            arena,
            // Untouched memory costs nothing.
            zspages: Vec::with_capacity(zspages_max),
            unused: UnitList::EMPTY,
            isolated: UnitList::EMPTY,
            classes,
            class_of_size,
            zpage_count: 0,
            zpage_bytes: 0,
        }
    }

    /// The policy, and what it sees.
    fn policy(&mut self) -> (&mut dyn Policy, TableUnits<'_>) {
        let Zsmalloc { arena, zspages, classes, policy, .. } = self;
        (&mut **policy, TableUnits { arena, zspages, classes })
    }

    fn class_of(&self, zspage: u32) -> &Class {
        &self.classes[self.zspages[zspage as usize].class as usize]
    }

    /// Changes a zspage's occupancy or state; its class follows. A zspage that comes into a
    /// group goes to `side` of it.
    fn change(&mut self, index: u32, side: Side, change: impl FnOnce(&mut Zspage)) {
        let zspage = &mut self.zspages[index as usize];
        let class = &mut self.classes[zspage.class as usize];
        let (group, room) = (class.group(zspage), class.room_in(zspage));
        change(zspage);
        let (group_new, room_new) = (class.group(zspage), class.room_in(zspage));
        class.room = class.room - room + room_new;
        if group != group_new {
            let mut links = TableLinks(&mut self.zspages, GROUP_LINKS);
            if let Some(group) = group {
                class.groups[group].remove(&mut links, index);
            }
            if let Some(group) = group_new {
                class.groups[group].push(&mut links, side, index);
            }
        }
    }

    /// A new zspage, or all frames back where one was refused.
    fn open_zspage(&mut self, class: u8, budget: &mut Budget) -> Result<u32, Refusal> {
        let mut frames = [FrameIndex(NONE); FRAMES_PER_ZSPAGE_MAX];
        for taken in 0..self.classes[class as usize].frames as usize {
            match self.arena.take(budget) {
                Ok(frame) => frames[taken] = frame,
                Err(refusal) => {
                    // Backwards, so that reserved ones are taken in the same order the next time.
                    for &frame in frames[..taken].iter().rev() {
                        self.arena.give_back(frame, budget);
                    }
                    return Err(refusal);
                }
            }
        }
        let zspage =
            Zspage { occupied: 0, frames, links: [[NONE; 2]; 2], class, state: State::Unused, mark: 0 };
        let index = if let Some(index) = self.unused.end(Side::Front) {
            self.unused.remove(&mut TableLinks(&mut self.zspages, POLICY_LINKS), index);
            self.zspages[index as usize] = zspage;
            index
        } else {
            debug_assert!(self.zspages.len() < self.zspages.capacity());
            self.zspages.push(zspage);
            (self.zspages.len() - 1) as u32
        };
        self.change(index, Side::Front, |zspage| zspage.state = State::Active);
        let (policy, mut units) = self.policy();
        policy.insert(&mut units, index);
        Ok(index)
    }

    /// Gives back the frames of an empty zspage that neither the policy has nor is isolated.
    fn close_zspage(&mut self, index: u32, budget: &mut Budget) -> u32 {
        debug_assert_eq!(self.zspages[index as usize].occupied, 0);
        let count = self.class_of(index).frames;
        for at in 0..count as usize {
            self.arena.give_back(self.zspages[index as usize].frames[at], budget);
        }
        self.change(index, Side::Front, |zspage| zspage.state = State::Unused);
        self.unused.push(&mut TableLinks(&mut self.zspages, POLICY_LINKS), Side::Front, index);
        count
    }

    /// Takes up a free object of a zspage.
    fn occupy(&mut self, index: u32) -> Handle {
        let object = self.zspages[index as usize].occupied.trailing_ones();
        assert!(object < self.class_of(index).objects);
        self.change(index, Side::Front, |zspage| zspage.occupied |= 1 << object);
        Handle(index * OBJECTS_MAX as u32 + object)
    }

    /// Frees an object, and its zspage if that is empty and active. Returns the frames freed.
    fn vacate(&mut self, handle: Handle, budget: &mut Budget) -> u32 {
        let (index, object) = (handle.0 / OBJECTS_MAX as u32, handle.0 % OBJECTS_MAX as u32);
        self.change(index, Side::Back, |zspage| zspage.occupied &= !(1 << object));
        let zspage = &self.zspages[index as usize];
        if zspage.occupied != 0 || zspage.state == State::Isolated {
            return 0;
        }
        let (policy, mut units) = self.policy();
        policy.remove(&mut units, index);
        self.close_zspage(index, budget)
    }

    fn place(&self, handle: Handle) -> (FrameIndex, usize, FrameIndex) {
        let (index, object) = (handle.0 / OBJECTS_MAX as u32, handle.0 % OBJECTS_MAX as u32);
        let zspage = &self.zspages[index as usize];
        assert!(zspage.occupied >> object & 1 != 0, "there is no zpage at {handle:?}");
        zspage.place(object, self.classes[zspage.class as usize].object_bytes)
    }

    fn referenced(&mut self, handle: Handle) -> &mut u8 {
        let (frame, start, _) = self.place(handle);
        &mut self.arena.frame_mut(frame)[start + REFERENCED]
    }

    fn write(&mut self, handle: Handle, header: ZpageHeader, bytes: &[u8]) {
        let (frame, start, next) = self.place(handle);
        let object = &mut self.arena.frame_mut(frame)[start..];
        let (header_place, object) = object.split_at_mut(ZpageHeader::BYTES);
        header_place.copy_from_slice(&header.to_bytes());
        let (here, there) = bytes.split_at(bytes.len().min(object.len()));
        object[..here.len()].copy_from_slice(here);
        if !there.is_empty() {
            self.arena.frame_mut(next)[..there.len()].copy_from_slice(there);
        }
    }
}

impl Pool for Zsmalloc {
    fn zpage_bytes_max(&self) -> usize {
        ZPAGE_BYTES_MAX
    }

    fn store(&mut self, header: ZpageHeader, bytes: &[u8], budget: &mut Budget) -> Result<Handle, Refusal> {
        assert_eq!(header.length as usize, bytes.len());
        if bytes.len() > ZPAGE_BYTES_MAX {
            return Err(Refusal::CompressPoor);
        }
        let object_bytes = ZpageHeader::BYTES + bytes.len();
        let size = object_bytes.max(OBJECT_BYTES_MIN).div_ceil(OBJECT_BYTES_STEP);
        let class = self.class_of_size[size - OBJECT_BYTES_MIN / OBJECT_BYTES_STEP];
        let index = match self.classes[class as usize].fullest() {
            Some(index) => index,
            None => self.open_zspage(class, budget)?,
        };
        let handle = self.occupy(index);
        self.write(handle, header, bytes);
        *self.referenced(handle) = 1;
        let (policy, mut units) = self.policy();
        policy.stored(&mut units, index, header.page);
        self.zpage_count += 1;
        self.zpage_bytes += object_bytes as u64;
        Ok(handle)
    }

    fn header(&self, handle: Handle) -> ZpageHeader {
        let (frame, start, _) = self.place(handle);
        let bytes = &self.arena.frame(frame)[start..start + ZpageHeader::BYTES];
        ZpageHeader::from_bytes(bytes.try_into().unwrap())
    }

    fn load(&self, handle: Handle, into: &mut [u8]) -> ZpageHeader {
        let (frame, start, next) = self.place(handle);
        let (header, object) = self.arena.frame(frame)[start..].split_at(ZpageHeader::BYTES);
        let header = ZpageHeader::from_bytes(header.try_into().unwrap());
        let length = header.length as usize;
        let (here, there) = into[..length].split_at_mut(length.min(object.len()));
        here.copy_from_slice(&object[..here.len()]);
        if !there.is_empty() {
            there.copy_from_slice(&self.arena.frame(next)[..there.len()]);
        }
        header
    }

    fn used(&mut self, handle: Handle) {
        let index = handle.0 / OBJECTS_MAX as u32;
        if self.zspages[index as usize].state != State::Isolated {
            *self.referenced(handle) = 1;
            let (policy, mut units) = self.policy();
            policy.used(&mut units, index);
        }
    }

    fn remove(&mut self, handle: Handle, budget: &mut Budget) {
        let header = self.header(handle);
        let object_bytes = ZpageHeader::BYTES + header.length as usize;
        let index = handle.0 / OBJECTS_MAX as u32;
        let isolated = self.zspages[index as usize].state == State::Isolated;
        let (policy, mut units) = self.policy();
        policy.left(&mut units, index, header.page, isolated);
        self.vacate(handle, budget);
        self.zpage_count -= 1;
        self.zpage_bytes -= object_bytes as u64;
    }

    fn isolate_coldest(&mut self) -> Option<Unit> {
        let (policy, mut units) = self.policy();
        let index = policy.take_coldest(&mut units)?;
        self.change(index, Side::Back, |zspage| zspage.state = State::Isolated);
        self.isolated.push(&mut TableLinks(&mut self.zspages, POLICY_LINKS), Side::Front, index);
        Some(Unit(index))
    }

    fn zpages_of(&self, unit: Unit, each: &mut dyn FnMut(Handle)) {
        let objects = self.zspages[unit.0 as usize].objects();
        objects.for_each(|object| each(Handle(unit.0 * OBJECTS_MAX as u32 + object)));
    }

    fn end_isolation(&mut self, unit: Unit, budget: &mut Budget) -> u32 {
        let index = unit.0;
        let zspage = &self.zspages[index as usize];
        assert!(zspage.state == State::Isolated, "{unit:?} is not isolated");
        let empty = zspage.occupied == 0;
        self.isolated.remove(&mut TableLinks(&mut self.zspages, POLICY_LINKS), index);
        if empty {
            return self.close_zspage(index, budget);
        }
        let (policy, mut units) = self.policy();
        policy.put_back(&mut units, index);
        self.change(index, Side::Back, |zspage| zspage.state = State::Active);
        0
    }

    /// Drains the sparsest zspages of a class into its fullest ones while there is room for all
    /// objects of a zspage, so that the moves free one in the end. Large objects first: they
    /// free the most frames a move.
    fn compact(
        &mut self,
        moves_max: u32,
        budget: &mut Budget,
        moved: &mut dyn FnMut(PageNumber, Handle),
    ) -> u32 {
        let (mut moves, mut freed) = (0, 0);
        let mut bytes = [0; ZPAGE_BYTES_MAX];
        for class in (0..self.classes.len()).rev() {
            while moves < moves_max && self.classes[class].room >= self.classes[class].objects {
                // So much room is that of two zspages at least, as none of them is empty.
                let from = self.classes[class].sparsest().unwrap();
                let to = self.classes[class].fullest().unwrap();
                assert_ne!(from, to);
                let object = self.zspages[from as usize].occupied.ilog2();
                let from = Handle(from * OBJECTS_MAX as u32 + object);
                let header = self.load(from, &mut bytes);
                let referenced = *self.referenced(from);
                let handle = self.occupy(to);
                self.write(handle, header, &bytes[..header.length as usize]);
                *self.referenced(handle) = referenced;
                freed += self.vacate(from, budget);
                moved(header.page, handle);
                moves += 1;
            }
        }
        freed
    }

    fn layout(&self, unit: Unit) -> UnitLayout {
        let class = self.class_of(unit.0);
        UnitLayout::objects(class.frames, class.object_bytes)
    }

    fn copy_unit(&self, unit: Unit, into: &mut [u8]) {
        let frames = &self.zspages[unit.0 as usize].frames;
        for (into, frame) in into.chunks_exact_mut(PAGE_BYTES).zip(frames) {
            into.copy_from_slice(&self.arena.frame(*frame)[..]);
        }
    }

    fn index_in_unit(&self, handle: Handle) -> u8 {
        (handle.0 % OBJECTS_MAX as u32) as u8
    }

    fn zpage_count(&self) -> u32 {
        self.zpage_count
    }

    fn zpage_bytes(&self) -> u64 {
        self.zpage_bytes
    }

    fn metadata_bytes(&self) -> u64 {
        let tables = size_of_val(&self.zspages[..]) + size_of_val(&self.classes[..]);
        (size_of::<Self>() + tables) as u64
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
        let links = |links: usize| {
            move |index: u32, side: Side| self.zspages[index as usize].links[links][side as usize]
        };
        let mut listed = 0;
        let mut zpages = (0, 0);
        let mut frames = Vec::new();
        let mut partly_used = vec![0; self.classes.len()];
        let mut room = vec![0; self.classes.len()];
        let mut check_zspage = |index: u32, state| {
            listed += 1;
            assert!(listed <= self.zspages.len(), "more entries on the lists than in the table");
            let zspage = &self.zspages[index as usize];
            let class = &self.classes[zspage.class as usize];
            assert_eq!(zspage.state, state);
            assert!(state == State::Isolated || (zspage.occupied == 0) == (state == State::Unused));
            assert!(u64::BITS - zspage.occupied.leading_zeros() <= class.objects);
            if state != State::Unused {
                frames.extend_from_slice(&zspage.frames[..class.frames as usize]);
            }
            partly_used[zspage.class as usize] += class.group(zspage).is_some() as u32;
            room[zspage.class as usize] += class.room_in(zspage);
            self.zpages_of(Unit(index), &mut |handle| {
                let object_bytes = ZpageHeader::BYTES + self.header(handle).length as usize;
                assert!(object_bytes <= class.object_bytes);
                zpages = (zpages.0 + 1, zpages.1 + object_bytes as u64);
            });
        };
        self.policy.walk(&links(POLICY_LINKS), &mut |index| check_zspage(index, State::Active));
        for (list, state) in [(&self.unused, State::Unused), (&self.isolated, State::Isolated)] {
            list.walk(links(POLICY_LINKS)).for_each(|index| check_zspage(index, state));
        }
        assert_eq!(listed, self.zspages.len(), "entries that are on no list");
        assert_eq!(zpages, (self.zpage_count, self.zpage_bytes));
        assert_eq!(frames.len(), self.arena.in_use() as usize);
        frames.sort();
        assert!(frames.is_sorted_by(|a, b| a < b), "a frame of two zspages");
        for (at, class) in self.classes.iter().enumerate() {
            assert_eq!(class.room, room[at]);
            for (group, list) in class.groups.iter().enumerate() {
                for index in list.walk(links(GROUP_LINKS)) {
                    assert_eq!(self.zspages[index as usize].class as usize, at);
                    assert_eq!(class.group(&self.zspages[index as usize]), Some(group));
                    assert!(partly_used[at] > 0, "more zspages in groups than are partly used");
                    partly_used[at] -= 1;
                }
            }
            assert_eq!(partly_used[at], 0, "partly used zspages that are in no group");
        }
    }
}
