//! What `zpager run` wants, as it tells us: `name=value` pairs in one variable of the environment, of which
//! every one is there. The program's children find it there, too.

use std::fs;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use zpager_linux::pager::{Delivery, IoKind, Options};

/// The variable.
const VARIABLE: &str = "ZPAGER_PRELOAD";

/// What is to be done in this process.
pub struct Wanted {
    /// Of the pager; how faults are told is in `faults`.
    pub pager: Options,
    /// How faults are to be told, if that is not zpager's choice.
    pub faults: Option<Delivery>,
    /// Blocks and mappings of at least so many bytes are managed.
    pub managed_bytes_min: usize,
    /// Where the ledger is that the whole tree shares.
    pub ledger: PathBuf,
    /// Whether programs that this one starts are to be under zpager, too.
    pub follow: bool,
    /// Who is told of every fault, if anybody is.
    pub record: Option<PathBuf>,
    /// Where every process writes what it has done.
    pub report_directory: PathBuf,
    /// How often, beside its end.
    pub report_every: Option<Duration>,
}

/// What `zpager run` has asked for. `None`: nothing, the library was preloaded by somebody else.
pub fn from_environment() -> Option<Result<Wanted, String>> {
    std::env::var(VARIABLE).ok().map(|text| parse(&text))
}

/// Takes all trace of us out of the environment that programs inherit from this one.
///
/// # Safety
/// Nobody else reads or writes the environment: before the program begins.
pub unsafe fn forget_environment() {
    let preloaded = std::env::var("LD_PRELOAD").unwrap_or_default();
    // We are the first of them.
    let others = preloaded.split_once(':').map_or("", |(_, others)| others);
    // SAFETY: the caller's.
    unsafe {
        std::env::remove_var(VARIABLE);
        if others.is_empty() {
            std::env::remove_var("LD_PRELOAD");
        } else {
            std::env::set_var("LD_PRELOAD", others);
        }
    }
}

fn parse(text: &str) -> Result<Wanted, String> {
    let find = |name: &str| {
        let mut pairs = text.split(';').filter_map(|pair| pair.split_once('='));
        let found = pairs.find(|(key, _)| *key == name).map(|(_, value)| value);
        found.ok_or_else(|| format!("{VARIABLE} lacks {name}"))
    };
    let number = |name: &str| typed::<u64>(name, find(name)?);
    let optional = |name: &str| match find(name)? {
        "auto" => Ok(None),
        value => typed::<u64>(name, value).map(Some),
    };
    let faults = match find("faults")? {
        "auto" => None,
        "thread" => Some(Delivery::Thread),
        "signal" => Some(Delivery::Signal),
        other => return Err(format!("faults={other}")),
    };
    Ok(Wanted {
        faults,
        pager: Options {
            ram_bytes: number("ram")?,
            swap_bytes: number("swap")?,
            swap_directory: find("swap_dir")?.to_owned(),
            codec: named("codec", find("codec")?)?,
            pool: named("pool", find("pool")?)?,
            policy: named("policy", find("policy")?)?,
            pool_limit_bytes: optional("pool_limit")?,
            reserve_bytes: optional("reserve")?,
            eviction: named("eviction", find("eviction")?)?,
            faults: faults.unwrap_or(Delivery::Signal),
            readahead_pages: typed("readahead_pages", find("readahead_pages")?)?,
            encrypt: find("encrypt")? == "true",
            io: match find("io")? {
                "auto" => IoKind::Auto,
                "io_uring" => IoKind::IoUring,
                "threads" => IoKind::Threads,
                other => return Err(format!("io={other}")),
            },
            is_inherited: true,
            ledger: None,
            is_of_process: true,
            // Each process of a tree has such a file.
            takes_swap_at_once: false,
            // The program does where it wants them, and without being asked the kernel makes some where it
            // would without us.
            advises_huge_pages: has_huge_pages_unasked(),
            recorder: None,
        },
        ledger: PathBuf::from(find("ledger")?),
        record: Some(find("record")?).filter(|path| !path.is_empty()).map(PathBuf::from),
        managed_bytes_min: typed("min_size", find("min_size")?)?,
        follow: find("follow")? == "true",
        report_directory: PathBuf::from(find("report_dir")?),
        report_every: Some(number("report_every_ms")?).filter(|ms| *ms > 0).map(Duration::from_millis),
    })
}

/// Whether this system has huge pages wherever there can be any.
fn has_huge_pages_unasked() -> bool {
    let setting = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    setting.is_ok_and(|setting| setting.contains("[always]"))
}

fn typed<T: FromStr>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|_| format!("{name}={value} is no number"))
}

fn named<T: FromStr<Err = ()>>(name: &str, value: &str) -> Result<T, String> {
    value.parse().map_err(|()| format!("{name}={value} is not known"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "ram=67108864;swap=1073741824;swap_dir=/var/tmp;codec=lz4;pool=zsmalloc;policy=frame-lru;\
        pool_limit=auto;reserve=auto;eviction=intact;faults=thread;readahead_pages=32;encrypt=true;io=auto;\
        min_size=65536;ledger=/proc/1/fd/3;follow=true;report_dir=/tmp/reports;report_every_ms=0;record=";

    #[test]
    fn every_option_is_understood_or_named() {
        let wanted = parse(TEXT).unwrap();
        assert_eq!((wanted.pager.ram_bytes, wanted.managed_bytes_min), (64 << 20, 64 << 10));
        assert!(wanted.pager.pool_limit_bytes.is_none() && wanted.report_every.is_none());
        assert!(wanted.record.is_none());
        let broken = [
            (TEXT.replace("swap=", "swop="), "lacks swap"),
            (TEXT.replace("lz4", "lz5"), "codec=lz5"),
            (TEXT.replace("67108864", "many"), "ram=many"),
        ];
        for (text, complaint) in broken {
            assert!(parse(&text).err().unwrap().contains(complaint));
        }
    }
}
