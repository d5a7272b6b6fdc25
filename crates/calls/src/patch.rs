//! The wrappers' place in a process that was not started with them: in the tables by which each loaded object calls
//! the others (GOTs), and in pointers to the C library's functions that the loader has stored in data.
//!
//! The C library, the loader and we ourselves stay as they are. Objects that are loaded later are patched when
//! anybody looks for a function, which whoever has loaded a library by hand does next.

use std::arch::naked_asm;
use std::cell::UnsafeCell;
use std::collections::{BTreeSet, HashMap};
use std::ffi::{CStr, c_char, c_void};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use crate::objects::{Object, for_each_object};
use crate::wrappers;

/// Objects by the beginnings of their names that call nobody whom a program could replace, or must not be made to.
const LEFT_ALONE: [&[u8]; 7] =
    [b"libc.so", b"ld-linux", b"libpthread", b"libdl.", b"librt.", b"linux-vdso", b"libzpager_preload"];

struct Replacement {
    original: usize,
    function: usize,
}

type Replacements = HashMap<&'static [u8], Replacement>;

static REPLACEMENTS: OnceLock<Replacements> = OnceLock::new();
static DLSYM: AtomicUsize = AtomicUsize::new(0);
static DLOPEN: AtomicUsize = AtomicUsize::new(0);
static IS_ON: AtomicBool = AtomicBool::new(false);

/// Of the loader's counts of what it has loaded and unloaded, the last that were seen.
static LOADED: AtomicU64 = AtomicU64::new(0);
static UNLOADED: AtomicU64 = AtomicU64::new(0);

/// The objects that are patched, by their places.
struct Known(UnsafeCell<BTreeSet<usize>>);

// SAFETY: touched only while the loader calls us back, which it does for one thread at a time.
unsafe impl Sync for Known {}

static KNOWN: Known = Known(UnsafeCell::new(BTreeSet::new()));

/// Patches everything that is loaded, and has what comes later patched.
pub fn on() {
    if IS_ON.swap(true, Ordering::Relaxed) {
        return;
    }
    let find = |name: &CStr| {
        // SAFETY: the name is a C string.
        (unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) }) as usize
    };
    let mut replacements: Replacements = wrappers::all()
        .map(|wrapper| {
            let replacement =
                Replacement { original: wrapper.original.address(), function: wrapper.function as usize };
            (wrapper.original.name().to_bytes(), replacement)
        })
        .collect();
    for (name, place, function) in
        [(c"dlsym", &DLSYM, dlsym as *const ()), (c"dlopen", &DLOPEN, dlopen as *const ())]
    {
        let original = find(name);
        place.store(original, Ordering::Relaxed);
        replacements.insert(name.to_bytes(), Replacement { original, function: function as usize });
    }
    replacements.retain(|_, replacement| replacement.original != 0);
    let _ = REPLACEMENTS.set(replacements);
    patch_new();
}

/// Patches what has been loaded since the last time.
extern "C" fn patch_new() {
    let Some(replacements) = REPLACEMENTS.get() else { return };
    let mut is_news = false;
    for_each_object(|object| {
        is_news = object.changes != (LOADED.load(Ordering::Relaxed), UNLOADED.load(Ordering::Relaxed));
        true
    });
    if !is_news {
        return;
    }
    for_each_object(|object| {
        let (loaded, unloaded) = object.changes;
        // SAFETY: the loader calls this for one thread at a time.
        let known = unsafe { &mut *KNOWN.0.get() };
        if UNLOADED.swap(unloaded, Ordering::Relaxed) != unloaded {
            // Another may be where one was.
            known.clear();
        }
        LOADED.store(loaded, Ordering::Relaxed);
        if known.insert(object.base) && !is_left_alone(object) {
            // SAFETY: the loader has it in its list.
            unsafe { patch(object, replacements) };
        }
        false
    });
}

fn is_left_alone(object: &Object<'_>) -> bool {
    let path = object.path.to_bytes();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    LEFT_ALONE.iter().any(|start| name.starts_with(start)) || object.contains(patch_new as *const () as usize)
}

/// What is in a dynamic section, of what is needed here.
#[derive(Default)]
struct Dynamic {
    symbols: usize,
    names: usize,
    /// Tables of relocations, with their bytes.
    relocations: [(usize, usize); 2],
}

impl Dynamic {
    /// # Safety
    /// The object is loaded.
    unsafe fn of(object: &Object<'_>) -> Option<Dynamic> {
        const ENTRIES_MAX: usize = 4096;
        let mut found = Dynamic::default();
        let start = object.dynamic()? as *const [usize; 2];
        for index in 0..ENTRIES_MAX {
            // SAFETY: the section ends with an entry of zeros.
            let [tag, value] = unsafe { *start.add(index) };
            // The loader has added the base to most, but not where the section is read-only.
            let address = if value < object.base { object.base + value } else { value };
            match tag as i64 {
                DT_NULL => break,
                DT_STRTAB => found.names = address,
                DT_SYMTAB => found.symbols = address,
                DT_RELA => found.relocations[0].0 = address,
                DT_RELASZ => found.relocations[0].1 = value,
                DT_JMPREL => found.relocations[1].0 = address,
                DT_PLTRELSZ => found.relocations[1].1 = value,
                _ => {}
            }
        }
        (found.names != 0 && found.symbols != 0).then_some(found)
    }
}

const DT_NULL: i64 = 0;
const DT_PLTRELSZ: i64 = 2;
const DT_STRTAB: i64 = 5;
const DT_SYMTAB: i64 = 6;
const DT_RELA: i64 = 7;
const DT_RELASZ: i64 = 8;
const DT_JMPREL: i64 = 23;

const R_X86_64_64: u64 = 1;
const R_X86_64_GLOB_DAT: u64 = 6;
const R_X86_64_JUMP_SLOT: u64 = 7;

/// # Safety
/// The object is loaded.
unsafe fn patch(object: &Object<'_>, replacements: &Replacements) {
    // SAFETY: the caller's: the tables are where its dynamic section says.
    unsafe {
        let Some(dynamic) = Dynamic::of(object) else { return };
        for (start, bytes) in dynamic.relocations {
            let count = if start == 0 { 0 } else { bytes / size_of::<libc::Elf64_Rela>() };
            for index in 0..count {
                let relocation = &*(start as *const libc::Elf64_Rela).add(index);
                let kind = relocation.r_info & u64::from(u32::MAX);
                if ![R_X86_64_64, R_X86_64_GLOB_DAT, R_X86_64_JUMP_SLOT].contains(&kind) {
                    continue;
                }
                let symbol = &*(dynamic.symbols as *const libc::Elf64_Sym)
                    .add((relocation.r_info >> u32::BITS) as usize);
                // What it defines itself is its own.
                if symbol.st_name == 0 || symbol.st_shndx != 0 {
                    continue;
                }
                let name = CStr::from_ptr((dynamic.names + symbol.st_name as usize) as *const c_char);
                let Some(replacement) = replacements.get(name.to_bytes()) else { continue };
                let place = object.base + relocation.r_offset as usize;
                let value = *(place as *const usize);
                // A slot that nobody has called through yet points into the object itself. What else is there
                // somebody has put there, who calls the original in his turn.
                let is_unbound = kind == R_X86_64_JUMP_SLOT && object.contains(value);
                if value == replacement.original || is_unbound {
                    object.store(place, replacement.function);
                }
            }
        }
    }
}

/// What `dlsym` finds, where that is wrapped; 0: ask the original.
unsafe extern "C" fn found(handle: *mut c_void, name: *const c_char) -> usize {
    patch_new();
    // What comes behind the caller only the original can tell.
    if name.is_null() || handle == libc::RTLD_NEXT {
        return 0;
    }
    // SAFETY: the caller's: a name, and a handle of the loader's.
    unsafe {
        let replacement = REPLACEMENTS.get().and_then(|all| all.get(CStr::from_ptr(name).to_bytes()));
        match replacement {
            Some(replacement) if libc::dlsym(handle, name) as usize == replacement.original => {
                replacement.function
            }
            _ => 0,
        }
    }
}

/// As the C library's, which looks at who has called it: so it is jumped to.
#[unsafe(naked)]
unsafe extern "C" fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void {
    naked_asm!(
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {found}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "test rax, rax",
        "jne 2f",
        "jmp qword ptr [rip + {original}]",
        "2:",
        "ret",
        found = sym found,
        original = sym DLSYM,
    )
}

/// As the C library's, which looks for libraries where its caller's are.
#[unsafe(naked)]
unsafe extern "C" fn dlopen(path: *const c_char, mode: i32) -> *mut c_void {
    naked_asm!(
        "push rdi",
        "push rsi",
        "sub rsp, 8",
        "call {patch_new}",
        "add rsp, 8",
        "pop rsi",
        "pop rdi",
        "jmp qword ptr [rip + {original}]",
        patch_new = sym patch_new,
        original = sym DLOPEN,
    )
}
