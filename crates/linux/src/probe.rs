//! What this machine allows.

use crate::device_io::why_no_io_uring;
use crate::mapping::Mapping;
use crate::memory::self_for_process_madvise;
use crate::userfaultfd::{FEATURES, FEATURES_NEEDED, Userfaultfd};

/// See the module's description.
#[derive(Clone, Debug)]
pub struct Probe {
    /// Why userfaultfd is not to be had, if it is not.
    pub why_not: Option<String>,
    /// Only faults in user mode can be served.
    pub is_user_mode_only: bool,
    /// Features that the kernel has.
    pub features: Vec<&'static str>,
    /// Features that zpager needs and the kernel lacks.
    pub missing_features: Vec<&'static str>,
    /// Many ranges can be unmapped in one call.
    pub has_process_madvise: bool,
    /// Why io_uring is not to be had, if it is not.
    pub why_no_io_uring: Option<String>,
}

/// Asks the kernel.
pub fn probe() -> Probe {
    let page = Mapping::new(1).ok();
    let (why_not, bits, is_user_mode_only) = match Userfaultfd::features_of_kernel() {
        Ok((bits, is_user_mode_only)) => (None, bits, is_user_mode_only),
        Err(error) => (Some(error.to_string()), 0, false),
    };
    let features: Vec<_> =
        FEATURES.iter().filter(|(_, bit)| bits & bit != 0).map(|(name, _)| *name).collect();
    Probe {
        missing_features: FEATURES_NEEDED.into_iter().filter(|name| !features.contains(name)).collect(),
        why_not,
        is_user_mode_only,
        features,
        why_no_io_uring: why_no_io_uring().map(|error| error.to_string()),
        has_process_madvise: page.is_some_and(|page| self_for_process_madvise(page.address(0)).is_some()),
    }
}
