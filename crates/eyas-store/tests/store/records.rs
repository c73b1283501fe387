//! Records that are damaged or made up: none panics, none is taken for what it is not.

use eyas_store::{Digest, ModelRecord};

use crate::simulation::Random;

fn sealed(json: &str) -> Vec<u8> {
    format!("{json}\n{}\n", Digest::of(json.as_bytes())).into_bytes()
}

const GOOD: &str = r#"{"format":1,"sequence":3,"id":"https://models.test/m/","lastUsedMs":17,"evictable":false,"nextSlot":2,"current":{"files":[{"name":"w.bin","url":"https://models.test/m/w.bin","slot":1,"size":5,"chunkBytes":64,"validator":{"etag":"\"1\""}}],"absent":["x.json"],"complete":false}}"#;

#[test]
fn a_good_record_is_read() {
    let record = ModelRecord::parse(&sealed(GOOD)).unwrap();
    assert_eq!(record.current.file("w.bin").unwrap().size, 5);
    assert_eq!(record.current.name(), None);
}

#[test]
fn records_that_contradict_themselves_are_refused() {
    for (from, to) in [
        ("\"format\":1", "\"format\":2"),
        ("\"slot\":1", "\"slot\":2"),
        ("\"chunkBytes\":64", "\"chunkBytes\":0"),
        ("\"size\":5", "\"size\":90071992547409920"),
        ("w.bin\",\"url", "../w\",\"url"),
        ("\"sequence\":3", "\"sequence\":-3"),
        ("\"evictable\":false", "\"evictable\":false,\"more\":1"),
        ("\"validator\"", "\"digest\":\"00\",\"validator\""),
    ] {
        assert!(GOOD.contains(from), "{from}");
        let error = ModelRecord::parse(&sealed(&GOOD.replace(from, to))).unwrap_err();
        assert_eq!(error.code(), "integrity", "{to}");
    }
}

#[test]
fn thirty_thousand_damaged_records_are_refused() {
    let good = sealed(GOOD);
    let whole = ModelRecord::parse(&good).unwrap();
    let mut random = Random(7);
    for run in 0..30_000 {
        let mut bytes = good.clone();
        for _ in 0..=random.below(3) {
            let at = random.below(bytes.len() as u64) as usize;
            match random.below(4) {
                0 => bytes.truncate(at),
                1 => bytes[at] ^= 1 << random.below(8),
                2 => bytes.insert(at, random.next() as u8),
                _ => _ = bytes.remove(at),
            }
            if bytes.is_empty() {
                break;
            }
        }
        // A digest in capitals is the same digest.
        assert!(ModelRecord::parse(&bytes).ok().is_none_or(|record| record == whole), "run {run}");
        // The same damage under a right digest: read or refused, never a panic.
        if let Some(json) = bytes.split(|byte| *byte == b'\n').next().and_then(|json| std::str::from_utf8(json).ok())
            && let Err(error) = ModelRecord::parse(&sealed(json))
        {
            assert_eq!(error.code(), "integrity");
        }
    }
    assert!(ModelRecord::parse(&vec![b'x'; 5 << 20]).is_err());
}
