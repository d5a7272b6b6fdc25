//! What a process has done, left for `zpager run` as JSON when it ends.

use std::fmt::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use zpager_core::page::PAGE_BYTES;
use zpager_linux::pager::{Pager, Snapshot};

static REPORT: OnceLock<(Arc<Pager>, PathBuf)> = OnceLock::new();

/// Has this process report at its end.
pub fn at_exit(pager: &Arc<Pager>, directory: &Path) {
    if REPORT.set((Arc::clone(pager), directory.to_owned())).is_ok() {
        // SAFETY: registers a function that may run at the end of the process.
        unsafe { libc::atexit(write) };
    }
}

extern "C" fn write() {
    let Some((pager, directory)) = REPORT.get() else { return };
    if pager.is_elsewhere() {
        return;
    }
    let path = directory.join(format!("{}.json", std::process::id()));
    // A report that cannot be written is no reason to fail a program that has come to its end.
    let _ = std::fs::write(path, json(&pager.snapshot()));
}

fn json(snapshot: &Snapshot) -> String {
    let bytes = |frames: u32| u64::from(frames) * PAGE_BYTES as u64;
    let mut text = format!("{{\"process\": {}", std::process::id());
    let gauges = [
        ("used_most_bytes", bytes(snapshot.used_frames_most)),
        ("managed_bytes", bytes(snapshot.managed_pages)),
        ("swap_used_bytes", bytes(snapshot.slots_used)),
        ("zpage_bytes", snapshot.zpage_bytes),
        ("stored_pages", snapshot.stored_pages.into()),
    ];
    for (name, value) in gauges.into_iter().chain(snapshot.counters.by_name()) {
        write!(text, ", \"{name}\": {value}").expect("a string takes everything");
    }
    text + "}\n"
}
