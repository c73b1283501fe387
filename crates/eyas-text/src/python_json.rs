//! The `tojson` filter as `transformers` defines it: Python's `json.dumps` without ASCII escapes and without sorting.

use std::fmt::Write as _;

use minijinja::{
    Error, ErrorKind, Value,
    value::{Kwargs, ValueKind},
};

/// Values may nest this deep.
const MAX_DEPTH: usize = 100;
/// Longest JSON text in bytes.
const MAX_BYTES: usize = 16 << 20;

/// Writes `value` as JSON. Keyword arguments: `ensure_ascii`, `indent`, `separators`, `sort_keys`.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands arguments over")]
pub(crate) fn tojson(value: &Value, options: Kwargs) -> Result<Value, Error> {
    let indent = match options.get::<Option<Value>>("indent")? {
        Some(indent) if !indent.is_none() => Some(match indent.as_str() {
            Some(text) => text.to_owned(),
            None => " ".repeat(indent.as_usize().filter(|&width| width <= 64).ok_or_else(|| bad("indent must be at most 64"))?),
        }),
        _ => None,
    };
    let separators = match options.get::<Option<Value>>("separators")? {
        Some(pair) if !pair.is_none() => {
            let part = |index| pair.get_item_by_index(index).ok().and_then(|part| part.as_str().map(str::to_owned));
            part(0).zip(part(1)).ok_or_else(|| bad("separators must be two strings"))?
        }
        _ => (if indent.is_some() { "," } else { ", " }.to_owned(), ": ".to_owned()),
    };
    let ensure_ascii = options.get::<Option<bool>>("ensure_ascii")?.unwrap_or(false);
    let sort_keys = options.get::<Option<bool>>("sort_keys")?.unwrap_or(false);
    options.assert_all_used()?;
    let mut writer = Writer { out: String::new(), indent, separators, ensure_ascii, sort_keys };
    writer.value(value, 0)?;
    Ok(Value::from(writer.out))
}

fn bad(why: &str) -> Error {
    Error::new(ErrorKind::InvalidOperation, format!("tojson: {why}"))
}

struct Writer {
    out: String,
    indent: Option<String>,
    separators: (String, String),
    ensure_ascii: bool,
    sort_keys: bool,
}

impl Writer {
    fn value(&mut self, value: &Value, depth: usize) -> Result<(), Error> {
        if depth > MAX_DEPTH || self.out.len() > MAX_BYTES {
            return Err(bad("the value is too large"));
        }
        match value.kind() {
            ValueKind::None => self.out.push_str("null"),
            ValueKind::Bool => self.out.push_str(if value.is_true() { "true" } else { "false" }),
            ValueKind::Number => self.number(value),
            ValueKind::String => self.string(value.as_str().unwrap_or_default()),
            ValueKind::Seq | ValueKind::Iterable => {
                let mut count = 0;
                self.out.push('[');
                for item in value.try_iter()?.checked() {
                    self.before_item(count, depth);
                    self.value(&item?, depth + 1)?;
                    count += 1;
                }
                self.close(']', count, depth);
            }
            ValueKind::Map => {
                let mut keys = value.try_iter()?.checked().collect::<Result<Vec<_>, _>>()?;
                if self.sort_keys {
                    eyas_core::sort(&mut keys);
                }
                self.out.push('{');
                for (index, key) in keys.iter().enumerate() {
                    self.before_item(index, depth);
                    self.key(key)?;
                    self.out.push_str(&self.separators.1);
                    self.value(&value.get_item(key)?, depth + 1)?;
                }
                self.close('}', keys.len(), depth);
            }
            kind => return Err(bad(&format!("a value of type {kind} has no JSON"))),
        }
        Ok(())
    }

    fn before_item(&mut self, index: usize, depth: usize) {
        if index > 0 {
            self.out.push_str(&self.separators.0);
        }
        self.new_line(depth + 1);
    }

    fn close(&mut self, bracket: char, count: usize, depth: usize) {
        if count > 0 {
            self.new_line(depth);
        }
        self.out.push(bracket);
    }

    fn new_line(&mut self, depth: usize) {
        if let Some(indent) = &self.indent {
            self.out.push('\n');
            for _ in 0..depth {
                self.out.push_str(indent);
            }
        }
    }

    fn key(&mut self, key: &Value) -> Result<(), Error> {
        match key.kind() {
            ValueKind::String => self.string(key.as_str().unwrap_or_default()),
            ValueKind::None | ValueKind::Bool | ValueKind::Number => {
                self.out.push('"');
                self.value(key, 0)?;
                self.out.push('"');
            }
            kind => return Err(bad(&format!("a key of type {kind} has no JSON"))),
        }
        Ok(())
    }

    fn number(&mut self, value: &Value) {
        if value.is_integer() {
            let _ = write!(self.out, "{value}");
        } else {
            self.out.push_str(&float(f64::try_from(value.clone()).unwrap_or(f64::NAN)));
        }
    }

    fn string(&mut self, text: &str) {
        self.out.push('"');
        for c in text.chars() {
            match c {
                '"' => self.out.push_str("\\\""),
                '\\' => self.out.push_str("\\\\"),
                '\n' => self.out.push_str("\\n"),
                '\r' => self.out.push_str("\\r"),
                '\t' => self.out.push_str("\\t"),
                '\u{8}' => self.out.push_str("\\b"),
                '\u{c}' => self.out.push_str("\\f"),
                c if (c as u32) < 0x20 || (self.ensure_ascii && !c.is_ascii()) => {
                    for unit in c.encode_utf16(&mut [0; 2]) {
                        let _ = write!(self.out, "\\u{unit:04x}");
                    }
                }
                c => self.out.push(c),
            }
        }
        self.out.push('"');
    }
}

/// A float as Python writes it: the shortest digits that read back the same.
fn float(number: f64) -> String {
    if number.is_nan() {
        return "NaN".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let scientific = format!("{number:e}");
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    match exponent.parse::<i32>().unwrap_or(0) {
        -4..16 => {
            let plain = format!("{number}");
            if plain.contains('.') { plain } else { plain + ".0" }
        }
        exponent => format!("{mantissa}e{}{:02}", if exponent < 0 { '-' } else { '+' }, exponent.abs()),
    }
}

#[cfg(test)]
mod tests {
    use minijinja::{Environment, context};

    use super::*;

    fn render(template: &str) -> String {
        let mut environment = Environment::new();
        environment.add_filter("tojson", tojson);
        let value: serde_json::Value =
            serde_json::from_str(r#"{"b": [1, 2.5, null], "a": {"é": "<\"\n\u0001>"}, "e": []}"#).unwrap();
        environment.render_str(template, context!(v => Value::from(minijinja::value::Serde(&value)))).unwrap()
    }

    #[test]
    fn separators_are_pythons_and_nothing_is_escaped_for_html() {
        assert_eq!(render("{{ v|tojson }}"), r#"{"b": [1, 2.5, null], "a": {"é": "<\"\n\u0001>"}, "e": []}"#);
        assert_eq!(render("{{ v.b|tojson(separators=(',', ':')) }}"), "[1,2.5,null]");
        assert_eq!(render("{{ v.a|tojson(ensure_ascii=true) }}"), r#"{"\u00e9": "<\"\n\u0001>"}"#);
    }

    #[test]
    fn indent_makes_lines() {
        assert_eq!(render("{{ v.b|tojson(indent=2) }}"), "[\n  1,\n  2.5,\n  null\n]");
        assert_eq!(render("{{ v.e|tojson(indent=2) }}"), "[]");
    }

    #[test]
    fn floats_are_written_as_in_python() {
        for (number, text) in [
            (1.0, "1.0"),
            (0.1, "0.1"),
            (1e16, "1e+16"),
            (1e15, "1000000000000000.0"),
            (1.5e-5, "1.5e-05"),
            (1e-4, "0.0001"),
            (-0.0, "-0.0"),
        ] {
            assert_eq!(float(number), text);
        }
    }
}
