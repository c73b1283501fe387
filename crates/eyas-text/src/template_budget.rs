//! What one rendering of a template may use, and the filters that hold it to that.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use minijinja::{
    Environment, Error, ErrorKind, Value,
    value::{Kwargs, ValueKind},
};

use crate::{
    python_method,
    template_guard::{BOUNDED, FACTOR, MEMBER},
};

/// The most that a value may hold: a byte of text counts one, a value 32.
const MAX_VALUE_BYTES: u64 = 4 << 20;
/// Bytes of a value inside of another.
const NODE_BYTES: u64 = 32;
/// Values may nest this deep.
const MAX_VALUE_DEPTH: usize = 100;
/// The most that a text may hold that is multiplied, and a number that multiplies.
const MAX_FACTOR_BYTES: u64 = 2048;
const MAX_FACTOR: i64 = 1 << 15;
/// Values measured in one rendering.
const MAX_MEASURED: u64 = 50_000_000;
/// Bytes printed in one rendering, those that are caught in a variable included.
const MAX_PRINTED_BYTES: u64 = 64 << 20;
/// Spaces by which a line may be indented.
const MAX_WIDTH: usize = 1000;

/// What one rendering has used.
#[derive(Debug, Default)]
struct Used {
    measured: AtomicU64,
    printed_bytes: AtomicU64,
}

/// Gives one rendering a fresh budget.
pub(crate) fn limit(environment: &mut Environment<'_>) {
    let used = Arc::new(Used::default());
    let budget = Arc::clone(&used);
    environment.add_filter(BOUNDED, move |value: Value| budget.measure(&value, MAX_VALUE_BYTES).map(|_| value));
    let budget = Arc::clone(&used);
    environment.add_filter(FACTOR, move |value: Value| {
        if value.as_i64().is_some_and(|number| number.abs() > MAX_FACTOR) {
            return Err(too_large());
        }
        budget.measure(&value, MAX_FACTOR_BYTES).map(|_| value)
    });
    let budget = Arc::clone(&used);
    environment.add_filter(MEMBER, move |value: Value| {
        // A namespace is the only value that can be changed, so the only way to put a value into itself.
        if is_a(&value, "Namespace") {
            return Err(too_large());
        }
        budget.measure(&value, MAX_VALUE_BYTES).map(|_| value)
    });
    environment.set_formatter(move |out, state, value| {
        let bytes = used.measure(value, MAX_VALUE_BYTES)?;
        if used.printed_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes > MAX_PRINTED_BYTES {
            return Err(too_large());
        }
        minijinja::escape_formatter(out, state, value)
    });
}

/// Replaces filters whose result can be much larger than their input.
pub(crate) fn replace_filters(environment: &mut Environment<'_>) {
    environment.add_filter("replace", |text: &str, from: &str, to: &str, count: Option<usize>| {
        python_method::replace(text, from, to, count)
    });
    environment.add_filter("join", join);
    environment.add_filter("indent", indent);
    for name in ["batch", "slice", "format", "zip", "chain", "pprint"] {
        environment.remove_filter(name); // no chat template needs them, and each can multiply its input
    }
}

fn too_large() -> Error {
    Error::new(ErrorKind::InvalidOperation, "a value grew beyond what a prompt may hold")
}

impl Used {
    /// The bytes that `value` holds, shared parts counted as often as they occur.
    fn measure(&self, value: &Value, limit: u64) -> Result<u64, Error> {
        let mut bytes = 0;
        let mut nodes = 0;
        let result = add(value, 0, limit, &mut bytes, &mut nodes);
        if self.measured.fetch_add(nodes, Ordering::Relaxed) + nodes > MAX_MEASURED {
            return Err(too_large());
        }
        result.map(|()| bytes)
    }
}

/// Whether a value is of one of the engine's own types.
fn is_a(value: &Value, name: &str) -> bool {
    value.as_object().is_some_and(|object| object.type_name().rsplit("::").next() == Some(name))
}

fn add(value: &Value, depth: usize, limit: u64, bytes: &mut u64, nodes: &mut u64) -> Result<(), Error> {
    *nodes += 1;
    *bytes += match value.as_str() {
        Some(text) => text.len() as u64 + if depth > 0 { NODE_BYTES } else { 0 },
        None => NODE_BYTES,
    };
    if *bytes > limit.max(NODE_BYTES) || depth > MAX_VALUE_DEPTH || (depth > 0 && is_a(value, "Namespace")) {
        return Err(too_large());
    }
    match value.kind() {
        // Other iterables may be consumed by looking.
        ValueKind::Iterable if !is_a(value, "MergeSeq") => {
            *bytes = bytes.saturating_add((value.len().unwrap_or(0) as u64).saturating_mul(NODE_BYTES));
            if *bytes > limit.max(NODE_BYTES) {
                return Err(too_large());
            }
        }
        ValueKind::Seq | ValueKind::Iterable => {
            for item in value.try_iter()?.checked() {
                add(&item?, depth + 1, limit, bytes, nodes)?;
            }
        }
        ValueKind::Map => {
            for key in value.try_iter()?.checked() {
                let key = key?;
                add(&key, depth + 1, limit, bytes, nodes)?;
                add(&value.get_item(&key)?, depth + 1, limit, bytes, nodes)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// Puts texts together, as Jinja's filter does.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands arguments over")]
fn join(items: Value, joiner: Option<Value>, attribute: Option<&str>, options: Kwargs) -> Result<Value, Error> {
    let joiner = match joiner {
        Some(joiner) => Some(joiner),
        None => options.get::<Option<Value>>("d")?,
    };
    let attribute = attribute.or(options.get("attribute")?);
    options.assert_all_used()?;
    let joiner = joiner.filter(|joiner| !joiner.is_none()).map(|joiner| joiner.to_string()).unwrap_or_default();
    let mut out = String::new();
    for (index, item) in items.try_iter()?.checked().enumerate() {
        let item = match attribute {
            Some(attribute) => item?.get_attr(attribute)?,
            None => item?,
        };
        if index > 0 {
            out.push_str(&joiner);
        }
        match item.as_str() {
            Some(text) => out.push_str(text),
            None => out.push_str(&item.to_string()),
        }
        if out.len() as u64 > 2 * MAX_VALUE_BYTES {
            return Err(too_large());
        }
    }
    Ok(out.into())
}

/// Puts `width` spaces before lines: not before the first and not before empty ones, unless asked for.
#[expect(clippy::needless_pass_by_value, reason = "the engine hands arguments over")]
fn indent(text: &str, width: Option<usize>, first: Option<bool>, blank: Option<bool>, options: Kwargs) -> Result<String, Error> {
    let width = width.or(options.get("width")?).unwrap_or(4);
    let first = first.or(options.get("first")?).unwrap_or(false);
    let blank = blank.or(options.get("blank")?).unwrap_or(false);
    options.assert_all_used()?;
    if width > MAX_WIDTH || text.split('\n').count() as u64 * width as u64 > MAX_VALUE_BYTES {
        return Err(too_large());
    }
    let mut out = String::with_capacity(text.len());
    for (index, line) in text.split('\n').enumerate() {
        if index > 0 {
            out.push('\n');
        }
        if (index > 0 || first) && (blank || !line.is_empty()) {
            out.extend(std::iter::repeat_n(' ', width));
        }
        out.push_str(line);
    }
    Ok(out)
}
