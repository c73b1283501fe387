//! Reads a pattern in the syntax of the crates `fancy-regex` 0.17 and `regex-syntax` 0.8, as far as it needs no captures: no
//! back-references, subroutine calls, conditions, `\K` and `\G`.

use crate::{
    Error,
    char_set::CharSet,
    syntax::{Assertion, Node},
    unicode,
};

/// Groups within groups.
const MAX_DEPTH: usize = 64;

/// The switches of `(?flags)`.
#[derive(Debug, Clone, Copy, Default)]
#[allow(clippy::struct_excessive_bools)] // the syntax has five switches
pub(crate) struct Flags {
    pub(crate) ignore_case: bool,
    multi_line: bool,
    dot_matches_newline: bool,
    swap_greed: bool,
    ignore_space: bool,
}

/// What an escape sequence stands for.
pub(crate) enum Escape {
    Char(char),
    Set(CharSet),
    Node(Node),
}

/// A reader of one pattern.
pub(crate) struct Parser<'p> {
    pattern: &'p str,
    pub(crate) at: usize,
    pub(crate) flags: Flags,
    pub(crate) depth: usize,
}

/// Reads a whole pattern.
pub(crate) fn parse(pattern: &str, ignore_case: bool) -> Result<Node, Error> {
    let flags = Flags { ignore_case, ..Flags::default() };
    let mut parser = Parser { pattern, at: 0, flags, depth: 0 };
    let node = parser.alternatives()?;
    if parser.at < pattern.len() {
        return Err(parser.error("a closing parenthesis has no opening one"));
    }
    Ok(node)
}

impl<'p> Parser<'p> {
    pub(crate) fn error(&self, what: &'static str) -> Error {
        Error::syntax(what, self.at)
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.pattern.get(self.at..)?.chars().next()
    }

    pub(crate) fn looks_at(&self, text: &str) -> bool {
        self.pattern.get(self.at..).is_some_and(|rest| rest.starts_with(text))
    }

    pub(crate) fn bump(&mut self) -> Option<char> {
        let next = self.peek()?;
        self.at += next.len_utf8();
        Some(next)
    }

    /// Skips `text` if it comes next.
    pub(crate) fn skip(&mut self, text: &str) -> bool {
        let found = self.looks_at(text);
        if found {
            self.at += text.len();
        }
        found
    }

    /// Reads up to a delimiter, and skips that.
    pub(crate) fn until(&mut self, end: char) -> Option<&'p str> {
        let start = self.at;
        let length = self.pattern.get(start..)?.find(end)?;
        self.at += length + end.len_utf8();
        self.pattern.get(start..start + length)
    }

    /// Skips comments, and white space where a flag says so.
    fn skip_blank(&mut self) -> Result<(), Error> {
        loop {
            if self.skip("(?#") {
                loop {
                    match self.bump() {
                        Some(')') => break,
                        Some('\\') => self.at += self.peek().map_or(0, char::len_utf8),
                        Some(_) => {}
                        None => return Err(self.error("a comment has no end")),
                    }
                }
                continue;
            }
            match self.peek() {
                Some(' ' | '\r' | '\n' | '\t') if self.flags.ignore_space => self.at += 1,
                Some('#') if self.flags.ignore_space => {
                    if self.until('\n').is_none() {
                        self.at = self.pattern.len();
                    }
                }
                _ => return Ok(()),
            }
        }
    }

    fn alternatives(&mut self) -> Result<Node, Error> {
        let mut alternatives = vec![self.sequence()?];
        while self.skip("|") {
            alternatives.push(self.sequence()?);
        }
        Ok(if alternatives.len() == 1 { alternatives.swap_remove(0) } else { Node::Alternatives(alternatives) })
    }

    fn sequence(&mut self) -> Result<Node, Error> {
        let mut nodes = Vec::new();
        loop {
            self.skip_blank()?;
            if matches!(self.peek(), None | Some('|' | ')')) {
                break;
            }
            let node = self.piece()?;
            if !matches!(node, Node::Empty) {
                nodes.push(node);
            }
        }
        Ok(match nodes.len() {
            0 => Node::Empty,
            1 => nodes.swap_remove(0),
            _ => Node::Concat(nodes),
        })
    }

    fn piece(&mut self) -> Result<Node, Error> {
        let (node, is_repeatable) = self.atom()?;
        self.skip_blank()?;
        let start = self.at;
        let (min, max) = match self.peek() {
            Some('?') => (0, 1),
            Some('*') => (0, u32::MAX),
            Some('+') => (1, u32::MAX),
            Some('{') => match self.bounds()? {
                Some(bounds) => bounds,
                // It stands for itself.
                None => return Ok(node),
            },
            _ => return Ok(node),
        };
        if !is_repeatable {
            return Err(self.error("there is nothing that could be repeated"));
        }
        if self.at == start {
            self.at += 1;
        }
        self.skip_blank()?;
        let greedy = self.skip("?") == self.flags.swap_greed;
        let repeat = Node::Repeat { child: Box::new(node), min, max, greedy };
        Ok(if self.skip("+") { Node::Atomic(Box::new(repeat)) } else { repeat })
    }

    /// Reads `{min,max}`; where it is none, stays where it was.
    fn bounds(&mut self) -> Result<Option<(u32, u32)>, Error> {
        let start = self.at;
        let bounds = self.try_bounds()?;
        if bounds.is_none() {
            self.at = start;
        }
        Ok(bounds)
    }

    fn try_bounds(&mut self) -> Result<Option<(u32, u32)>, Error> {
        self.at += 1;
        self.skip_blank()?;
        let min = match self.number() {
            Some(min) => min,
            None if self.looks_at(",") => 0,
            None => return Ok(None),
        };
        self.skip_blank()?;
        let max = if self.skip(",") {
            self.skip_blank()?;
            self.number().unwrap_or(u32::MAX)
        } else {
            min
        };
        self.skip_blank()?;
        if !self.skip("}") {
            return Ok(None);
        }
        if min > max {
            return Err(self.error("a repetition has a minimum above its maximum"));
        }
        Ok(Some((min, max)))
    }

    fn number(&mut self) -> Option<u32> {
        let rest = self.pattern.get(self.at..)?;
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let number = rest.get(..digits)?.parse().ok()?;
        self.at += digits;
        Some(number)
    }

    /// Reads one atom, and says whether it may be repeated.
    fn atom(&mut self) -> Result<(Node, bool), Error> {
        let start = self.at;
        let node = match self.bump() {
            Some('.') if self.flags.dot_matches_newline => Node::Set(CharSet::default().negated()),
            Some('.') => Node::Set(CharSet::single('\n').negated()),
            Some('^') if self.flags.multi_line => Node::Assert(Assertion::LineStart),
            Some('^') => Node::Assert(Assertion::TextStart),
            Some('$') if self.flags.multi_line => Node::Assert(Assertion::LineEnd),
            Some('$') => Node::Assert(Assertion::TextEnd),
            Some('(') => return self.group(),
            Some('[') => Node::Set(self.class()?),
            Some('\\') => match self.escape(false)? {
                Escape::Char(c) => self.literal(c),
                Escape::Set(set) => Node::Set(set),
                Escape::Node(node) => {
                    let is_repeatable = !matches!(node, Node::Look { .. });
                    return Ok((node, is_repeatable));
                }
            },
            Some('?' | '*' | '+') | None => {
                self.at = start;
                return Err(self.error("there is nothing that could be repeated"));
            }
            Some(c) => self.literal(c),
        };
        Ok((node, true))
    }

    fn literal(&self, c: char) -> Node {
        let set = CharSet::single(c);
        let folded = if self.flags.ignore_case { unicode::folded(&set) } else { set.clone() };
        if folded == set { Node::Char(c) } else { Node::Set(folded) }
    }

    /// Folds, then negates, a set that stands in the pattern.
    pub(crate) fn finish_set(&self, set: CharSet, is_negated: bool) -> CharSet {
        let set = if self.flags.ignore_case { unicode::folded(&set) } else { set };
        if is_negated { set.negated() } else { set }
    }

    /// Reads what follows a parenthesis.
    fn group(&mut self) -> Result<(Node, bool), Error> {
        self.depth += 1;
        if self.depth >= MAX_DEPTH {
            return Err(self.error("groups are nested too deeply"));
        }
        self.skip_blank()?;
        let look = |negative, behind| move |child| Node::Look { child: Box::new(child), negative, behind };
        let group = if self.skip("?=") {
            (look(false, false)(self.group_body()?), false)
        } else if self.skip("?!") {
            (look(true, false)(self.group_body()?), false)
        } else if self.skip("?<=") {
            (look(false, true)(self.group_body()?), false)
        } else if self.skip("?<!") {
            (look(true, true)(self.group_body()?), false)
        } else if self.skip("?>") {
            (Node::Atomic(Box::new(self.group_body()?)), true)
        } else if self.skip("?P<") || self.skip("?<") {
            self.group_name('>')?;
            (self.group_body()?, true)
        } else if self.skip("?'") {
            self.group_name('\'')?;
            (self.group_body()?, true)
        } else if ["?(", "?P=", "?P>"].iter().any(|start| self.looks_at(start)) {
            return Err(self.error("back-references, subroutines and conditions are not supported"));
        } else if self.skip("?") {
            self.flags_group()?
        } else {
            (self.group_body()?, true)
        };
        self.depth -= 1;
        Ok(group)
    }

    fn group_name(&mut self, end: char) -> Result<(), Error> {
        match self.until(end) {
            Some(name) if !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_') => Ok(()),
            _ => Err(self.error("a group has an impossible name")),
        }
    }

    fn group_body(&mut self) -> Result<Node, Error> {
        let node = self.alternatives()?;
        if !self.skip(")") {
            return Err(self.error("a group has no closing parenthesis"));
        }
        // A node of its own, so that an empty group can be repeated.
        Ok(if matches!(node, Node::Empty) { Node::Concat(Vec::new()) } else { node })
    }

    /// Reads `flags)`, whose flags hold from here on, or `flags:…)`, whose flags hold within.
    fn flags_group(&mut self) -> Result<(Node, bool), Error> {
        let (before, start) = (self.flags, self.at);
        let mut on = true;
        loop {
            self.skip_blank()?;
            let flag = self.bump();
            match flag {
                Some('i') => self.flags.ignore_case = on,
                Some('m') => self.flags.multi_line = on,
                Some('s') => self.flags.dot_matches_newline = on,
                Some('U') => self.flags.swap_greed = on,
                Some('x') => self.flags.ignore_space = on,
                Some('u') if on => {}
                Some('-') if on => on = false,
                Some(')') if self.at > start + 1 && (on || self.at > start + 2) => return Ok((Node::Empty, false)),
                Some(':') if on || self.at > start + 2 => {
                    let node = self.group_body()?;
                    self.flags = before;
                    return Ok((node, true));
                }
                _ => return Err(self.error("a group has an unknown flag")),
            }
        }
    }

    /// Reads what follows a backslash.
    pub(crate) fn escape(&mut self, in_class: bool) -> Result<Escape, Error> {
        let at = self.at;
        let escaped = self.bump().ok_or_else(|| self.error("a backslash ends it"))?;
        let assertion = |assertion| Ok(Escape::Node(Node::Assert(assertion)));
        if !in_class {
            match escaped {
                'A' => return assertion(Assertion::TextStart),
                'z' => return assertion(Assertion::TextEnd),
                '<' => return assertion(Assertion::WordStart),
                '>' => return assertion(Assertion::WordEnd),
                'b' | 'B' => return self.word_boundary(escaped),
                'O' => return Ok(Escape::Set(CharSet::default().negated())),
                'Z' => return Ok(Escape::Node(before_last_newlines())),
                'k' | 'g' | 'K' | 'G' => {
                    self.at = at;
                    return Err(self.error("back-references, subroutines, \\K and \\G are not supported"));
                }
                _ => {}
            }
        }
        let set = |set: CharSet, is_negated| Ok(Escape::Set(if is_negated { set.negated() } else { set }));
        match escaped {
            'd' | 'D' => set(unicode::digit(), escaped == 'D'),
            'w' | 'W' => set(unicode::word(), escaped == 'W'),
            's' | 'S' => set(unicode::white_space(), escaped == 'S'),
            'h' | 'H' => set(unicode::posix("xdigit").unwrap_or_default(), escaped == 'H'),
            'p' | 'P' => self.named_class(escaped == 'P'),
            'x' => self.hex(2),
            'u' => self.hex(4),
            'U' => self.hex(8),
            'a' => Ok(Escape::Char('\x07')),
            'b' => Ok(Escape::Char('\x08')),
            'e' => Ok(Escape::Char('\x1b')),
            'f' => Ok(Escape::Char('\x0c')),
            'n' => Ok(Escape::Char('\n')),
            'r' => Ok(Escape::Char('\r')),
            't' => Ok(Escape::Char('\t')),
            'v' => Ok(Escape::Char('\x0b')),
            'A' | 'z' | 'B' | 'k' | 'K' | 'G' => Ok(Escape::Char(escaped)),
            c if c.is_ascii_alphanumeric() => {
                self.at = at;
                Err(self.error("an escape sequence is unknown; back-references are not supported"))
            }
            c => Ok(Escape::Char(c)),
        }
    }

    fn word_boundary(&mut self, escaped: char) -> Result<Escape, Error> {
        self.skip_blank()?;
        if self.looks_at("{") {
            let start = self.at;
            self.at += 1;
            self.skip_blank()?;
            let is_repetition = self.peek().is_some_and(|c| c.is_ascii_digit() || c == ',');
            self.at = start;
            if !is_repetition {
                return Err(self.error("\\b{…} is not supported"));
            }
        }
        let assertion = if escaped == 'b' { Assertion::WordBoundary } else { Assertion::NotWordBoundary };
        Ok(Escape::Node(Node::Assert(assertion)))
    }

    fn named_class(&mut self, is_negated: bool) -> Result<Escape, Error> {
        let set = if self.skip("{") {
            let name = self.until('}').ok_or_else(|| Error::syntax("\\p{ has no end", 0))?;
            unicode::class(name)
        } else {
            self.bump().and_then(|c| unicode::class(c.encode_utf8(&mut [0; 4])))
        };
        let set = set.ok_or_else(|| self.error("\\p has an unknown name"))?;
        Ok(Escape::Set(self.finish_set(set, is_negated)))
    }

    /// Reads so many hexadecimal digits, or any in braces.
    fn hex(&mut self, digits: usize) -> Result<Escape, Error> {
        let rest = self.pattern.get(self.at..).unwrap_or_default();
        let fixed = rest.get(..digits).filter(|fixed| fixed.bytes().all(|b| b.is_ascii_hexdigit()));
        let text = if let Some(fixed) = fixed {
            self.at += digits;
            Some(fixed)
        } else if rest.starts_with('{') {
            self.at += 1;
            self.until('}').filter(|text| (1..=8).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_hexdigit()))
        } else {
            None
        };
        let code = text.and_then(|text| u32::from_str_radix(text, 16).ok());
        let c = code.and_then(char::from_u32).ok_or_else(|| self.error("a hexadecimal escape is no character"))?;
        Ok(Escape::Char(c))
    }
}

/// `\Z`: nothing but newlines follows.
fn before_last_newlines() -> Node {
    let newlines = Node::Repeat { child: Box::new(Node::Char('\n')), min: 0, max: u32::MAX, greedy: true };
    let child = Node::Concat(vec![newlines, Node::Assert(Assertion::TextEnd)]);
    Node::Look { child: Box::new(child), negative: false, behind: false }
}
