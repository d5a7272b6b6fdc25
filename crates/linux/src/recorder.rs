//! Telling somebody outside of the process of every fault, and of what each page comes to that is stored: for
//! `zpager lab record`, which holds the other end of a pipe.
//!
//! Nothing here waits or allocates, since it is called in page faults: where the pipe is full, or everything to
//! measure with is in use, the event is dropped and counted, and the next one that gets through brings the
//! count. A pipe takes so short a write as a whole or not at all, so processes need no lock.

use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use zpager_core::fault::Access;
use zpager_core::page::{Page, PageNumber};
use zpager_core::zcache::codec::measure::Measure;

use crate::descriptors::{Kept, moved_up};
use crate::ledger;
use crate::system_call;

/// As many as can store at the same time: kswapd, reclaim on demand, faults.
const MEASURES: usize = 5;

/// What kind of event it is.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Kind {
    Read = 0,
    Write = 1,
    Stored = 2,
}

/// What goes through the pipe, in this machine's order of bytes. `python/zpager/lab/record_pager.py` reads it.
#[repr(C)]
struct Event {
    /// When: of a fault, when it arrived.
    moment_us: u64,
    process: u32,
    thread: u32,
    page: u32,
    kind: Kind,
    /// Of a fault, how many microseconds it took; of a store, the page's length under both codecs, the first in
    /// the lower half.
    value: u32,
    /// Events that were dropped since the one before.
    dropped: u32,
}

/// See the module's description.
pub struct Recorder {
    pipe: Kept<OwnedFd>,
    dropped: AtomicU32,
    measures: [Mutex<Measure>; MEASURES],
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Recorder").field("pipe", &self.pipe.as_raw_fd()).finish_non_exhaustive()
    }
}

impl Recorder {
    /// Opens a pipe by its path.
    pub fn open(path: &Path) -> io::Result<Self> {
        // To read, too: with no reader left, a write would be a SIGPIPE.
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
            .open(path)?;
        Ok(Recorder {
            pipe: Kept::new(moved_up(file.into())),
            dropped: AtomicU32::new(0),
            measures: Default::default(),
        })
    }

    /// A fault of this thread was served. `began_us` by [`ledger::now_us`].
    pub fn fault(&self, page: PageNumber, access: Access, began_us: u64) {
        let took_us = ledger::now_us() - began_us;
        let kind = if access == Access::Write { Kind::Write } else { Kind::Read };
        self.tell(page, kind, began_us, u32::try_from(took_us).unwrap_or(u32::MAX));
    }

    /// A page is about to be stored.
    pub fn stored(&self, page: PageNumber, contents: &Page, item_bytes: u8) {
        match self.measures.iter().find_map(|measure| measure.try_lock().ok()) {
            Some(mut measure) => {
                let [first, second] = measure.zpage_bytes(contents, item_bytes);
                let value = u32::from(first) | u32::from(second) << 16;
                drop(measure);
                self.tell(page, Kind::Stored, ledger::now_us(), value);
            }
            None => drop(self.dropped.fetch_add(1, Ordering::Relaxed)),
        }
    }

    fn tell(&self, page: PageNumber, kind: Kind, moment_us: u64, value: u32) {
        let dropped = self.dropped.swap(0, Ordering::Relaxed);
        // SAFETY: have no preconditions.
        let (process, thread) = unsafe { (libc::getpid() as u32, libc::gettid() as u32) };
        let event = Event { moment_us, process, thread, page: page.0, kind, value, dropped };
        let arguments =
            [self.pipe.as_raw_fd() as usize, &raw const event as usize, size_of::<Event>(), 0, 0, 0];
        // SAFETY: reads so many bytes of the event, which has no padding and lives as long as the call.
        if unsafe { system_call::call(libc::SYS_write, arguments) }.is_err() {
            self.dropped.fetch_add(dropped + 1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, pipe};

    fn recorder(writer: &impl AsRawFd) -> Recorder {
        Recorder::open(Path::new(&format!("/proc/self/fd/{}", writer.as_raw_fd()))).unwrap()
    }

    fn words(bytes: &[u8]) -> Vec<u32> {
        bytes.as_chunks().0.iter().map(|word| u32::from_ne_bytes(*word)).collect()
    }

    #[test]
    fn events_are_told_and_what_is_dropped_is_counted() {
        let (mut reader, writer) = pipe().unwrap();
        let recorder = recorder(&writer);
        recorder.fault(PageNumber(7), Access::Write, ledger::now_us() - 5);
        recorder.stored(PageNumber(8), &Page::ZERO, 8);
        let mut bytes = [0; 2 * size_of::<Event>()];
        reader.read_exact(&mut bytes).unwrap();
        let fault = words(&bytes[..size_of::<Event>()]);
        assert_eq!(fault[2], std::process::id());
        assert_eq!((fault[4], fault[5], fault[7]), (7, Kind::Write as u32, 0));
        assert!((5..1_000_000).contains(&fault[6]), "{fault:?}");
        let stored = words(&bytes[size_of::<Event>()..]);
        assert_eq!(stored[4..], [8, Kind::Stored as u32, 0, 0]);

        let mut told = 0;
        // The pipe takes 64 KiB.
        for _ in 0..5000 {
            recorder.fault(PageNumber(1), Access::Read, ledger::now_us());
            told += 1;
        }
        let mut bytes = vec![0; 1 << 16];
        let taken = reader.read(&mut bytes).unwrap() / size_of::<Event>();
        assert!(taken < 5000);
        recorder.fault(PageNumber(2), Access::Read, ledger::now_us());
        let mut last = [0; size_of::<Event>()];
        loop {
            reader.read_exact(&mut last).unwrap();
            let last = words(&last);
            if last[4] == 2 {
                assert_eq!(last[7] as usize + taken, told);
                break;
            }
        }
    }
}
