//! /proc/self/statm: how much RAM this process has.

use std::fs::File;
use std::io::Read;

/// Page frames of this process.
#[derive(Clone, Copy, Debug)]
pub struct ProcessMemory {
    /// All of them.
    pub resident: u32,
    /// Those of files, the program's code among them, and of shared memory.
    pub of_files: u32,
}

impl ProcessMemory {
    /// As it is now; `None` where the kernel does not tell.
    pub fn now() -> Option<Self> {
        let mut bytes = [0; 128];
        // Opened anew each time: a program may close descriptors, and a forked child has other memory.
        let length = File::open("/proc/self/statm").ok()?.read(&mut bytes).ok()?;
        Self::parse(std::str::from_utf8(&bytes[..length]).ok()?)
    }

    fn parse(text: &str) -> Option<Self> {
        let mut numbers = text.split_ascii_whitespace().skip(1).map_while(|number| number.parse().ok());
        Some(ProcessMemory { resident: numbers.next()?, of_files: numbers.next()? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_table_of_numbers_is_refused() {
        assert!(ProcessMemory::parse("1 2").is_none());
    }
}
