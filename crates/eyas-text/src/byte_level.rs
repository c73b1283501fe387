//! The byte-level alphabet of GPT-2: every byte has a printable character.

/// The byte for which `c` stands, or none where it is not in the alphabet.
///
/// The bytes `!`–`~`, `¡`–`¬` and `®`–`ÿ` stand for themselves; the other 68 are numbered from U+0100 in ascending order.
pub(crate) fn byte_of(c: char) -> Option<u8> {
    match u32::from(c) {
        code @ (0x21..=0x7e | 0xa1..=0xac | 0xae..=0xff) => u8::try_from(code).ok(),
        code @ 0x100..=0x120 => u8::try_from(code - 0x100).ok(), // 0x00–0x20
        code @ 0x121..=0x142 => u8::try_from(code - 0x121 + 0x7f).ok(), // 0x7f–0xa0
        0x143 => Some(0xad),
        _ => None,
    }
}

/// Puts the bytes of a token into `bytes`; its own UTF-8 where a character is not in the alphabet.
pub(crate) fn token_bytes<'a>(token: &'a str, bytes: &'a mut Vec<u8>) -> &'a [u8] {
    bytes.clear();
    for c in token.chars() {
        match byte_of(c) {
            Some(byte) => bytes.push(byte),
            None => return token.as_bytes(),
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_exactly_one_character() {
        let mut bytes: Vec<u8> = (0..0x200).filter_map(char::from_u32).filter_map(byte_of).collect();
        assert_eq!(bytes.len(), 256);
        bytes.sort_unstable();
        bytes.dedup();
        assert_eq!(bytes.len(), 256);
    }

    #[test]
    fn the_space_is_a_g_with_a_dot() {
        let mut bytes = Vec::new();
        for (token, expected) in [("Ġworld", " world"), ("Ċ", "\n"), ("a b", "a b"), ("", "")] {
            assert_eq!(token_bytes(token, &mut bytes), expected.as_bytes()); // the third is an added token with a real space
        }
    }
}
