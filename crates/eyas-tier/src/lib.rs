//! Which tier answers a request. So far: the privacy that a request is held to.
//!
//! Several owners may state one (the application, a session, a single request); [`Privacy::combine`] gives the strictest, so that nobody
//! can loosen what another has asked for.
//!
//! What it does not do yet: no budget, no confidence, no routing, no cloud. Nothing in this crate sends anything anywhere.
//!
//! ```
//! use eyas_tier::Privacy;
//! let application = Privacy::PreferCloud;
//! let request = Privacy::LocalOnly;
//! assert_eq!(application.combine(request), Privacy::LocalOnly);
//! assert!(!application.combine(request).allows_cloud());
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used))] // a test fails by panicking

mod privacy;

pub use privacy::Privacy;
