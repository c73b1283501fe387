//! Tokens for the cloud, and what must not be used as one.

use eyas_core::{Error, ErrorKind, Result};

use crate::LocalFuture;

/// Gives short-lived tokens; the application's own `getToken`.
pub trait TokenSource {
    /// A token, or none where the server needs none. `refresh` says that the last one was refused.
    fn token(&self, refresh: bool) -> LocalFuture<'_, Result<Option<String>>>;
}

/// How keys of well-known providers begin: they are long-lived, and everybody who opens the page could read them.
const SECRET_STARTS: [&str; 12] =
    ["sk-", "sk_", "rk_", "AIza", "gsk_", "xai-", "hf_", "r8_", "pplx-", "AKIA", "ghp_", "github_pat_"];

/// Whether a text is shaped like a provider's long-lived key.
pub fn looks_like_a_secret(token: &str) -> bool {
    SECRET_STARTS.iter().any(|start| token.starts_with(start))
}

/// Checks a token before it goes into a header: no control characters, no more than 16 KiB, and no provider key unless that is allowed.
pub(crate) fn check(token: &str, allow_secrets: bool) -> Result<()> {
    if token.is_empty() || token.len() > 16 << 10 || !token.bytes().all(|byte| (0x21..0x7f).contains(&byte)) {
        return Err(Error::bad_input("getToken gave something that is no token; expected 1 to 16384 visible ASCII characters"));
    }
    if looks_like_a_secret(token) && !allow_secrets {
        return Err(Error::new(
            ErrorKind::CloudRefused,
            "getToken gave a key that looks like a provider's long-lived secret; whoever opens the page could read it. Let your server \
             give short-lived tokens (dangerouslySendLongLivedSecretsFromTheBrowser: true lets it pass)",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn provider_keys_are_refused_unless_allowed() {
        for secret in ["sk-proj-abc", "sk-ant-abc", "AIzaSyA", "gsk_x", "hf_x"] {
            assert_eq!(check(secret, false).unwrap_err().code(), "cloud-refused");
            assert!(check(secret, true).is_ok());
            assert!(!check(secret, false).unwrap_err().detail().contains(secret), "a key must not be shown");
        }
        assert!(check("eyJhbGciOiJIUzI1NiJ9.e30.x", false).is_ok());
    }

    #[test]
    fn what_would_break_a_header_is_no_token() {
        for bad in ["", "a b", "a\r\nx: y", "é"] {
            assert_eq!(check(bad, true).unwrap_err().code(), "bad-input");
        }
    }
}
