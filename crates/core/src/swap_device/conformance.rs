//! What every swap device must do: a suite for the tests of any crate that has one.
//!
//! Each function takes a device of [`SLOTS`] slots that nobody has written yet, and panics where
//! it falls short. The device is one that does not fail: what the pager makes of errors is the
//! simulation's matter.

use std::fmt::Debug;
use std::ops::Range;

use super::swap_map::Slot;
use super::{ReadRun, SwapDevice, WriteRun};
use crate::page::{BATCH_MAX, PAGE_BYTES, Page};
use crate::simulation::random::Random;

/// Slots of a device under test: the largest write at all places that matter, and then some.
pub const SLOTS: u32 = 4 * BATCH_MAX as u32;

const MODEL_STEPS: u32 = 2_000;
const LANE_STEPS: u32 = 200;

/// Runs all cases but that of several threads, each on a device of its own.
pub fn check_all<D: SwapDevice>(new_device: impl Fn(u32) -> D, seed: u64) {
    reads_what_was_written(&new_device(SLOTS));
    reads_at_other_granularities_than_it_was_written(&new_device(SLOTS));
    overwrites_only_the_slots_of_the_write(&new_device(SLOTS));
    has_a_first_and_a_last_slot(&new_device(SLOTS));
    carries_out_many_runs_in_one_call(&new_device(SLOTS));
    agrees_with_a_model(&new_device(SLOTS), seed);
}

/// One page, and as many as one call may carry.
pub fn reads_what_was_written<D: SwapDevice>(device: &D) {
    for (first, count) in [(0, 1), (7, 1), (16, BATCH_MAX), (SLOTS / 2, BATCH_MAX)] {
        let pages: Vec<Page> = (0..count).map(|index| noise(u64::from(first) + index as u64)).collect();
        write(device, first, &pages);
        require(device, first, &pages);
        // Reading takes nothing away.
        require(device, first, &pages);
    }
}

/// A batch read page by page, and pages written one by one read as a batch.
pub fn reads_at_other_granularities_than_it_was_written<D: SwapDevice>(device: &D) {
    let pages: Vec<Page> = (0..BATCH_MAX as u64).map(noise).collect();
    write(device, 3, &pages);
    for size in [1, 2, 5, BATCH_MAX] {
        for (index, part) in pages.chunks(size).enumerate() {
            require(device, 3 + (index * size) as u32, part);
        }
    }
    for (index, page) in pages.iter().enumerate() {
        write(device, 50 + index as u32, std::slice::from_ref(page));
    }
    require(device, 50, &pages);
}

/// The newest write counts, and its neighbours stay.
pub fn overwrites_only_the_slots_of_the_write<D: SwapDevice>(device: &D) {
    let mut pages: Vec<Page> = (0..BATCH_MAX as u64).map(noise).collect();
    write(device, 10, &pages);
    for (offset, count) in [(0, 1), (5, 3), (BATCH_MAX - 1, 1), (0, BATCH_MAX)] {
        let newer: Vec<Page> = (0..count).map(|index| noise((1000 + offset + index) as u64)).collect();
        write(device, 10 + offset as u32, &newer);
        pages[offset..offset + count].clone_from_slice(&newer);
        require(device, 10, &pages);
    }
}

/// The slots at both ends, alone and as the end of a batch.
pub fn has_a_first_and_a_last_slot<D: SwapDevice>(device: &D) {
    let pages: Vec<Page> = (0..BATCH_MAX as u64).map(noise).collect();
    write(device, SLOTS - 1, &pages[..1]);
    write(device, 0, &pages[1..2]);
    require(device, SLOTS - 1, &pages[..1]);
    require(device, 0, &pages[1..2]);
    write(device, SLOTS - BATCH_MAX as u32, &pages);
    require(device, SLOTS - BATCH_MAX as u32, &pages);
    require(device, 0, &pages[1..2]);
}

/// Runs of all lengths in one call, out of order.
pub fn carries_out_many_runs_in_one_call<D: SwapDevice>(device: &D) {
    let pages: Vec<Page> = (0..SLOTS as u64).map(noise).collect();
    let mut ranges = Vec::new();
    let mut first = 0;
    for length in (1..).take_while(|length| length * (length + 1) / 2 <= SLOTS as usize) {
        ranges.push(first..first + length);
        first += length;
    }
    ranges.reverse();
    let run = |range: &Range<usize>| WriteRun::new(Slot(range.start as u32), &pages[range.clone()]);
    let mut runs: Vec<WriteRun<'_>> = ranges.iter().map(run).collect();
    device.write(&mut runs);
    for run in &runs {
        succeeded(run.result, "write", run.first.0, run.pages.len());
    }
    let mut back: Vec<Vec<Page>> =
        ranges.iter().map(|range| vec![Page([0xa5; PAGE_BYTES]); range.len()]).collect();
    let mut runs: Vec<ReadRun<'_>> = ranges
        .iter()
        .zip(&mut back)
        .map(|(range, back)| ReadRun::new(Slot(range.start as u32), &mut back[..]))
        .collect();
    device.read(&mut runs);
    for (run, range) in runs.iter().zip(&ranges) {
        succeeded(run.result, "read", run.first.0, run.pages.len());
        let expected = &pages[range.clone()];
        assert!(run.pages.iter().zip(expected).all(|(back, page)| back[..] == page[..]), "slots {range:?}");
    }
}

/// Writes and reads by chance, beside a vector.
pub fn agrees_with_a_model<D: SwapDevice>(device: &D, seed: u64) {
    println!("agrees_with_a_model: seed {seed}");
    let mut random = Random::new(seed);
    let mut model: Vec<Option<Page>> = vec![None; SLOTS as usize];
    for _ in 0..MODEL_STEPS {
        let count = 1 + random.below(BATCH_MAX as u32) as usize;
        let first = random.below(SLOTS - count as u32 + 1) as usize;
        let range = first..first + count;
        if random.one_in(2) {
            let pages: Vec<Page> = range.clone().map(|_| noise(random.bits())).collect();
            write(device, first as u32, &pages);
            model[range].clone_from_slice(&pages.into_iter().map(Some).collect::<Vec<_>>());
        } else if let Some(pages) = model[range].iter().cloned().collect::<Option<Vec<Page>>>() {
            require(device, first as u32, &pages);
        }
    }
}

/// What one of several users of a device does at the same time as the others: writes and reads
/// slots of its own, which lie between theirs. Whoever has threads gives each a lane of one
/// device; without any, one lane after the other will do.
pub fn keeps_lanes_apart<D: SwapDevice>(device: &D, lane: u32, lanes: u32, seed: u64) {
    println!("keeps_lanes_apart: lane {lane} of {lanes}, seed {seed}");
    let mut random = Random::new(seed ^ u64::from(lane));
    let slots: Vec<u32> = (lane..SLOTS).step_by(lanes as usize).collect();
    let mut model: Vec<Option<Page>> = vec![None; slots.len()];
    for _ in 0..LANE_STEPS {
        let index = random.below(slots.len() as u32) as usize;
        if let Some(page) = &model[index] {
            require(device, slots[index], std::slice::from_ref(page));
        }
        let page = noise(random.bits());
        write(device, slots[index], std::slice::from_ref(&page));
        model[index] = Some(page);
    }
    for (slot, page) in slots.iter().zip(&model) {
        if let Some(page) = page {
            require(device, *slot, std::slice::from_ref(page));
        }
    }
}

/// A page in which every byte counts.
fn noise(seed: u64) -> Page {
    let mut random = Random::new(seed);
    let mut page = Page::ZERO;
    for word in page.chunks_exact_mut(size_of::<u64>()) {
        word.copy_from_slice(&random.bits().to_le_bytes());
    }
    page
}

fn succeeded<E: Debug>(result: Result<(), E>, what: &str, first: u32, count: usize) {
    assert!(result.is_ok(), "{what} of {count} slots from {first} on: {:?}", result.err());
}

fn write<D: SwapDevice>(device: &D, first: u32, pages: &[Page]) {
    succeeded(device.write_run(Slot(first), pages), "write", first, pages.len());
}

fn require<D: SwapDevice>(device: &D, first: u32, pages: &[Page]) {
    // What was there before must not pass for what was read.
    let mut back = vec![Page([0xa5; PAGE_BYTES]); pages.len()];
    succeeded(device.read_run(Slot(first), &mut back), "read", first, pages.len());
    for (index, (back, page)) in back.iter().zip(pages).enumerate() {
        assert!(back[..] == page[..], "slot {} is not what was written", first + index as u32);
    }
}
