//! What is one for a whole process: tested in a process of its own, where no other test changes it.

use std::fs::File;
use std::os::fd::{AsRawFd, RawFd};

use zpager_linux::descriptors::{Kept, is_kept, moved_up, not_kept};
use zpager_linux::process_memory::ProcessMemory;

#[test]
fn what_was_touched_is_there() {
    let before = ProcessMemory::now().unwrap();
    let block = std::hint::black_box(vec![1_u8; 64 << 20]);
    let after = ProcessMemory::now().unwrap();
    let more = i64::from(after.resident) - i64::from(before.resident);
    assert!((15 << 10..17 << 10).contains(&more), "{more} pages");
    assert!(after.of_files < after.resident - (15 << 10));
    drop(block);
}

#[test]
fn what_is_kept_is_known_while_it_lives_and_out_of_the_way() {
    let open = || Kept::new(moved_up(File::open("/dev/null").unwrap().into()));
    let files = [open(), open()];
    let numbers = files.each_ref().map(|file| file.as_raw_fd());
    assert!(numbers.iter().all(|number| *number > 500 && is_kept(*number)));
    let mut parts = Vec::new();
    let (low, high) = (numbers[0].min(numbers[1]) as u32, numbers[0].max(numbers[1]) as u32);
    not_kept(low..=high + 5, |part| parts.push(part));
    assert!(parts.iter().all(|part| !part.contains(&low) && !part.contains(&high)));
    assert!(parts.last().unwrap().end() == &(high + 5));
    drop(files);
    assert!(!is_kept(low as RawFd) && !is_kept(high as RawFd));
    not_kept(low..=high, |part| assert_eq!(part, low..=high));
}
