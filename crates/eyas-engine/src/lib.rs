//! A model that answers: loading, prefill, decoding, sampling, sessions and statistics.
//!
//! [`Engine::load`] reads a model's files and puts it on a device; [`Engine::session`] keeps a conversation's KV cache;
//! [`Session::start`] checks a [`Request`] and gives a [`Generation`], whose every [`Generation::next`] computes one chunk of the
//! prompt or one token. So a caller stops an answer between any two tokens by dropping it, and the session stays usable.
//!
//! [`EncoderEngine`] is the same for models that embed and classify texts; [`ModelKind`] tells which one a model needs.
//!
//! What it does not do: no device of its own making (the shell hands one over), no clock, no network, no threads, no cloud; it answers
//! one request of a session at a time, and many sessions only in turns.
//!
//! ```no_run
//! use std::{rc::Rc, time::Instant};
//!
//! use eyas_core::{CancelToken, Event, GenerateOptions, LoadOptions, Progress};
//! use eyas_engine::{Engine, Prompt, Request};
//! use eyas_kernels::KernelDevice;
//! use eyas_weights::{DirectoryFiles, ModelFiles};
//!
//! # async fn run() -> eyas_core::Result<()> {
//! let files = ModelFiles::Folder(Rc::new(DirectoryFiles::open("path/to/model")?));
//! let start = Instant::now();
//! let clock = Rc::new(move || start.elapsed().as_secs_f64() * 1000.0);
//! let progress = |report: Progress| eprintln!("{report:?}");
//! let engine = Engine::load(files, KernelDevice::cpu(), LoadOptions::default(), clock, &progress, &CancelToken::new()).await?;
//!
//! let request = Request::new(Prompt::Text("Once upon a time".into()), GenerateOptions::default());
//! let mut generation = engine.session().start(&request)?;
//! loop {
//!     match generation.next().await? {
//!         Event::Prefill { .. } => {}
//!         Event::Delta { text, .. } => print!("{text}"),
//!         Event::Done(completion) => break println!("\n{:?}", completion.timing),
//!     }
//! }
//! # Ok(())
//! # }
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used, clippy::expect_used, clippy::float_cmp))] // a test fails by panicking; exact values

mod answer;
mod chat_prompt;
mod checkpoint_open;
mod class_scores;
mod clock;
#[cfg(feature = "gpu")]
mod device_guesses;
mod embedding;
mod embedding_recipe;
mod encoder_engine;
mod engine;
mod engine_info;
mod generation;
mod json_file;
mod label_index;
mod live_cache;
mod load_need;
mod logprobs;
mod model_bundle;
mod model_kind;
mod model_text;
mod opened_model;
mod pace;
mod penalties;
mod prompt_lookup;
mod random;
mod reasoning;
mod request;
mod sampler;
mod session;
mod statistics;
mod stop;
mod trial;

pub use chat_prompt::ChatPrompt;
pub use checkpoint_open::open_checkpoint;
pub use clock::Clock;
pub use embedding::Embedding;
pub use encoder_engine::EncoderEngine;
pub use engine::Engine;
pub use engine_info::EngineInfo;
pub use generation::Generation;
pub use label_index::{LabelIndex, LabelScore};
pub use load_need::{LoadNeed, ModelHeaders};
pub use model_bundle::open_config;
pub use model_kind::ModelKind;
pub use model_text::{open_template, open_tokenizer};
pub use opened_model::{OpenedModel, open_encoder_config};
pub use request::{Prompt, Request};
pub use session::Session;
pub use trial::{ExpectedTokens, certain_tokens, try_answer};
