//! The one error type: a kind with a stable code, what happened, and what caused it.

use std::{error::Error as StdError, fmt};

/// The result of everything that can fail in Eyas; a few inner ones fail with less than an [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, as a closed vocabulary that crosses the worker boundary as a kebab-case code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The environment offers no usable WebGPU adapter or device.
    WebgpuUnavailable,
    /// The device computes wrong values.
    BadDevice,
    /// The GPU device was lost while in use.
    DeviceLost,
    /// An allocation failed on the GPU or in WebAssembly memory.
    OutOfMemory,
    /// The plan needs more than the budget allows; nothing was loaded.
    OverBudget,
    /// A file that the model needs does not exist.
    ModelNotFound,
    /// The network failed or answered with an error status.
    DownloadFailed,
    /// The storage quota is used up.
    StorageFull,
    /// Bytes differ from their expected hash or length.
    Integrity,
    /// The model's files are malformed or contradict each other.
    BadModel,
    /// The model is well formed, but needs something that Eyas does not have.
    UnsupportedModel,
    /// The caller's arguments are invalid.
    BadInput,
    /// Prompt and answer do not fit into the context.
    ContextOverflow,
    /// The output constraint can't be met.
    ConstraintFailed,
    /// The caller aborted the operation.
    Aborted,
    /// Only a local answer was allowed, and none was possible.
    LocalOnly,
    /// The cloud declined to answer.
    CloudRefused,
    /// The cloud answered with an HTTP error.
    CloudHttp,
    /// The cloud did not answer in time.
    CloudTimeout,
    /// The cloud's stream ended without a finish reason.
    CloudTruncated,
    /// An invariant of Eyas itself was broken.
    Internal,
}

impl ErrorKind {
    /// Every kind, for exhaustive documentation and tests.
    pub const ALL: &'static [Self] = &[
        Self::WebgpuUnavailable,
        Self::BadDevice,
        Self::DeviceLost,
        Self::OutOfMemory,
        Self::OverBudget,
        Self::ModelNotFound,
        Self::DownloadFailed,
        Self::StorageFull,
        Self::Integrity,
        Self::BadModel,
        Self::UnsupportedModel,
        Self::BadInput,
        Self::ContextOverflow,
        Self::ConstraintFailed,
        Self::Aborted,
        Self::LocalOnly,
        Self::CloudRefused,
        Self::CloudHttp,
        Self::CloudTimeout,
        Self::CloudTruncated,
        Self::Internal,
    ];

    /// The stable kebab-case code that JavaScript sees as `EyasError.code`.
    pub const fn code(self) -> &'static str {
        match self {
            Self::WebgpuUnavailable => "webgpu-unavailable",
            Self::BadDevice => "bad-device",
            Self::DeviceLost => "device-lost",
            Self::OutOfMemory => "out-of-memory",
            Self::OverBudget => "over-budget",
            Self::ModelNotFound => "model-not-found",
            Self::DownloadFailed => "download-failed",
            Self::StorageFull => "storage-full",
            Self::Integrity => "integrity",
            Self::BadModel => "bad-model",
            Self::UnsupportedModel => "unsupported-model",
            Self::BadInput => "bad-input",
            Self::ContextOverflow => "context-overflow",
            Self::ConstraintFailed => "constraint-failed",
            Self::Aborted => "aborted",
            Self::LocalOnly => "local-only",
            Self::CloudRefused => "cloud-refused",
            Self::CloudHttp => "cloud-http",
            Self::CloudTimeout => "cloud-timeout",
            Self::CloudTruncated => "cloud-truncated",
            Self::Internal => "internal",
        }
    }

    /// Whether the same call may succeed when simply tried again.
    pub const fn retryable(self) -> bool {
        matches!(self, Self::DeviceLost | Self::DownloadFailed | Self::CloudHttp | Self::CloudTimeout | Self::CloudTruncated)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.code())
    }
}

/// An error: its kind, what failed with what was expected and found, and the cause if there is one.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    detail: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Makes an error of `kind`; `detail` says what failed, what was expected, what was found, and what to do.
    pub fn new(kind: ErrorKind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), source: None }
    }

    /// Attaches the cause.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Puts `context` before the detail, keeping kind and cause.
    #[must_use]
    pub fn context(mut self, context: impl fmt::Display) -> Self {
        self.detail = format!("{context}: {}", self.detail);
        self
    }

    /// What went wrong, as a kind.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What went wrong, as a stable code.
    pub const fn code(&self) -> &'static str {
        self.kind.code()
    }

    /// What went wrong, in words.
    pub fn detail(&self) -> &str {
        &self.detail
    }

    /// An [`ErrorKind::BadModel`].
    pub fn bad_model(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadModel, detail)
    }

    /// An [`ErrorKind::UnsupportedModel`].
    pub fn unsupported(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::UnsupportedModel, detail)
    }

    /// An [`ErrorKind::BadInput`].
    pub fn bad_input(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::BadInput, detail)
    }

    /// An [`ErrorKind::Internal`].
    pub fn internal(detail: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, detail)
    }

    /// An [`ErrorKind::Aborted`].
    pub fn aborted() -> Self {
        Self::new(ErrorKind::Aborted, "the operation was aborted by its caller")
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.detail)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_kebab_case() {
        let mut codes: Vec<_> = ErrorKind::ALL.iter().map(|kind| kind.code()).collect();
        assert!(codes.iter().all(|code| code.chars().all(|c| c.is_ascii_lowercase() || c == '-')));
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
    }

    #[test]
    fn context_keeps_kind_and_cause() {
        let error = Error::bad_model("expected 2 shards, found 1").with_source("cause").context("model.safetensors");
        assert_eq!(error.kind(), ErrorKind::BadModel);
        assert_eq!(error.to_string(), "bad-model: model.safetensors: expected 2 shards, found 1");
        assert!(StdError::source(&error).is_some());
    }
}
