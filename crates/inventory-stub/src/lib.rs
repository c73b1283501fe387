//! A stand-in for the `inventory` crate in which nothing is ever registered.
//!
//! CubeCL's compiler intermediate representation registers its dialects through `inventory`, that is, through
//! static constructors. They keep the whole compiler alive in a WebAssembly module that only launches
//! hand-written WGSL, and they make every export re-run the constructors. Eyas compiles no `#[cube]` kernel, so an
//! empty registry is right for it. What this does not do: anything for a program that needs the registry; there a
//! `#[cube]` kernel fails to compile at run time. See docs/adr/0002-inventory-stub.md.

/// Types that could be collected; implemented by [`collect!`].
pub trait Collect: Sync + Sized + 'static {}

/// Iterates over the values registered for `T`: none, ever.
pub fn iter<T: Collect>() -> core::iter::Empty<&'static T> {
    core::iter::empty()
}

/// Declares that values of a type may be registered.
#[macro_export]
macro_rules! collect {
    ($ty:ty) => {
        impl $crate::Collect for $ty {}
    };
}

/// Accepts a value to register and drops it at compile time.
#[macro_export]
macro_rules! submit {
    ($($value:tt)*) => {};
}
