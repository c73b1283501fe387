//! How the process ends when something fails.

use std::process::ExitCode;

use eyas_core::Error;
use serde_json::json;

/// An error on its way out.
#[derive(Debug)]
pub struct Failure {
    error: Error,
    json: bool,
}

impl Failure {
    /// An error that `json` decides how to show.
    pub fn new(error: Error, json: bool) -> Self {
        Self { error, json }
    }

    /// Prints `code: message` to standard error, with `--json` also the object that standard output promises, and gives exit status 1.
    pub fn print(&self) -> ExitCode {
        eprintln!("{}", self.error);
        if self.json {
            println!("{}", json!({ "error": { "code": self.error.code(), "message": self.error.detail() } }));
        }
        ExitCode::FAILURE
    }
}
