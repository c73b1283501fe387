//! Whether two answers speak of the same bytes.

use serde::{Deserialize, Serialize};

use crate::network::Answer;

/// What a server said of a file's version (RFC 9110, section 8.8). Across origins often only a part of it can be seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Validator {
    /// The entity tag with its quotes, and `W/` before it where it is weak.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The date of the last change, as the server wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_modified: Option<String>,
}

impl Validator {
    pub(crate) fn of(answer: &dyn Answer) -> Self {
        Self { etag: answer.header("etag"), last_modified: answer.header("last-modified") }
    }

    /// Whether the server said anything.
    pub(crate) fn is_known(&self) -> bool {
        self.etag.is_some() || self.last_modified.is_some()
    }

    /// Whether nothing that both know differs. Where both have an entity tag, it decides alone: dates differ between the servers of a farm.
    pub(crate) fn agrees(&self, other: &Self) -> bool {
        let strong = |tag: &str| tag.strip_prefix("W/").unwrap_or(tag).to_owned();
        match (&self.etag, &other.etag, &self.last_modified, &other.last_modified) {
            (Some(mine), Some(theirs), ..) => strong(mine) == strong(theirs),
            (_, _, Some(mine), Some(theirs)) => mine == theirs,
            _ => true,
        }
    }

    /// Whether both know something of the same kind, and it is the same.
    pub(crate) fn vouches_for(&self, other: &Self) -> bool {
        let both_know =
            (self.etag.is_some() && other.etag.is_some()) || (self.last_modified.is_some() && other.last_modified.is_some());
        both_know && self.agrees(other)
    }

    /// What `If-Range` may carry: a strong entity tag, or a date where there is no tag.
    pub(crate) fn if_range(&self) -> Option<String> {
        match &self.etag {
            Some(tag) => Some(tag.clone()).filter(|tag| !tag.starts_with("W/")),
            None => self.last_modified.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn validator(etag: Option<&str>, last_modified: Option<&str>) -> Validator {
        Validator { etag: etag.map(str::to_owned), last_modified: last_modified.map(str::to_owned) }
    }

    #[test]
    fn a_tag_outweighs_a_date() {
        let a = validator(Some("\"1\""), Some("Mon"));
        assert!(a.agrees(&validator(Some("W/\"1\""), Some("Tue"))));
        assert!(!a.agrees(&validator(Some("\"2\""), Some("Mon"))));
        assert!(!a.agrees(&validator(None, Some("Tue"))));
        assert!(a.agrees(&validator(None, None)));
    }

    #[test]
    fn a_weak_tag_is_no_condition() {
        assert_eq!(validator(Some("W/\"1\""), Some("Mon")).if_range(), None);
        assert_eq!(validator(Some("\"1\""), None).if_range().as_deref(), Some("\"1\""));
        assert_eq!(validator(None, Some("Mon")).if_range().as_deref(), Some("Mon"));
    }
}
