//! The values of GGUF metadata, off the bytes of a header.

use eyas_core::{Error, Result};

use crate::{
    GgufArray, GgufStrings, GgufValue,
    header_bytes::{HeaderBytes, Stop},
};

/// Arrays within arrays at most.
const MAX_NESTING: usize = 4;
/// Arrays of a header that are elements of arrays, at most: nobody is known to use them, and each takes more memory than file.
const MAX_INNER_ARRAYS: usize = 65_536;
/// Bytes of a string at most; chat templates are the longest there are.
const MAX_STRING_BYTES: u64 = 16 << 20;

/// Reads the values of one header.
#[derive(Debug, Default)]
pub(crate) struct ValueParser {
    inner_arrays: usize,
}

type Parsed<T> = std::result::Result<T, Stop>;

impl ValueParser {
    /// Reads a value with its type before it.
    pub(crate) fn value(&mut self, header: &mut HeaderBytes<'_>) -> Parsed<GgufValue> {
        let type_id = header.u32("a value's type")?;
        Ok(match type_id {
            8 => GgufValue::String(header.string(MAX_STRING_BYTES, "a string")?.to_owned()),
            9 => GgufValue::Array(self.array(header, 0)?),
            // A scalar is an array of one.
            _ => match numbers(header, type_id, 1)? {
                GgufArray::U8(array) => GgufValue::U8(first(&array)?),
                GgufArray::I8(array) => GgufValue::I8(first(&array)?),
                GgufArray::U16(array) => GgufValue::U16(first(&array)?),
                GgufArray::I16(array) => GgufValue::I16(first(&array)?),
                GgufArray::U32(array) => GgufValue::U32(first(&array)?),
                GgufArray::I32(array) => GgufValue::I32(first(&array)?),
                GgufArray::U64(array) => GgufValue::U64(first(&array)?),
                GgufArray::I64(array) => GgufValue::I64(first(&array)?),
                GgufArray::F32(array) => GgufValue::F32(first(&array)?),
                GgufArray::F64(array) => GgufValue::F64(first(&array)?),
                GgufArray::Bool(array) => GgufValue::Bool(first(&array)?),
                array @ (GgufArray::Strings(_) | GgufArray::Arrays(_)) => GgufValue::Array(array),
            },
        })
    }

    fn array(&mut self, header: &mut HeaderBytes<'_>, depth: usize) -> Parsed<GgufArray> {
        if depth == MAX_NESTING {
            return Err(refuse(format!("expected arrays nested at most {MAX_NESTING} deep, found more; the file is damaged")));
        }
        let type_id = header.u32("an array's type")?;
        let count = header.u64("an array's length")?;
        match type_id {
            8 => {
                header.check_left(count, 8, "strings")?;
                let mut strings = GgufStrings::default();
                for _ in 0..count {
                    strings.push(header.string(MAX_STRING_BYTES, "a string")?);
                }
                Ok(GgufArray::Strings(strings))
            }
            9 => {
                header.check_left(count, 12, "arrays")?;
                let mut arrays = Vec::new();
                for _ in 0..count {
                    self.inner_arrays += 1;
                    if self.inner_arrays > MAX_INNER_ARRAYS {
                        return Err(refuse(format!("expected at most {MAX_INNER_ARRAYS} arrays within arrays, found more")));
                    }
                    arrays.push(self.array(header, depth + 1)?);
                }
                Ok(GgufArray::Arrays(arrays))
            }
            _ => numbers(header, type_id, count),
        }
    }
}

fn first<T: Copy>(array: &[T]) -> Parsed<T> {
    array.first().copied().ok_or_else(|| Stop::Failed(Error::internal("one value was asked for, none was read")))
}

fn refuse(detail: String) -> Stop {
    Stop::Failed(Error::bad_model(detail))
}

fn numbers(header: &mut HeaderBytes<'_>, type_id: u32, count: u64) -> Parsed<GgufArray> {
    Ok(match type_id {
        0 => GgufArray::U8(fixed(header, count, u8::from_le_bytes)?),
        1 => GgufArray::I8(fixed(header, count, i8::from_le_bytes)?),
        2 => GgufArray::U16(fixed(header, count, u16::from_le_bytes)?),
        3 => GgufArray::I16(fixed(header, count, i16::from_le_bytes)?),
        4 => GgufArray::U32(fixed(header, count, u32::from_le_bytes)?),
        5 => GgufArray::I32(fixed(header, count, i32::from_le_bytes)?),
        6 => GgufArray::F32(fixed(header, count, f32::from_le_bytes)?),
        7 => {
            let bytes = fixed(header, count, u8::from_le_bytes)?;
            let flags: Result<_> = bytes.iter().map(|&byte| flag(byte)).collect();
            GgufArray::Bool(flags?)
        }
        10 => GgufArray::U64(fixed(header, count, u64::from_le_bytes)?),
        11 => GgufArray::I64(fixed(header, count, i64::from_le_bytes)?),
        12 => GgufArray::F64(fixed(header, count, f64::from_le_bytes)?),
        _ => return Err(refuse(format!("expected a value type from 0 to 12, found {type_id}; the file is damaged"))),
    })
}

fn fixed<T, const N: usize>(header: &mut HeaderBytes<'_>, count: u64, parse: fn([u8; N]) -> T) -> Parsed<Vec<T>> {
    header.check_left(count, N as u64, "numbers")?;
    let bytes = header.take(count * N as u64, "numbers")?;
    let (chunks, _) = bytes.as_chunks::<N>();
    Ok(chunks.iter().map(|chunk| parse(*chunk)).collect())
}

fn flag(byte: u8) -> Result<bool> {
    match byte {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(Error::bad_model(format!("expected a boolean, 0 or 1, found {byte}; the file is damaged"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(bytes: &[u8]) -> Result<GgufValue> {
        match ValueParser::default().value(&mut HeaderBytes::new(bytes, bytes.len() as u64)) {
            Ok(value) => Ok(value),
            Err(Stop::Failed(error)) => Err(error),
            Err(Stop::More(_)) => panic!("all bytes are there"),
        }
    }

    fn array(type_id: u32, count: u64, rest: &[u8]) -> Vec<u8> {
        [&type_id.to_le_bytes()[..], &count.to_le_bytes(), rest].concat()
    }

    #[test]
    fn scalars_of_every_type() {
        let cases = [
            (0u32, &[255u8][..], GgufValue::U8(255)),
            (1, &[255], GgufValue::I8(-1)),
            (2, &[1, 2], GgufValue::U16(0x201)),
            (3, &[255, 255], GgufValue::I16(-1)),
            (4, &[1, 0, 0, 0], GgufValue::U32(1)),
            (5, &[254, 255, 255, 255], GgufValue::I32(-2)),
            (6, &[0, 0, 128, 63], GgufValue::F32(1.0)),
            (7, &[1], GgufValue::Bool(true)),
            (8, &[1, 0, 0, 0, 0, 0, 0, 0, b'x'], GgufValue::String("x".to_owned())),
            (10, &[1, 0, 0, 0, 0, 0, 0, 1], GgufValue::U64((1 << 56) + 1)),
            (11, &[255; 8], GgufValue::I64(-1)),
            (12, &[0, 0, 0, 0, 0, 0, 240, 63], GgufValue::F64(1.0)),
        ];
        for (type_id, bytes, expected) in cases {
            assert_eq!(parse(&[&type_id.to_le_bytes()[..], bytes].concat()).unwrap(), expected);
        }
        assert!(parse(&[7, 0, 0, 0, 2]).unwrap_err().detail().contains("found 2"));
        assert!(parse(&[13, 0, 0, 0, 2]).unwrap_err().detail().contains("found 13"));
    }

    #[test]
    fn arrays_nest_four_deep_and_no_deeper() {
        let mut bytes = array(4, 1, &[9, 0, 0, 0]);
        for _ in 0..3 {
            bytes = array(9, 1, &bytes);
        }
        let value = parse(&[&9u32.to_le_bytes()[..], &bytes].concat()).unwrap();
        let GgufValue::Array(mut inner) = value else { panic!() };
        while let GgufArray::Arrays(mut arrays) = inner {
            inner = arrays.remove(0);
        }
        assert_eq!(inner, GgufArray::U32(vec![9]));
        let deeper = parse(&[&9u32.to_le_bytes()[..], &array(9, 1, &bytes)].concat()).unwrap_err();
        assert!(deeper.detail().contains("4 deep"), "{deeper}");
    }

    #[test]
    fn strings_keep_their_bounds() {
        let string = |text: &str| [&(text.len() as u64).to_le_bytes()[..], text.as_bytes()].concat();
        let rest = [string("a"), string(""), string("bé")].concat();
        let value = parse(&[&9u32.to_le_bytes()[..], &array(8, 3, &rest)].concat()).unwrap();
        let GgufValue::Array(GgufArray::Strings(strings)) = value else { panic!() };
        assert_eq!(strings.iter().collect::<Vec<_>>(), ["a", "", "bé"]);
        assert_eq!((strings.len(), strings.get(2), strings.get(3)), (3, Some("bé"), None));
    }

    #[test]
    fn a_count_is_not_trusted() {
        for type_id in [0u32, 6, 8, 9, 12] {
            let error = parse(&[&9u32.to_le_bytes()[..], &array(type_id, u64::MAX, &[0; 64])].concat()).unwrap_err();
            assert!(error.detail().contains("truncated"), "{error}");
        }
    }
}
