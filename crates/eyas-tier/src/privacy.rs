//! What may leave the device.

use std::{fmt, str::FromStr};

use eyas_core::Error;
use serde::Deserialize;

/// Whether a request may leave the device; the order is from the loosest to the strictest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub enum Privacy {
    /// The cloud may answer whenever it is there.
    PreferCloud,
    /// The cloud may answer what this device can't, or should not.
    #[default]
    PreferLocal,
    /// Nothing leaves, whatever fails.
    LocalOnly,
}

impl Privacy {
    /// Every value, from the loosest to the strictest.
    pub const ALL: [Self; 3] = [Self::PreferCloud, Self::PreferLocal, Self::LocalOnly];

    /// What holds where two owners each state a privacy: the strictest.
    #[must_use]
    pub fn combine(self, other: Self) -> Self {
        self.max(other)
    }

    /// Whether the cloud may ever answer.
    pub const fn allows_cloud(self) -> bool {
        !matches!(self, Self::LocalOnly)
    }

    /// The name as JavaScript writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PreferCloud => "prefer-cloud",
            Self::PreferLocal => "prefer-local",
            Self::LocalOnly => "local-only",
        }
    }
}

impl fmt::Display for Privacy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl TryFrom<String> for Privacy {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        text.parse()
    }
}

impl FromStr for Privacy {
    type Err = Error;

    /// Fails with `bad-input`, naming what is expected: a misspelt privacy must never become a looser one.
    fn from_str(text: &str) -> Result<Self, Error> {
        let known = Self::ALL.into_iter().find(|privacy| privacy.name() == text);
        known.ok_or_else(|| {
            Error::bad_input(format!("privacy must be \"local-only\", \"prefer-local\" or \"prefer-cloud\", found {text:?}"))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_strictest_wins_whoever_comes_first() {
        for a in Privacy::ALL {
            assert_eq!(a.combine(a), a);
            assert_eq!(a.combine(Privacy::LocalOnly), Privacy::LocalOnly);
            for b in Privacy::ALL {
                assert_eq!(a.combine(b), b.combine(a));
                assert_eq!(a.combine(b).allows_cloud(), a.allows_cloud() && b.allows_cloud());
            }
        }
        assert_eq!(Privacy::PreferCloud.combine(Privacy::PreferLocal), Privacy::PreferLocal);
    }

    #[test]
    fn names_are_read_back_and_others_refused() {
        for privacy in Privacy::ALL {
            assert_eq!(privacy.to_string().parse::<Privacy>().unwrap(), privacy);
        }
        assert_eq!("local only".parse::<Privacy>().unwrap_err().code(), "bad-input");
    }
}
