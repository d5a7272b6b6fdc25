//! A file that may not grow: writes are done in part, and then fail. The limit holds for a whole
//! process, so this test is alone in its own.

use std::path::Path;

use zpager_core::page::{PAGE_BYTES, Page};
use zpager_core::swap_device::swap_map::Slot;
use zpager_core::swap_device::{DeviceError, SwapDevice, WriteRun};
use zpager_linux::device_io::{DeviceIo, IoKind};
use zpager_linux::swap_file::SwapFile;

const SLOTS: u32 = 16;
const SLOTS_ALLOWED: u32 = 8;

#[test]
fn writes_up_to_the_limit_succeed_and_those_beyond_fail() {
    let device = |(directory, kind)| {
        let io = DeviceIo::new(kind).ok()?;
        Some(SwapFile::new(Path::new(directory), SLOTS, io, true).expect("a swap file can be had here"))
    };
    let kinds = [IoKind::IoUring, IoKind::Threads];
    let devices = kinds.map(|kind| [("/var/tmp", kind), ("/dev/shm", kind)]);
    let devices: Vec<SwapFile> = devices.into_iter().flatten().filter_map(device).collect();
    let bytes = u64::from(SLOTS_ALLOWED) * PAGE_BYTES as u64;
    // SAFETY: limits files of this process from now on; the signal would end it.
    unsafe {
        libc::signal(libc::SIGXFSZ, libc::SIG_IGN);
        let limit = libc::rlimit { rlim_cur: bytes, rlim_max: bytes };
        assert_eq!(libc::setrlimit(libc::RLIMIT_FSIZE, &raw const limit), 0);
    }
    for device in &devices {
        let pages: Vec<Page> = (1..=5).map(|value| Page([value; PAGE_BYTES])).collect();
        // The second run begins below the limit and ends beyond it.
        let mut runs = [9, SLOTS_ALLOWED - 3, 0].map(|first| WriteRun::new(Slot(first), &pages[..]));
        device.write(&mut runs);
        let too_large = Err(DeviceError { errno: libc::EFBIG });
        assert_eq!(runs.map(|run| run.result), [too_large, too_large, Ok(())]);
        assert_eq!(device.write_run(Slot(SLOTS_ALLOWED - 3), &pages), too_large);
        let mut back = vec![Page::ZERO; 3];
        // What was done of it is there.
        device.read_run(Slot(SLOTS_ALLOWED - 3), &mut back).unwrap();
        assert!(back.iter().zip(&pages).all(|(back, page)| back[..] == page[..]));
        device.read_run(Slot(0), &mut back).unwrap();
        assert!(back.iter().zip(&pages).all(|(back, page)| back[..] == page[..]));
    }
}
