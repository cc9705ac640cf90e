//! The macro that stands in the code where a deliberate fault can be made.
//!
//! Without `--cfg planted` nothing of the fault is compiled.

/// The third argument; or, in a build with `--cfg planted` and while the fault that is named first is
/// at work, the second. With two arguments: nothing, or the second.
#[cfg(planted)]
#[macro_export]
macro_rules! planted {
    ($fault:ident, $wrong:expr, $right:expr) => {
        if $crate::planted::is($crate::planted::Planted::$fault) {
            $wrong
        } else {
            $right
        }
    };
    ($fault:ident, $wrong:block) => {
        if $crate::planted::is($crate::planted::Planted::$fault) $wrong
    };
}

/// The third argument, or nothing: a build with `--cfg planted` can put a fault in its place.
#[cfg(not(planted))]
#[macro_export]
macro_rules! planted {
    ($fault:ident, $wrong:expr, $right:expr) => {
        $right
    };
    ($fault:ident, $wrong:block) => {};
}
