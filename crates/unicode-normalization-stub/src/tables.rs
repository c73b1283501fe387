//! The tables that the build wrote, unpacked at first use.

use std::sync::OnceLock;

/// What `build.rs` wrote: runs of combining classes, runs of marks, canonical and compatible decompositions.
static PACKED: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/tables.bin"));

/// Characters `start..end` and the value that they share.
struct Run {
    start: u32,
    end: u32,
    value: u8,
}

/// What characters become: for each its first place in `parts`, ascending by character.
struct Decomposed {
    entries: Vec<(u32, u32)>,
    parts: Vec<char>,
}

/// All tables.
pub(crate) struct Tables {
    classes: Vec<Run>,
    marks: Vec<Run>,
    canonical: Decomposed,
    compatible: Decomposed,
    /// `(first, second)` and what they compose to, ascending.
    composed: Vec<((char, char), char)>,
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        *byte
    }

    fn number(&mut self) -> u32 {
        let (mut value, mut shift) = (0, 0);
        loop {
            let byte = self.byte();
            value |= u32::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return value;
            }
            shift += 7;
        }
    }

    fn signed(&mut self) -> i32 {
        let value = self.number();
        (value >> 1) as i32 ^ -((value & 1) as i32)
    }

    fn runs(&mut self) -> Vec<Run> {
        let mut end = 0;
        (0..self.number())
            .map(|_| {
                let start = end + self.number();
                end = start + self.number();
                Run { start, end, value: self.byte() }
            })
            .collect()
    }

    /// The decompositions, and the characters that are marked.
    fn decomposed(&mut self) -> (Decomposed, Vec<u32>) {
        let (mut entries, mut parts, mut marked) = (Vec::new(), Vec::new(), Vec::new());
        let mut from = 0;
        let mut before = [0_i32; 32];
        for _ in 0..self.number() {
            from += self.number();
            entries.push((from, parts.len() as u32));
            let length = self.number();
            if length & 1 == 1 {
                marked.push(from);
            }
            for place in before.iter_mut().take((length >> 1) as usize) {
                *place += self.signed();
                parts.push(char::from_u32(*place as u32).unwrap_or('\0'));
            }
        }
        (Decomposed { entries, parts }, marked)
    }
}

impl Decomposed {
    fn get(&self, char: char) -> Option<&[char]> {
        let at = self.entries.binary_search_by_key(&u32::from(char), |entry| entry.0).ok()?;
        let end = self.entries.get(at + 1).map_or(self.parts.len(), |next| next.1 as usize);
        self.parts.get(self.entries[at].1 as usize..end)
    }
}

impl Tables {
    /// The tables, unpacked once.
    pub(crate) fn get() -> &'static Self {
        static TABLES: OnceLock<Tables> = OnceLock::new();
        TABLES.get_or_init(|| {
            let mut reader = Reader(PACKED);
            let (classes, marks) = (reader.runs(), reader.runs());
            let (canonical, composites) = reader.decomposed();
            let (compatible, _) = reader.decomposed();
            let mut tables = Self { classes, marks, canonical, compatible, composed: Vec::new() };
            tables.composed = tables.compositions(&composites);
            tables
        })
    }

    /// Pairs that compose. A composite's parts but the last are those of a character, or are one.
    fn compositions(&self, composites: &[u32]) -> Vec<((char, char), char)> {
        let whole = |code: &u32| char::from_u32(*code).and_then(|char| Some((char, self.canonical.get(char)?)));
        let mut by_parts: Vec<(&[char], char)> = composites.iter().filter_map(whole).map(|(char, parts)| (parts, char)).collect();
        by_parts.sort_unstable();
        let mut composed: Vec<_> = (by_parts.iter())
            .filter_map(|&(parts, char)| {
                let (&second, before) = parts.split_last()?;
                let first = match before {
                    [only] => *only,
                    _ => by_parts[by_parts.binary_search_by_key(&before, |entry| entry.0).ok()?].1,
                };
                Some(((first, second), char))
            })
            .collect();
        composed.sort_unstable();
        composed
    }

    /// The canonical combining class; 0 for most.
    pub(crate) fn class(&self, char: char) -> u8 {
        value_in(&self.classes, char)
    }

    /// Whether the general category is a mark.
    pub(crate) fn is_mark(&self, char: char) -> bool {
        value_in(&self.marks, char) != 0
    }

    /// The full canonical decomposition, or the compatible one; nothing where a character stays as it is.
    pub(crate) fn decomposed(&self, char: char, compatible: bool) -> Option<&[char]> {
        let other = if compatible { self.compatible.get(char) } else { None };
        other.or_else(|| self.canonical.get(char))
    }

    /// What two characters compose to.
    pub(crate) fn composed(&self, first: char, second: char) -> Option<char> {
        let at = self.composed.binary_search_by_key(&(first, second), |entry| entry.0).ok()?;
        Some(self.composed[at].1)
    }
}

fn value_in(runs: &[Run], char: char) -> u8 {
    let code = u32::from(char);
    let next = runs.partition_point(|run| run.end <= code);
    runs.get(next).filter(|run| run.start <= code).map_or(0, |run| run.value)
}
