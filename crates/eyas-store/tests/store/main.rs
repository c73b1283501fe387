//! The store under a simulated device, network and clock. Every run is determined by its number, so a failure can be had again.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

mod ahead;
mod ahead_faults;
mod archives;
mod commits;
mod damage;
mod eviction;
mod faults;
mod manifests;
mod power_cuts;
mod records;
mod simulation;
mod tries;
mod updates;
