//! The vocabulary that every Eyas crate shares: messages, options, events, usage, provenance and the error.
//!
//! What it does not do: no tensors, no browser, no input or output. Everything here is plain data that crosses the
//! worker boundary unharmed.
//!
//! ```
//! use eyas_core::{ErrorKind, GenerateOptions};
//! let options = GenerateOptions { temperature: -1.0, ..GenerateOptions::default() };
//! assert_eq!(options.validate().unwrap_err().kind(), ErrorKind::BadInput);
//! ```

mod bytes;
mod cancel;
mod clock;
mod device;
mod error;
mod event;
mod generate_options;
mod kept_tuning;
mod load_options;
mod message;
mod progress;
mod sort;
mod token_signal;
mod tuning;
mod weight_kind;

pub use bytes::format_bytes;
pub use cancel::CancelToken;
pub use clock::{Clock, LocalFuture, within};
pub use device::{DeviceKind, DeviceReport};
pub use error::{Error, ErrorKind, Result};
pub use event::{Completion, Event, FinishReason, Provenance, Tier, Timing, TokenLogprob, TopLogprob, Usage};
pub use generate_options::GenerateOptions;
pub use kept_tuning::KeptTuning;
pub use load_options::{DeviceChoice, LoadOptions, Quantize};
pub use message::{Message, Role};
pub use progress::{LoadPhase, Progress, ProgressSink};
pub use sort::{sort, sort_by};
pub use token_signal::TokenSignal;
pub use tuning::{Tuning, TuningReport, TuningSource};
pub use weight_kind::{BLOCK, WeightKind};
