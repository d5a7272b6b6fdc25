//! The simulated device, while nothing makes it fail, does what every swap device must.
//!
//! `DEVICE_SEED=n cargo test --test devices` replays the seed that a failure has printed.

use zpager_core::simulation::device::{Failures, SimulatedDevice};
use zpager_core::swap_device::conformance::{self, SLOTS};

const LANES: u32 = 4;

fn seed() -> u64 {
    std::env::var("DEVICE_SEED").map_or(1, |seed| seed.parse().expect("DEVICE_SEED is a number"))
}

fn device(slots: u32) -> SimulatedDevice {
    SimulatedDevice::new(slots, seed(), Failures::default(), None)
}

#[test]
fn the_simulated_device_conforms() {
    conformance::check_all(device, seed());
}

#[test]
fn the_simulated_device_keeps_its_users_apart() {
    let device = device(SLOTS);
    // It is not for several threads: one after the other.
    (0..LANES).for_each(|lane| conformance::keeps_lanes_apart(&device, lane, LANES, seed()));
}
