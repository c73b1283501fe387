//! Writes the engine's Unicode tables, in the form that `src/tables.rs` describes, from those of `regex-syntax`. So both know the same
//! version of Unicode, and the tables take a tenth of the room.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)] // a build script fails by panicking

use std::{fs, path::PathBuf};

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// Must be in the order of `src/category.rs`.
const CATEGORIES: [&str; 30] = [
    "Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "No", "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po", "Sm", "Sc", "Sk",
    "So", "Zs", "Zl", "Zp", "Cc", "Cf", "Cs", "Co", "Cn",
];

/// Properties, each kept as its difference to a union of categories (see `src/property.rs`).
const PROPERTIES: [(&str, &str, &[&str]); 8] = [
    ("word", r"\w", &["Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "Pc"]),
    ("white_space", r"\s", &["Zs", "Zl", "Zp"]),
    ("alphabetic", r"\p{Alphabetic}", &["Lu", "Ll", "Lt", "Lm", "Lo", "Nl"]),
    ("uppercase", r"\p{Uppercase}", &["Lu"]),
    ("lowercase", r"\p{Lowercase}", &["Ll"]),
    ("ideographic", r"\p{Ideographic}", &[]),
    ("emoji", r"\p{Emoji}", &[]),
    ("pictographic", r"\p{Extended_Pictographic}", &[]),
];

type Ranges = Vec<(u32, u32)>;

fn class(pattern: &str) -> ClassUnicode {
    match regex_syntax::parse(pattern).unwrap().into_kind() {
        HirKind::Class(Class::Unicode(class)) => class,
        HirKind::Literal(literal) => {
            let c = std::str::from_utf8(&literal.0).unwrap().chars().next().unwrap();
            ClassUnicode::new([ClassUnicodeRange::new(c, c)])
        }
        other => panic!("{pattern} is no class but {other:?}"),
    }
}

fn ranges(class: &ClassUnicode) -> Ranges {
    class.iter().map(|range| (range.start() as u32, range.end() as u32)).collect()
}

fn varint(mut value: u32, out: &mut Vec<u8>) {
    while value > 0x7f {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Lengths of the gap before each range, and of the range.
fn write_ranges(ranges: &Ranges) -> Vec<u8> {
    let (mut out, mut at) = (Vec::new(), 0);
    for &(first, last) in ranges {
        varint(first - at, &mut out);
        varint(last - first, &mut out);
        at = last + 1;
    }
    out
}

/// A run of code points, how many, and the number of their class.
fn write_runs(classes: &[Ranges]) -> Vec<u8> {
    let mut runs: Vec<(u32, u32, usize)> = classes
        .iter()
        .enumerate()
        .flat_map(|(number, ranges)| ranges.iter().map(move |&(first, last)| (first, last, number)))
        .collect();
    runs.sort_unstable();
    // All lengths stand before all numbers: alike things pack better.
    let (mut lengths, mut numbers, mut at) = (Vec::new(), Vec::new(), 0);
    for (first, last, number) in runs {
        if first > at {
            varint(first - at, &mut lengths);
            numbers.push(u8::MAX);
        }
        varint(last - first + 1, &mut lengths);
        numbers.push(number as u8);
        at = last + 1;
    }
    let mut out = Vec::new();
    varint(numbers.len() as u32, &mut out);
    out.extend(numbers);
    out.extend(lengths);
    out
}

fn symmetric_difference(a: &ClassUnicode, b: &ClassUnicode) -> ClassUnicode {
    let mut difference = a.clone();
    difference.symmetric_difference(b);
    difference
}

/// Characters that differ from the least character of their case-folding orbit: gap, count and stride, distance to the least.
fn write_folding() -> Vec<u8> {
    let single = |c: char| {
        let mut class = ClassUnicode::new([ClassUnicodeRange::new(c, c)]);
        class.case_fold_simple();
        class
    };
    let changing = class(r"[\p{LC}\p{Lm}\p{M}\p{Nl}\p{So}]"); // no other character has a case
    let characters = changing.iter().flat_map(|range| range.start()..=range.end());
    let pairs: Vec<(u32, u32)> = characters
        .map(|c| (c as u32, single(c).iter().next().map_or(c, ClassUnicodeRange::start) as u32))
        .filter(|(c, least)| c != least)
        .collect();
    let (mut out, mut at, mut index) = (Vec::new(), 0, 0);
    while index < pairs.len() {
        let (first, least) = pairs[index];
        let stride = pairs.get(index + 1).map_or(1, |next| next.0 - first).clamp(1, 2);
        let mut count = 1;
        while pairs.get(index + count).is_some_and(|&(c, other)| c == first + stride * count as u32 && c - other == first - least)
        {
            count += 1;
        }
        varint(first - at, &mut out);
        varint((count as u32) << 1 | (stride - 1), &mut out);
        varint(first - least, &mut out);
        at = first;
        index += count;
    }
    out
}

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=scripts.txt");
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").unwrap());
    let category = |name: &&str| class(&format!(r"\p{{gc={name}}}"));
    // Surrogates are no characters.
    let categories: Vec<Ranges> =
        CATEGORIES.iter().map(|name| if *name == "Cs" { Vec::new() } else { ranges(&category(name)) }).collect();
    fs::write(folder.join("categories"), write_runs(&categories)).unwrap();

    let names = fs::read_to_string("scripts.txt").unwrap();
    let scripts: Vec<Ranges> =
        names.lines().map(|line| ranges(&class(&format!(r"\p{{Script={}}}", line.split(' ').next().unwrap())))).collect();
    fs::write(folder.join("scripts"), write_runs(&scripts)).unwrap();

    for (name, pattern, members) in PROPERTIES {
        let mut union = ClassUnicode::empty();
        for member in members {
            union.union(&category(member));
        }
        let difference = symmetric_difference(&class(pattern), &union);
        fs::write(folder.join(name), write_ranges(&ranges(&difference))).unwrap();
    }
    fs::write(folder.join("folding"), write_folding()).unwrap();
}
