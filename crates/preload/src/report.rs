//! What a process has done, left for `zpager run` as JSON: when it ends, and now and then before.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use zpager_core::ledger::share::Dealings;
use zpager_core::page::PAGE_BYTES;
use zpager_linux::pager::{Pager, Snapshot};
use zpager_linux::spawn::spawn;

static REPORT: OnceLock<(Arc<Pager>, PathBuf)> = OnceLock::new();

/// Has this process report to a directory at its end, and every so often.
pub fn begin(pager: &Arc<Pager>, directory: &Path, every: Option<Duration>) {
    if REPORT.set((Arc::clone(pager), directory.to_owned())).is_err() {
        return;
    }
    // SAFETY: registers a function that may run at the end of the process.
    unsafe { libc::atexit(write) };
    if let Some(every) = every {
        // Where there is no thread, there is no report before the end.
        let _ = spawn("zpager-report", None, move || {
            loop {
                thread::sleep(every);
                write();
            }
        });
    }
}

extern "C" fn write() {
    let Some((pager, directory)) = REPORT.get() else { return };
    if pager.is_elsewhere() {
        return;
    }
    let path = directory.join(format!("{}.json", std::process::id()));
    let new = path.with_extension("new");
    // A report that cannot be written is no reason to fail a program.
    let _ = fs::write(&new, json(&pager.snapshot())).and_then(|()| fs::rename(&new, &path));
}

fn json(snapshot: &Snapshot) -> String {
    let bytes = |frames: u32| u64::from(frames) * PAGE_BYTES as u64;
    let mut text = format!("{{\"process\": {}", std::process::id());
    let gauges = [
        ("used_most_bytes", bytes(snapshot.used_frames_most)),
        ("managed_bytes", bytes(snapshot.managed_pages)),
        ("unmanaged_bytes", bytes(snapshot.unmanaged_frames)),
        ("swap_used_bytes", bytes(snapshot.slots_used)),
        ("zpage_bytes", snapshot.zpage_bytes),
        ("stored_pages", snapshot.stored_pages.into()),
    ];
    let Dealings { refusals, given_frames, declines } = snapshot.dealings.unwrap_or_default();
    let dealings = [
        ("ram_refusals", refusals),
        ("ram_given_bytes", given_frames * PAGE_BYTES as u64),
        ("ram_declines", declines),
    ];
    for (name, value) in gauges.into_iter().chain(dealings).chain(snapshot.counters.by_name()) {
        write!(text, ", \"{name}\": {value}").expect("a string takes everything");
    }
    text + "}\n"
}
