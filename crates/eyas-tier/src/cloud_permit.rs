//! The one thing that opens the way to the network.

use crate::{Endpoint, Privacy, Refusal, reason::Reason};

/// Leave to send one request to one origin. [`crate::Network::post`] takes it, and it is made in one place only: by
/// [`CloudPermit::grant`], which demands a [`CloudAllowed`]. It can't be cloned or stored for another request.
///
/// A local-only request has no way to one:
///
/// ```compile_fail
/// # fn endpoint() -> eyas_tier::Endpoint { unimplemented!() }
/// use eyas_tier::{CloudPermit, Privacy};
/// let permit = CloudPermit::grant(Privacy::LocalOnly, &endpoint()); // a privacy is no leave
/// ```
///
/// ```compile_fail
/// use eyas_tier::CloudPermit;
/// let permit = CloudPermit { origin: "https://example.org".into() }; // the field is private
/// ```
///
/// ```compile_fail
/// use eyas_tier::CloudAllowed;
/// let allowed = CloudAllowed(()); // so is this one
/// ```
///
/// ```
/// use eyas_tier::{CloudAllowed, CloudPermit, Endpoint, Privacy};
/// let endpoint = Endpoint::parse("https://models.example.org/v1", &[])?;
/// assert!(CloudAllowed::by(Privacy::LocalOnly).is_err());
/// let permit = CloudPermit::grant(CloudAllowed::by(Privacy::PreferLocal).unwrap(), &endpoint);
/// assert_eq!(permit.origin(), "https://models.example.org");
/// # Ok::<(), eyas_core::Error>(())
/// ```
#[derive(Debug)]
pub struct CloudPermit {
    origin: String,
}

/// The proof that a privacy lets its request leave.
#[derive(Debug)]
pub struct CloudAllowed(());

impl CloudAllowed {
    /// The proof, or why there is none.
    pub fn by(privacy: Privacy) -> Result<Self, Refusal> {
        match privacy {
            Privacy::PreferCloud | Privacy::PreferLocal => Ok(Self(())),
            Privacy::LocalOnly => Err(Refusal { reason: Reason::MayNot, detail: "the privacy is local-only".into() }),
        }
    }
}

impl CloudPermit {
    /// Leave for one request to `endpoint`. The proof is used up.
    #[allow(clippy::needless_pass_by_value, reason = "the proof must not serve twice")]
    pub fn grant(allowed: CloudAllowed, endpoint: &Endpoint) -> Self {
        let CloudAllowed(()) = allowed;
        Self { origin: endpoint.origin().to_owned() }
    }

    /// The only origin that may be addressed, e.g. `https://models.example.org`.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_local_only_gets_none() {
        for privacy in Privacy::ALL {
            assert_eq!(CloudAllowed::by(privacy).is_ok(), privacy.allows_cloud(), "{privacy}");
        }
        assert_eq!(CloudAllowed::by(Privacy::LocalOnly).unwrap_err().reason, Reason::MayNot);
    }
}
