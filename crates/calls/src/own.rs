//! What the functions that are written out have in common.

/// Declares originals: the C library's functions of these names, as `original::NAME()`.
macro_rules! originals {
    ($($name:ident: $type:ty;)*) => {
        #[expect(non_upper_case_globals, reason = "the names are the C library's")]
        pub(crate) mod originals {
            use $crate::original::Original;
            $(pub static $name: Original = Original::new(concat!(stringify!($name), "\0"));)*
        }

        #[expect(clippy::allow_attributes, reason = "few have such names")]
        #[allow(non_snake_case, reason = "the names are the C library's")]
        mod original {
            use super::*;
            $(pub fn $name() -> Option<$type> {
                // SAFETY: it is of that type in the C library.
                unsafe { originals::$name.function() }
            })*
        }
    };
}
