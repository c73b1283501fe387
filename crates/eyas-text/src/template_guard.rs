//! Puts checks into a template's source, so that no value in it can grow or nest without end.
//!
//! Jinja's engine bounds instructions and depth, but thirty doublings of a text are few instructions. So every operand
//! of `+`, `~` and `*`, every bracketed value, every filter's input and every assigned value is passed through a filter
//! that measures it ([`crate::template_budget`]). Lines stay where they are.

/// The filter for values in general.
pub(crate) const BOUNDED: &str = "eyas_bounded";
/// The filter for operands of `*`.
pub(crate) const FACTOR: &str = "eyas_factor";
/// The filter for what is assigned to a namespace's attribute.
pub(crate) const MEMBER: &str = "eyas_member";

const PIPE_BOUNDED: &str = "|eyas_bounded";
const PIPE_FACTOR: &str = "|eyas_factor";

/// A template with checks.
pub(crate) struct Guarded {
    /// The source.
    pub(crate) source: String,
    /// Bytes of the longest text between two tags.
    pub(crate) longest_text: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Word,
    Value,
    Open,
    Close,
    Operator,
}

#[derive(Clone, Copy)]
struct Token {
    kind: Kind,
    start: usize,
    end: usize,
}

/// Puts checks into `source`. What is not well formed comes out not well formed.
pub(crate) fn guard(source: &str) -> Guarded {
    let bytes = source.as_bytes();
    let mut inserts: Vec<(usize, &'static str)> = Vec::new();
    let (mut at, mut text_start, mut longest_text) = (0, 0, 0);
    while at < bytes.len() {
        let (is_tag, end) = match bytes.get(at..at + 2) {
            Some(b"{#") => (false, source[at + 2..].find("#}").map_or(bytes.len(), |end| at + 2 + end + 2)),
            Some(b"{{") => (true, bytes.len()),
            Some(b"{%") => match raw_block(source, at) {
                Some(end) => (false, end),
                None => (true, bytes.len()),
            },
            _ => {
                at += 1;
                continue;
            }
        };
        longest_text = longest_text.max(at - text_start);
        if is_tag {
            let is_block = bytes[at + 1] == b'%';
            let (tokens, end) = tokenize(source, at + 2, if is_block { "%}" } else { "}}" });
            check_tag(source, &tokens, is_block, &mut inserts);
            at = end;
        } else {
            longest_text = longest_text.max(end - at); // raw blocks are text
            at = end;
        }
        text_start = at;
    }
    longest_text = longest_text.max(bytes.len() - text_start);
    eyas_core::sort_by(&mut inserts, |(a, _), (b, _)| a.cmp(b));
    let mut out = String::with_capacity(source.len() + inserts.len() * PIPE_BOUNDED.len());
    let mut copied = 0;
    for (at, text) in inserts {
        out.push_str(&source[copied..at]);
        out.push_str(text);
        copied = at;
    }
    out.push_str(&source[copied..]);
    Guarded { source: out, longest_text }
}

/// Turns `{% generation %}` blocks, which mark what the assistant wrote and change nothing in a prompt, into `{% with %}`.
pub(crate) fn without_generation_marks(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let mut rest = source;
    while let Some(at) = rest.find("{%") {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        let names = [("generation", "with"), ("endgeneration", "endwith")];
        let found = names.iter().find_map(|(name, with)| simple_tag(rest, name).map(|len| (len, name, with)));
        let len = found.map_or(2, |(len, ..)| len);
        let tag = &rest[..len];
        match found {
            Some((_, name, with)) => out.push_str(&tag.replacen(name, with, 1)),
            None => out.push_str(tag),
        }
        rest = &rest[len..];
    }
    out.push_str(rest);
    out
}

/// The end of the raw block that begins at `at`, or none where no raw block begins.
fn raw_block(source: &str, at: usize) -> Option<usize> {
    let mut end = at + simple_tag(&source[at..], "raw")?;
    while let Some(found) = source[end..].find("{%") {
        end += found;
        if let Some(len) = simple_tag(&source[end..], "endraw") {
            return Some(end + len);
        }
        end += 2;
    }
    Some(source.len())
}

/// The length of a tag that is only a name.
fn simple_tag(text: &str, name: &str) -> Option<usize> {
    let rest = text.strip_prefix("{%")?;
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).trim_ascii_start();
    let rest = rest.strip_prefix(name)?.trim_ascii_start();
    let rest = rest.strip_prefix(['-', '+']).unwrap_or(rest).strip_prefix("%}")?;
    Some(text.len() - rest.len())
}

/// The tokens of a tag from `at`, and where the tag ends.
fn tokenize(source: &str, mut at: usize, tag_end: &str) -> (Vec<Token>, usize) {
    let bytes = source.as_bytes();
    let mut tokens = Vec::new();
    let mut balance = 0_i64;
    if matches!(bytes.get(at), Some(b'-' | b'+')) {
        at += 1;
    }
    while let Some(&byte) = bytes.get(at) {
        if byte.is_ascii_whitespace() {
            at += 1;
            continue;
        }
        if balance == 0 {
            let marker = usize::from(matches!(byte, b'-' | b'+'));
            if bytes[at + marker..].starts_with(tag_end.as_bytes()) {
                return (tokens, at + marker + tag_end.len());
            }
        }
        let rest = &bytes[at..];
        let (kind, len) = match byte {
            b'(' | b'[' | b'{' => (Kind::Open, 1),
            b')' | b']' | b'}' => (Kind::Close, 1),
            b'\'' | b'"' => (Kind::Value, text_len(rest, byte)),
            b'0'..=b'9' => (Kind::Value, number_len(rest)),
            b'a'..=b'z' | b'A'..=b'Z' | b'_' => {
                (Kind::Word, rest.iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count())
            }
            _ => match rest.get(..2) {
                Some(b"//" | b"**" | b"==" | b"!=" | b">=" | b"<=") => (Kind::Operator, 2),
                _ => (Kind::Operator, source[at..].chars().next().map_or(1, char::len_utf8)),
            },
        };
        balance += i64::from(kind == Kind::Open) - i64::from(kind == Kind::Close);
        tokens.push(Token { kind, start: at, end: at + len });
        at += len;
    }
    (tokens, bytes.len())
}

fn text_len(rest: &[u8], quote: u8) -> usize {
    let mut len = 1;
    while let Some(&byte) = rest.get(len) {
        len += 1;
        if byte == b'\\' {
            len += usize::from(len < rest.len());
        } else if byte == quote {
            break;
        }
    }
    len
}

fn number_len(rest: &[u8]) -> usize {
    let digit = |at: usize| rest.get(at).is_some_and(u8::is_ascii_digit);
    let mut len = 0;
    loop {
        len += rest[len..].iter().take_while(|b| b.is_ascii_alphanumeric() || **b == b'_').count();
        let exponent = !rest.starts_with(b"0x") && matches!(rest[len - 1], b'e' | b'E');
        let continues = match rest.get(len) {
            Some(b'.') => digit(len + 1),
            Some(b'-' | b'+') => exponent && digit(len + 1),
            _ => false,
        };
        if !continues {
            return len;
        }
        len += 1;
    }
}

/// A bracket that is open.
struct Frame {
    /// Whether it brackets a value, and not arguments or a subscript.
    is_value: bool,
    /// The check that the operand at hand needs once it ends.
    pending: Option<&'static str>,
}

/// Finds where a tag needs checks.
fn check_tag(source: &str, tokens: &[Token], is_block: bool, inserts: &mut Vec<(usize, &'static str)>) {
    let text = |token: &Token| &source[token.start..token.end];
    let (name, tokens) = match tokens.split_first() {
        Some((name, rest)) if is_block => (text(name), rest),
        _ => ("", tokens),
    };
    let mut in_target = matches!(name, "for" | "set");
    let mut frames = vec![Frame { is_value: false, pending: None }];
    let mut after_operand = false;
    let mut before_end = None; // the end of the token before
    let mut dotted = false;
    let mut assignment_end = None;
    for token in tokens {
        let word = text(token);
        // What ends an operand, at this depth.
        let ends = match token.kind {
            Kind::Close => true,
            Kind::Word => matches!(word, "and" | "or" | "if" | "else" | "in" | "not" | "recursive") && after_operand,
            Kind::Operator => after_operand && !matches!(word, "." | "|"),
            Kind::Open | Kind::Value => false,
        };
        let pending = if ends { frames.last_mut().and_then(|frame| frame.pending.take()) } else { None };
        if let (Some(check), Some(at)) = (pending, before_end) {
            inserts.push((at, check));
        }
        match token.kind {
            Kind::Open => {
                let is_value = !after_operand && !in_target;
                if is_value {
                    inserts.push((token.start, "("));
                }
                frames.push(Frame { is_value, pending: None });
                after_operand = false;
            }
            Kind::Close => {
                if frames.len() > 1 && frames.pop().is_some_and(|frame| frame.is_value) {
                    inserts.push((token.end, "|eyas_bounded)"));
                }
                after_operand = true;
            }
            Kind::Value => after_operand = true,
            Kind::Word if ends || matches!(word, "not" | "is") => {
                in_target &= word != "in";
                after_operand = false;
            }
            Kind::Word => after_operand = !matches!(word, "if" | "and" | "or" | "else"),
            Kind::Operator => {
                let check = match word {
                    "+" | "~" => Some(PIPE_BOUNDED),
                    "*" => Some(PIPE_FACTOR),
                    _ => None,
                };
                let at = before_end.filter(|_| after_operand);
                if let (Some(check), Some(at), Some(frame)) = (check, at, frames.last_mut()) {
                    inserts.push((at, check));
                    frame.pending = Some(check);
                } else if let ("|", Some(at)) = (word, at) {
                    inserts.push((at, PIPE_BOUNDED));
                } else if word == "=" && name == "set" && in_target && frames.len() == 1 {
                    in_target = false;
                    assignment_end = Some(if dotted { ")|eyas_member" } else { ")|eyas_bounded" });
                    inserts.push((token.end, "("));
                }
                dotted |= in_target && word == ".";
                after_operand = false;
            }
        }
        before_end = Some(token.end);
    }
    if let Some(end) = before_end {
        if let Some(check) = frames.last_mut().and_then(|frame| frame.pending.take()) {
            inserts.push((end, check));
        }
        inserts.extend(assignment_end.map(|check| (end, check)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shortened(source: &str) -> String {
        guard(source).source.replace("|eyas_bounded", "§").replace("|eyas_factor", "@").replace("|eyas_member", "$")
    }

    #[test]
    fn operands_brackets_and_assignments_are_checked() {
        for (source, expected) in [
            ("{{ a + b }}", "{{ a§ + b§ }}"),
            ("{{ a ~ b.c[0]|trim ~ 'x' if y else z }}", "{{ a§ ~ b.c[0]§|trim§§ ~ 'x'§ if y else z }}"),
            ("{{- a * -2 -}}", "{{- a@ * -2@ -}}"),
            ("{{ f(a, [b])[1:] }}", "{{ f(a, ([b]§))[1:] }}"),
            ("{% set x = a, 'b' %}", "{% set x =( a, 'b')§ %}"),
            ("{%- set ns.x = {'a': {}} -%}", "{%- set ns.x =( ({'a': ({}§)}§))$ -%}"),
            ("{% for (a, b) in [1] if not (c) %}", "{% for (a, b) in ([1]§) if not ((c)§) %}"),
            ("{% if a is not none and (b) %}", "{% if a is not none and ((b)§) %}"),
            ("{% macro f(a, b=1) %}", "{% macro f(a, b=1) %}"),
            ("{# a + b #}{% raw %}{{ a + b }}{% endraw %}c + d", "{# a + b #}{% raw %}{{ a + b }}{% endraw %}c + d"),
            ("{{ 'a + \\' }}' + b }}", "{{ 'a + \\' }}'§ + b§ }}"),
            ("{% if x ~ 1e-5 not in y %}", "{% if x§ ~ 1e-5§ not in y %}"),
        ] {
            assert_eq!(shortened(source), expected);
        }
    }

    #[test]
    fn generation_marks_become_scopes() {
        assert_eq!(
            without_generation_marks("a{%- generation %}{{ x }}{% endgeneration -%}{% generations %}"),
            "a{%- with %}{{ x }}{% endwith -%}{% generations %}"
        );
    }

    #[test]
    fn the_longest_text_is_found() {
        assert_eq!(guard("ab{{ x }}abc{% raw %}{% endraw %}a").longest_text, "{% raw %}{% endraw %}".len());
        assert_eq!(guard("abc{{ x }}abcd").longest_text, 4);
    }
}
