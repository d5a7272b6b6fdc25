//! The swap file does what every swap device must, for several threads at the same time too.
//!
//! `DEVICE_SEED=n cargo test --test devices` replays the seed that a failure has printed.

use std::path::Path;
use std::thread;

use zpager_core::swap_device::conformance::{self, SLOTS};
use zpager_linux::swap_file::SwapFile;

const LANES: u32 = 4;

fn seed() -> u64 {
    std::env::var("DEVICE_SEED").map_or(1, |seed| seed.parse().expect("DEVICE_SEED is a number"))
}

fn device_in(directory: &Path, slots: u32) -> SwapFile {
    SwapFile::new(directory, slots).expect("a swap file can be had here")
}

/// On a disk, past the page cache; and on a file system that may not have `O_DIRECT`.
fn directories() -> Vec<&'static Path> {
    ["/var/tmp", "/dev/shm"].map(Path::new).into_iter().filter(|directory| directory.is_dir()).collect()
}

#[test]
fn the_swap_file_conforms() {
    for directory in directories() {
        conformance::check_all(|slots| device_in(directory, slots), seed());
    }
}

#[test]
fn the_swap_file_keeps_threads_apart() {
    for directory in directories() {
        let device = &device_in(directory, SLOTS);
        thread::scope(|scope| {
            for lane in 0..LANES {
                scope.spawn(move || conformance::keeps_lanes_apart(device, lane, LANES, seed()));
            }
        });
    }
}
