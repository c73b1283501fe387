//! What the tests that cross crates share: where goldens are, how a model is loaded, how an answer is taken.
//!
//! What it does not do: nothing here ships. A missing folder or GPU is a printed skip, never a silent pass.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::missing_panics_doc)] // a test fails by panicking

mod answer;
mod encoder_golden;
mod gguf_edit;
mod golden;
mod loading;
mod place;
mod watched_files;

pub use answer::{answer, answer_with, begun, greedy, next_within};
pub use encoder_golden::{EncoderGolden, GoldenPair, GoldenText};
pub use gguf_edit::GgufEdit;
pub use golden::{Golden, largest_difference, read_f32s};
pub use loading::{Loading, cpu, cut_in_turn, gpu};
pub use place::{folder_files, golden_folder, repository, shared, skip};
pub use watched_files::{Turn, WatchedFiles, poll_once};
