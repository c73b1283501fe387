//! Writes the tables as differences in variable-length bytes; `src/tables.rs` reads them.

#![allow(clippy::unwrap_used, clippy::expect_used)] // a build fails by panicking

use std::{collections::BTreeMap, env, fs, path::Path};

use unicode_normalization::char::{
    canonical_combining_class, compose, decompose_canonical, decompose_compatible, is_combining_mark,
};

/// A number in groups of seven bits, the lowest first, with the highest bit set on all but the last.
fn push(bytes: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
}

/// A difference with its sign in the lowest bit.
fn push_signed(bytes: &mut Vec<u8>, value: i64) {
    push(bytes, ((value << 1) ^ (value >> 63)) as u32);
}

/// Runs of characters with the same value, and that value; those with none are left out.
fn runs(value: impl Fn(char) -> u8) -> Vec<u8> {
    let (mut count, mut bytes, mut end) = (0, Vec::new(), 0);
    let mut open: Option<(u32, u8)> = None;
    for code in 0..=u32::from(char::MAX) + 1 {
        let now = char::from_u32(code).map_or(0, &value);
        if let Some((start, last)) = open
            && last != now
        {
            push(&mut bytes, start - end);
            push(&mut bytes, code - start);
            bytes.push(last);
            (count, end, open) = (count + 1, code, None);
        }
        if now != 0 && open.is_none() {
            open = Some((code, now));
        }
    }
    let mut all = Vec::new();
    push(&mut all, count);
    all.extend(bytes);
    all
}

/// What characters become, each as differences from what stood at the same place before, with a bit that `marked` says.
fn decompositions(of: &BTreeMap<char, Vec<char>>, marked: impl Fn(char, &[char]) -> bool) -> Vec<u8> {
    let mut bytes = Vec::new();
    push(&mut bytes, of.len() as u32);
    let mut last = 0;
    let mut before = [0_i64; 32];
    for (&from, to) in of {
        push(&mut bytes, u32::from(from) - last);
        last = u32::from(from);
        push(&mut bytes, (to.len() as u32) << 1 | u32::from(marked(from, to)));
        for (place, &char) in to.iter().enumerate() {
            let code = i64::from(u32::from(char));
            push_signed(&mut bytes, code - before[place]);
            before[place] = code;
        }
    }
    bytes
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let is_syllable = |char: char| ('\u{ac00}'..='\u{d7a3}').contains(&char);
    let (mut canonical, mut compatible) = (BTreeMap::new(), BTreeMap::new());
    for char in (0..=u32::from(char::MAX)).filter_map(char::from_u32).filter(|char| !is_syllable(*char)) {
        let (mut first, mut second) = (Vec::new(), Vec::new());
        decompose_canonical(char, |part| first.push(part));
        decompose_compatible(char, |part| second.push(part));
        if second != first {
            compatible.insert(char, second);
        }
        if first != [char] {
            canonical.insert(char, first);
        }
    }
    // A composite is made of its last part and of what the parts before that compose to.
    let composes = |char: char, parts: &[char]| {
        let whole = parts[1..].iter().try_fold(parts[0], |made, part| compose(made, *part));
        parts.len() > 1 && whole == Some(char)
    };
    let mut tables = runs(canonical_combining_class);
    tables.extend(runs(|char| u8::from(is_combining_mark(char))));
    tables.extend(decompositions(&canonical, composes));
    tables.extend(decompositions(&compatible, |_, _| false));
    fs::write(Path::new(&env::var_os("OUT_DIR").unwrap()).join("tables.bin"), tables).unwrap();
}
