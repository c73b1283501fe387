//! Changes to a GGUF file that tests make: keys of its metadata, types of its tensors.

/// A GGUF file taken apart: its metadata as raw entries, its tensors' descriptions, its data.
#[must_use]
pub struct GgufEdit {
    version: u32,
    /// Keys with the bytes of their types and values.
    entries: Vec<(String, Vec<u8>)>,
    /// Names, axes, types and offsets.
    tensors: Vec<(String, Vec<u64>, u32, u64)>,
    data: Vec<u8>,
}

/// Reads from the front.
struct Bytes<'a>(&'a [u8]);

impl<'a> Bytes<'a> {
    fn take(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_le_bytes(self.take(4).try_into().unwrap())
    }

    fn u64(&mut self) -> u64 {
        u64::from_le_bytes(self.take(8).try_into().unwrap())
    }

    fn text(&mut self) -> String {
        let length = self.u64() as usize;
        String::from_utf8(self.take(length).to_vec()).unwrap()
    }

    fn skip_value(&mut self, kind: u32) {
        match kind {
            0 | 1 | 7 => drop(self.take(1)),
            2 | 3 => drop(self.take(2)),
            4..=6 => drop(self.take(4)),
            8 => drop(self.text()),
            9 => {
                let (kind, count) = (self.u32(), self.u64());
                (0..count).for_each(|_| self.skip_value(kind));
            }
            _ => drop(self.take(8)),
        }
    }
}

const ALIGNMENT: usize = 32;

impl GgufEdit {
    /// Takes a file apart whose data begins at a multiple of 32.
    pub fn open(file: &[u8]) -> Self {
        let mut bytes = Bytes(file);
        assert_eq!(bytes.take(4), b"GGUF");
        let version = bytes.u32();
        let (tensors, entries) = (bytes.u64(), bytes.u64());
        let mut entry = || {
            let key = bytes.text();
            let before = bytes.0;
            let kind = bytes.u32();
            bytes.skip_value(kind);
            (key, before[..before.len() - bytes.0.len()].to_vec())
        };
        let entries = (0..entries).map(|_| entry()).collect();
        let mut tensor = || {
            let name = bytes.text();
            let axes = bytes.u32();
            let axes = (0..axes).map(|_| bytes.u64()).collect();
            (name, axes, bytes.u32(), bytes.u64())
        };
        let tensors = (0..tensors).map(|_| tensor()).collect();
        let start = (file.len() - bytes.0.len()).next_multiple_of(ALIGNMENT);
        Self { version, entries, tensors, data: file[start..].to_vec() }
    }

    fn set(mut self, key: &str, value: Vec<u8>) -> Self {
        self.entries.retain(|(existing, _)| existing != key);
        self.entries.push((key.to_owned(), value));
        self
    }

    /// Sets a key to an unsigned number.
    pub fn number(self, key: &str, value: u32) -> Self {
        self.set(key, [4_u32.to_le_bytes(), value.to_le_bytes()].concat())
    }

    /// Sets a key to a text.
    pub fn text(self, key: &str, value: &str) -> Self {
        let length = (value.len() as u64).to_le_bytes();
        self.set(key, [&8_u32.to_le_bytes(), length.as_slice(), value.as_bytes()].concat())
    }

    /// Sets a key to a truth.
    pub fn flag(self, key: &str, value: bool) -> Self {
        self.set(key, [&7_u32.to_le_bytes(), [u8::from(value)].as_slice()].concat())
    }

    /// Sets a key to a list of truths.
    pub fn flags(self, key: &str, values: &[bool]) -> Self {
        let count = (values.len() as u64).to_le_bytes();
        let values: Vec<u8> = values.iter().map(|value| u8::from(*value)).collect();
        self.set(key, [&9_u32.to_le_bytes(), 7_u32.to_le_bytes().as_slice(), &count, &values].concat())
    }

    /// Takes a key away.
    pub fn without(mut self, key: &str) -> Self {
        self.entries.retain(|(existing, _)| existing != key);
        self
    }

    /// Gives a tensor another type.
    pub fn tensor_type(mut self, name: &str, type_id: u32) -> Self {
        self.tensor(name).2 = type_id;
        self
    }

    /// Gives a tensor another name.
    pub fn renamed(mut self, name: &str, new: &str) -> Self {
        new.clone_into(&mut self.tensor(name).0);
        self
    }

    /// Takes a tensor's description away; its data stay.
    pub fn without_tensor(mut self, name: &str) -> Self {
        self.tensors.retain(|tensor| tensor.0 != name);
        self
    }

    fn tensor(&mut self, name: &str) -> &mut (String, Vec<u64>, u32, u64) {
        self.tensors.iter_mut().find(|tensor| tensor.0 == name).expect("the tensor is there")
    }

    /// The file.
    pub fn build(&self) -> Vec<u8> {
        let mut file = b"GGUF".to_vec();
        let text = |file: &mut Vec<u8>, text: &str| {
            file.extend((text.len() as u64).to_le_bytes());
            file.extend(text.as_bytes());
        };
        file.extend(self.version.to_le_bytes());
        file.extend((self.tensors.len() as u64).to_le_bytes());
        file.extend((self.entries.len() as u64).to_le_bytes());
        for (key, value) in &self.entries {
            text(&mut file, key);
            file.extend(value);
        }
        for (name, axes, type_id, offset) in &self.tensors {
            text(&mut file, name);
            file.extend((axes.len() as u32).to_le_bytes());
            file.extend(axes.iter().flat_map(|axis| axis.to_le_bytes()));
            file.extend(type_id.to_le_bytes());
            file.extend(offset.to_le_bytes());
        }
        file.resize(file.len().next_multiple_of(ALIGNMENT), 0);
        file.extend(&self.data);
        file
    }
}
