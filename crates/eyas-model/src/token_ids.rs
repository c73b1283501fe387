//! Token ids in a configuration.

use serde_json::Value;

/// A token id, or a list of them; whatever else is there counts as none.
pub fn token_ids(value: &Value) -> Vec<u32> {
    let id = |value: &Value| value.as_u64().and_then(|id| u32::try_from(id).ok());
    match value {
        Value::Array(list) => list.iter().filter_map(id).collect(),
        single => id(single).into_iter().collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ids_are_one_or_a_list() {
        assert_eq!(token_ids(&json!(2)), [2]);
        assert_eq!(token_ids(&json!([2, 7])), [2, 7]);
        assert!(token_ids(&Value::Null).is_empty());
    }
}
