//! The swap file does what every swap device must, by each kind of I/O, for several threads at the
//! same time too.
//!
//! `DEVICE_SEED=n cargo test --test devices` replays the seed that a failure has printed.

use std::path::Path;
use std::thread;

use zpager_core::page::{PAGE_BYTES, Page};
use zpager_core::swap_device::conformance::{self, SLOTS};
use zpager_core::swap_device::swap_map::Slot;
use zpager_core::swap_device::{ReadRun, SwapDevice, WriteRun};
use zpager_linux::device_io::{DeviceIo, IoKind, why_no_io_uring};
use zpager_linux::swap_file::SwapFile;

const LANES: u32 = 6;

fn seed() -> u64 {
    std::env::var("DEVICE_SEED").map_or(1, |seed| seed.parse().expect("DEVICE_SEED is a number"))
}

fn device_in(directory: &Path, slots: u32, kind: IoKind) -> SwapFile {
    let io = DeviceIo::new(kind).expect("this kind of I/O can be had here");
    SwapFile::new(directory, slots, io, false).expect("a swap file can be had here")
}

/// On a disk, past the page cache; and on a file system that may not have `O_DIRECT`. By each
/// kind of I/O that this machine allows.
fn devices() -> Vec<(&'static Path, IoKind)> {
    let directories = ["/var/tmp", "/dev/shm"].map(Path::new).into_iter().filter(|path| path.is_dir());
    let kinds = match why_no_io_uring() {
        None => vec![IoKind::IoUring, IoKind::Threads],
        Some(error) => {
            println!("without io_uring: {error}");
            vec![IoKind::Threads]
        }
    };
    directories.flat_map(|directory| kinds.iter().map(move |kind| (directory, *kind))).collect()
}

#[test]
fn the_swap_file_conforms() {
    for (directory, kind) in devices() {
        println!("{} by {}", directory.display(), kind.name());
        conformance::check_all(|slots| device_in(directory, slots, kind), seed());
    }
}

#[test]
fn the_swap_file_keeps_threads_apart() {
    for (directory, kind) in devices() {
        println!("{} by {}", directory.display(), kind.name());
        let device = &device_in(directory, SLOTS, kind);
        thread::scope(|scope| {
            for lane in 0..LANES {
                scope.spawn(move || conformance::keeps_lanes_apart(device, lane, LANES, seed()));
            }
        });
    }
}

/// More callers than rings and than places for calls, each with runs of its own.
#[test]
fn the_swap_file_carries_out_calls_of_many_threads() {
    const CALLERS: u32 = 10;
    const ROUNDS: u32 = 30;
    const RUNS: u32 = 12;
    for (directory, kind) in devices() {
        println!("{} by {}", directory.display(), kind.name());
        let device = &device_in(directory, CALLERS * RUNS * 2, kind);
        let caller = |caller: u32| {
            // Every other slot, so that no two runs could be one.
            let slots = (0..RUNS).map(|run| Slot((caller * RUNS + run) * 2));
            for round in 0..ROUNDS {
                let page = |run: u32| Page([(caller * 31 + round * 7 + run) as u8; PAGE_BYTES]);
                let pages: Vec<Page> = (0..RUNS).map(page).collect();
                let mut back = vec![Page::ZERO; RUNS as usize];
                let write = |(slot, page)| WriteRun::new(slot, std::slice::from_ref(page));
                let mut writes: Vec<_> = slots.clone().zip(&pages).map(write).collect();
                device.write(&mut writes);
                assert!(writes.iter().all(|run| run.result.is_ok()));
                let read = |(slot, page)| ReadRun::new(slot, std::slice::from_mut(page));
                let mut reads: Vec<_> = slots.clone().zip(&mut back).map(read).collect();
                device.read(&mut reads);
                assert!(reads.iter().all(|run| run.result.is_ok()));
                assert!(back.iter().zip(&pages).all(|(back, page)| back[..] == page[..]));
            }
        };
        thread::scope(|scope| {
            for index in 0..CALLERS {
                scope.spawn(move || caller(index));
            }
        });
    }
}
