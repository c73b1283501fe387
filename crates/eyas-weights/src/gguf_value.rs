//! The values of GGUF metadata.

/// A metadata value.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are the types that they hold")]
pub enum GgufValue {
    U8(u8),
    I8(i8),
    U16(u16),
    I16(i16),
    U32(u32),
    I32(i32),
    U64(u64),
    I64(i64),
    F32(f32),
    F64(f64),
    Bool(bool),
    String(String),
    Array(GgufArray),
}

/// A metadata array, whose elements are all of one type.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
#[expect(missing_docs, reason = "the variants are the types that they hold")]
pub enum GgufArray {
    U8(Vec<u8>),
    I8(Vec<i8>),
    U16(Vec<u16>),
    I16(Vec<i16>),
    U32(Vec<u32>),
    I32(Vec<i32>),
    U64(Vec<u64>),
    I64(Vec<i64>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Bool(Vec<bool>),
    Strings(GgufStrings),
    Arrays(Vec<GgufArray>),
}

/// Many strings in one allocation: a tokenizer has some hundred thousand.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct GgufStrings {
    text: String,
    /// Where each string ends in `text`; a header's size fits into `u32`.
    ends: Vec<u32>,
}

impl GgufStrings {
    /// Adds a string.
    pub(crate) fn push(&mut self, string: &str) {
        self.text.push_str(string);
        // Lossless: headers are bounded far below `u32`.
        self.ends.push(self.text.len() as u32);
    }

    /// Strings.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The string at `index`.
    pub fn get(&self, index: usize) -> Option<&str> {
        let end = *self.ends.get(index)? as usize;
        let start = index.checked_sub(1).and_then(|before| self.ends.get(before)).map_or(0, |&end| end as usize);
        self.text.get(start..end)
    }

    /// All strings in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &str> {
        (0..self.len()).map(|index| self.get(index).unwrap_or_default())
    }
}

impl GgufArray {
    /// Elements.
    pub fn len(&self) -> usize {
        match self {
            Self::U8(array) => array.len(),
            Self::I8(array) => array.len(),
            Self::U16(array) => array.len(),
            Self::I16(array) => array.len(),
            Self::U32(array) => array.len(),
            Self::I32(array) => array.len(),
            Self::U64(array) => array.len(),
            Self::I64(array) => array.len(),
            Self::F32(array) => array.len(),
            Self::F64(array) => array.len(),
            Self::Bool(array) => array.len(),
            Self::Strings(array) => array.len(),
            Self::Arrays(array) => array.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements' type, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "an array of u8",
            Self::I8(_) => "an array of i8",
            Self::U16(_) => "an array of u16",
            Self::I16(_) => "an array of i16",
            Self::U32(_) => "an array of u32",
            Self::I32(_) => "an array of i32",
            Self::U64(_) => "an array of u64",
            Self::I64(_) => "an array of i64",
            Self::F32(_) => "an array of f32",
            Self::F64(_) => "an array of f64",
            Self::Bool(_) => "an array of booleans",
            Self::Strings(_) => "an array of strings",
            Self::Arrays(_) => "an array of arrays",
        }
    }
}

impl GgufValue {
    /// The type, for messages.
    pub(crate) fn type_name(&self) -> &'static str {
        match self {
            Self::U8(_) => "a u8",
            Self::I8(_) => "an i8",
            Self::U16(_) => "a u16",
            Self::I16(_) => "an i16",
            Self::U32(_) => "a u32",
            Self::I32(_) => "an i32",
            Self::U64(_) => "a u64",
            Self::I64(_) => "an i64",
            Self::F32(_) => "an f32",
            Self::F64(_) => "an f64",
            Self::Bool(_) => "a boolean",
            Self::String(_) => "a string",
            Self::Array(array) => array.type_name(),
        }
    }
}
