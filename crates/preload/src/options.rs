//! What `zpager run` wants, as it tells us: `name=value` pairs in one variable of the environment, of which
//! every one is there. The program's children find it there, too.

use std::path::PathBuf;
use std::str::FromStr;

use zpager_linux::pager::{Delivery, IoKind, Options};

/// The variable.
const VARIABLE: &str = "ZPAGER_PRELOAD";

/// What is to be done in this process.
pub struct Wanted {
    /// Of the pager.
    pub pager: Options,
    /// Blocks and mappings of at least so many bytes are managed.
    pub managed_bytes_min: usize,
    /// Where every process writes what it has done.
    pub report_directory: Option<PathBuf>,
}

/// What `zpager run` has asked for. `None`: nothing, the library was preloaded by somebody else.
pub fn from_environment() -> Option<Result<Wanted, String>> {
    std::env::var(VARIABLE).ok().map(|text| parse(&text))
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
    Ok(Wanted {
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
            faults: match find("faults")? {
                "thread" => Delivery::Thread,
                "signal" => Delivery::Signal,
                other => return Err(format!("faults={other}")),
            },
            readahead_pages: typed("readahead_pages", find("readahead_pages")?)?,
            encrypt: find("encrypt")? == "true",
            io: match find("io")? {
                "auto" => IoKind::Auto,
                "io_uring" => IoKind::IoUring,
                "threads" => IoKind::Threads,
                other => return Err(format!("io={other}")),
            },
        },
        managed_bytes_min: typed("managed_min", find("managed_min")?)?,
        report_directory: Some(find("report_dir")?).filter(|path| !path.is_empty()).map(PathBuf::from),
    })
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
        managed_min=65536;report_dir=";

    #[test]
    fn every_option_is_understood_or_named() {
        let wanted = parse(TEXT).unwrap();
        assert_eq!((wanted.pager.ram_bytes, wanted.managed_bytes_min), (64 << 20, 64 << 10));
        assert!(wanted.pager.pool_limit_bytes.is_none() && wanted.report_directory.is_none());
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
