//! Checks SentencePiece's compiled normalization map, whose reader indexes without looking.
//!
//! Its form: the trie's length in bytes (`u32`), the trie (a double array of `u32` units), and replacements, each
//! ending in a zero byte.

/// A map that is written in base64, if it can be read without leaving its bounds.
pub(crate) fn sound(base64: &str) -> Option<Vec<u8>> {
    decode_base64(base64).filter(|map| is_sound_map(map))
}

/// Whether a map can be read without leaving its bounds.
pub(crate) fn is_sound_map(map: &[u8]) -> bool {
    let Some((length, rest)) = map.split_first_chunk::<4>() else { return false };
    let length = u32::from_le_bytes(*length) as usize / 4 * 4;
    let Some((trie, replacements)) = rest.split_at_checked(length) else { return false };
    let Ok(replacements) = std::str::from_utf8(replacements) else { return false };
    let units: Vec<usize> =
        trie.chunks_exact(4).map(|unit| u32::from_le_bytes([unit[0], unit[1], unit[2], unit[3]]) as usize).collect();
    let is_value = |unit: usize| unit >> 31 == 1;
    let is_inside = |(at, &unit): (usize, &usize)| {
        let children = at ^ ((unit >> 10) << ((unit & (1 << 9)) >> 6));
        let leaf_is_inside = || {
            let value = units.get(children).map(|leaf| leaf & 0x7fff_ffff);
            value.is_some_and(|value| replacements.is_char_boundary(value))
        };
        children | 0xff < units.len() && (unit >> 8 & 1 == 0 || leaf_is_inside())
    };
    // A unit that holds a value is never walked through: its label matches no byte.
    !units.is_empty() && units.iter().enumerate().filter(|(_, unit)| !is_value(**unit)).all(is_inside)
}

fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let text = text.trim_end_matches('=');
    let mut out = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut count) = (0_u32, 0);
    for byte in text.bytes() {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => return None,
        };
        bits = bits << 6 | u32::from(digit);
        count += 6;
        if count >= 8 {
            count -= 8;
            out.push((bits >> count) as u8);
            bits &= (1 << count) - 1;
        }
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded() {
        assert_eq!(decode_base64("SGk=").unwrap(), b"Hi");
        assert_eq!(decode_base64("SGkh").unwrap(), b"Hi!");
        assert!(decode_base64("S G").is_none());
    }

    #[test]
    fn units_must_stay_inside() {
        let map = |units: &[u32], text: &str| {
            let mut map = (units.len() as u32 * 4).to_le_bytes().to_vec();
            map.extend(units.iter().flat_map(|unit| unit.to_le_bytes()));
            map.extend_from_slice(text.as_bytes());
            map
        };
        let mut units = vec![0_u32; 256];
        assert!(is_sound_map(&map(&units, "a\0")));
        units[0] = 1 << 10 | 1 << 8; // a leaf at 1
        units[1] = 1 << 31 | 1;
        assert!(is_sound_map(&map(&units, "a\0")));
        assert!(!is_sound_map(&map(&units, "é\0"))); // inside of a character
        units[1] = 1 << 31 | 9;
        assert!(!is_sound_map(&map(&units, "a\0"))); // behind the end
        units[0] = 256 << 10;
        assert!(!is_sound_map(&map(&units, "a\0"))); // children behind the end
        assert!(!is_sound_map(&map(&[], "")));
        assert!(!is_sound_map(b"\0"));
    }
}
