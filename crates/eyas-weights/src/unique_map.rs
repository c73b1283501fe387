//! A JSON object in which every name occurs once. `serde_json`'s own maps silently keep the last of two.
//! `__metadata__`, which the safetensors format reserves for free text, is passed over.

use std::{collections::BTreeMap, fmt, marker::PhantomData};

use serde::{
    Deserialize, Deserializer,
    de::{Error as _, IgnoredAny, MapAccess, Visitor},
};

/// An object's members by name, `limit` at most.
#[derive(Debug)]
pub(crate) struct UniqueMap<T, const LIMIT: usize>(pub(crate) BTreeMap<String, T>);

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Deserialize<'de> for UniqueMap<T, LIMIT> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(UniqueVisitor::<T, LIMIT>(PhantomData)).map(Self)
    }
}

struct UniqueVisitor<T, const LIMIT: usize>(PhantomData<T>);

impl<'de, T: Deserialize<'de>, const LIMIT: usize> Visitor<'de> for UniqueVisitor<T, LIMIT> {
    type Value = BTreeMap<String, T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = BTreeMap::new();
        while let Some(name) = access.next_key::<String>()? {
            if name == "__metadata__" {
                access.next_value::<IgnoredAny>()?;
                continue;
            }
            if members.len() == LIMIT {
                return Err(A::Error::custom(format_args!("expected at most {LIMIT} members, found more")));
            }
            let shown = || name.chars().take(200).collect::<String>();
            if members.contains_key(&name) {
                return Err(A::Error::custom(format_args!("expected every name once, found {:?} twice", shown())));
            }
            let value = access.next_value().map_err(|error| A::Error::custom(format_args!("{:?}: {error}", shown())))?;
            members.insert(name, value);
        }
        Ok(members)
    }
}

#[cfg(test)]
mod tests {
    use super::UniqueMap;

    #[test]
    fn a_name_may_occur_once() {
        assert_eq!(serde_json::from_str::<UniqueMap<u8, 2>>(r#"{"a":1,"b":2}"#).unwrap().0.len(), 2);
        let twice = serde_json::from_str::<UniqueMap<u8, 2>>(r#"{"a":1,"\u0061":2}"#).unwrap_err();
        assert!(twice.to_string().contains(r#""a" twice"#), "{twice}");
        assert!(serde_json::from_str::<UniqueMap<u8, 2>>(r#"{"a":1,"b":2,"c":3}"#).is_err());
        let other = serde_json::from_str::<UniqueMap<u8, 2>>(r#"{"__metadata__":{"a":[]},"b":""}"#).unwrap_err();
        assert!(other.to_string().starts_with(r#""b": "#), "{other}");
    }
}
