//! What the whole engine must do, over real and random models.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a test fails by panicking

mod abort;
mod answers;
mod bad_input;
mod config_fuzz;
mod device_draws;
mod device_guesses;
mod encoder_goldens;
mod encoder_refusals;
mod family_goldens;
mod family_refusals;
mod gguf_layers;
mod guesses;
mod llama_goldens;
mod minilm;
mod nano;
mod plans;
mod properties;
mod refusals;
mod sessions;
mod stories260k;
mod trial;
mod windows;
