//! What can go wrong when a pager is made, asked for memory, or told to bring some in.

use std::fmt;
use std::io;

/// See the module's description.
#[derive(Debug)]
pub enum Error {
    /// An argument makes no sense.
    Configuration(String),
    /// This machine does not let this user have userfaultfd, or not all that is needed of it.
    UserfaultfdUnavailable(String),
    /// The swap file cannot be had.
    Device(String, io::Error),
    /// RAM and device together cannot hold what was asked for.
    OutOfSwap(String),
    /// The only copy of a page is gone.
    PageLost(String),
    /// The pager is closed.
    Closed,
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Configuration(text)
            | Error::UserfaultfdUnavailable(text)
            | Error::OutOfSwap(text)
            | Error::PageLost(text) => formatter.write_str(text),
            Error::Device(text, cause) => write!(formatter, "{text}: {cause}"),
            Error::Closed => {
                formatter.write_str("this pager is closed, or its parent process's; make a new one")
            }
        }
    }
}

impl std::error::Error for Error {}
