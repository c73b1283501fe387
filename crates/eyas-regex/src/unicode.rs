//! Character classes by name: general categories, scripts, some properties; and simple case folding.
//!
//! Names are matched loosely (UAX #44, LM3): case, spaces, `_`, `-` and a leading `is` don't matter.

use crate::{char_set::CharSet, tables};

/// Short and long names of the general categories, in the order of the table.
const CATEGORIES: [(&str, &str); 30] = [
    ("lu", "uppercaseletter"),
    ("ll", "lowercaseletter"),
    ("lt", "titlecaseletter"),
    ("lm", "modifierletter"),
    ("lo", "otherletter"),
    ("mn", "nonspacingmark"),
    ("mc", "spacingmark"),
    ("me", "enclosingmark"),
    ("nd", "decimalnumber"),
    ("nl", "letternumber"),
    ("no", "othernumber"),
    ("pc", "connectorpunctuation"),
    ("pd", "dashpunctuation"),
    ("ps", "openpunctuation"),
    ("pe", "closepunctuation"),
    ("pi", "initialpunctuation"),
    ("pf", "finalpunctuation"),
    ("po", "otherpunctuation"),
    ("sm", "mathsymbol"),
    ("sc", "currencysymbol"),
    ("sk", "modifiersymbol"),
    ("so", "othersymbol"),
    ("zs", "spaceseparator"),
    ("zl", "lineseparator"),
    ("zp", "paragraphseparator"),
    ("cc", "control"),
    ("cf", "format"),
    ("cs", "surrogate"),
    ("co", "privateuse"),
    ("cn", "unassigned"),
];

/// Names of unions of categories, as bits.
const UNIONS: [(&str, u32); 20] = [
    ("lc", 0x7),
    ("casedletter", 0x7),
    ("l", 0x1f),
    ("letter", 0x1f),
    ("m", 0xe0),
    ("mark", 0xe0),
    ("combiningmark", 0xe0),
    ("n", 0x700),
    ("number", 0x700),
    ("p", 0x3_f800),
    ("punctuation", 0x3_f800),
    ("punct", 0x3_f800),
    ("s", 0x3c_0000),
    ("symbol", 0x3c_0000),
    ("z", 0x1c0_0000),
    ("separator", 0x1c0_0000),
    ("c", 0x3e00_0000),
    ("other", 0x3e00_0000),
    ("digit", 1 << 8),
    ("cntrl", 1 << 25),
];

/// Names of the scripts, in the order of the table.
static SCRIPT_NAMES: &str = include_str!("../scripts.txt");

/// A property as its difference to a union of categories.
struct Property {
    names: &'static [&'static str],
    categories: u32,
    difference: &'static [u8],
}

/// What `\w` means.
const WORD: Property = Property { names: &[], categories: 0xbff, difference: include_bytes!(concat!(env!("OUT_DIR"), "/word")) };

/// What `\s` means.
const WHITE_SPACE: Property = Property {
    names: &["whitespace", "wspace", "space"],
    categories: 0x1c0_0000,
    difference: include_bytes!(concat!(env!("OUT_DIR"), "/white_space")),
};

const PROPERTIES: [Property; 7] = [
    WHITE_SPACE,
    Property {
        names: &["alphabetic", "alpha"],
        categories: 0x21f,
        difference: include_bytes!(concat!(env!("OUT_DIR"), "/alphabetic")),
    },
    Property {
        names: &["uppercase", "upper"],
        categories: 0x1,
        difference: include_bytes!(concat!(env!("OUT_DIR"), "/uppercase")),
    },
    Property {
        names: &["lowercase", "lower"],
        categories: 0x2,
        difference: include_bytes!(concat!(env!("OUT_DIR"), "/lowercase")),
    },
    Property {
        names: &["ideographic", "ideo"],
        categories: 0,
        difference: include_bytes!(concat!(env!("OUT_DIR"), "/ideographic")),
    },
    Property { names: &["emoji"], categories: 0, difference: include_bytes!(concat!(env!("OUT_DIR"), "/emoji")) },
    Property {
        names: &["extendedpictographic", "extpict"],
        categories: 0,
        difference: include_bytes!(concat!(env!("OUT_DIR"), "/pictographic")),
    },
];

impl Property {
    fn set(&self) -> CharSet {
        categories(self.categories).symmetric_difference(&tables::ranges(self.difference))
    }
}

/// Decimal digits: `\d`.
pub(crate) fn digit() -> CharSet {
    categories(1 << 8)
}

/// Word characters: `\w`.
pub(crate) fn word() -> CharSet {
    WORD.set()
}

/// White space: `\s`.
pub(crate) fn white_space() -> CharSet {
    WHITE_SPACE.set()
}

/// The union of categories, by their bits. Whatever has no category in the table is unassigned.
fn categories(bits: u32) -> CharSet {
    tables::runs(tables::CATEGORIES, |class| bits.checked_shr(u32::from(class)).is_some_and(|bits| bits & 1 == 1))
}

/// The class with a name as it stands in `\p{…}`, `None` where there is none.
pub(crate) fn class(name: &str) -> Option<CharSet> {
    let (unequal, key, value) = if let Some((key, value)) = name.split_once("!=") {
        (true, Some(key), value)
    } else if let Some((key, value)) = name.split_once([':', '=']) {
        (false, Some(key), value)
    } else {
        (false, None, name)
    };
    let value = loose(value);
    let set = match key.map(loose).as_deref() {
        None => general_category(&value).or_else(|| script(&value)).or_else(|| property(&value))?,
        Some("gc" | "generalcategory" | "category") => general_category(&value)?,
        Some("sc" | "script") => script(&value)?,
        Some(_) => return None,
    };
    Some(if unequal { set.negated() } else { set })
}

fn loose(name: &str) -> String {
    let name: String = name.chars().filter(|c| !matches!(c, ' ' | '_' | '-')).map(|c| c.to_ascii_lowercase()).collect();
    match name.strip_prefix("is") {
        Some(rest) if !rest.is_empty() => rest.to_owned(),
        _ => name,
    }
}

fn general_category(name: &str) -> Option<CharSet> {
    match name {
        "any" => return Some(CharSet::default().negated()),
        "assigned" => return Some(categories(1 << 29).negated()),
        "ascii" => return Some(CharSet::range(0, 0x7f)),
        _ => {}
    }
    let single = CATEGORIES.iter().position(|&(short, long)| name == short || name == long).map(|index| 1 << index);
    let bits = single.or_else(|| UNIONS.iter().find(|(union, _)| *union == name).map(|&(_, bits)| bits))?;
    Some(categories(bits))
}

fn script(name: &str) -> Option<CharSet> {
    let number = SCRIPT_NAMES.lines().position(|names| names.split(' ').any(|other| other == name))?;
    Some(tables::runs(tables::SCRIPTS, |class| usize::from(class) == number))
}

fn property(name: &str) -> Option<CharSet> {
    PROPERTIES.iter().find(|property| property.names.contains(&name)).map(Property::set)
}

/// A POSIX class: what stands in `[[:…:]]`.
pub(crate) fn posix(name: &str) -> Option<CharSet> {
    let ranges: &[(char, char)] = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\x7f')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\x1f'), ('\x7f', '\x7f')],
        "digit" => &[('0', '9')],
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')],
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    };
    let mut set = CharSet::default();
    for &(first, last) in ranges {
        set.push(first as u32, last as u32);
    }
    Some(set)
}

/// The set with all characters that differ from its own in case only.
pub(crate) fn folded(set: &CharSet) -> CharSet {
    let pairs = tables::folding();
    let mut folded = set.clone();
    // Every orbit is a star around its least character: what reaches the middle at first reaches all at second.
    for _ in 0..2 {
        let mut added = CharSet::default();
        for &(code, least) in &pairs {
            let (has_code, has_least) = (folded.contains(code), folded.contains(least));
            if has_code != has_least {
                let missing = if has_code { least } else { code };
                added = added.union(&CharSet::range(missing, missing));
            }
        }
        folded = folded.union(&added);
    }
    folded
}
