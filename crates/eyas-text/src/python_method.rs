//! Methods that Python's strings, dictionaries and lists have, and that templates call.
//!
//! Written here instead of taken from `minijinja-contrib`: results are bounded, keyword arguments work, and a handful
//! of methods more exist.

use minijinja::{
    Error, ErrorKind, State, Value,
    value::{Kwargs, Rest, ValueKind, from_args},
};

/// Longest result in bytes.
const MAX_BYTES: usize = 16 << 20;

/// Calls `method` of `value`, where Jinja itself knows no such method.
pub(crate) fn call(_state: &mut State, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    match value.kind() {
        ValueKind::String => string_method(value.as_str().unwrap_or_default(), method, args),
        ValueKind::Map => map_method(value, method, args),
        ValueKind::Seq => list_method(value, method, args),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn string_method(text: &str, method: &str, args: &[Value]) -> Result<Value, Error> {
    let none = || from_args::<()>(args);
    Ok(match method {
        "upper" => none().map(|()| text.to_uppercase().into())?,
        "lower" | "casefold" => none().map(|()| text.to_lowercase().into())?,
        "title" => none().map(|()| title(text).into())?,
        "capitalize" => none().map(|()| capitalize(text).into())?,
        "strip" | "lstrip" | "rstrip" => {
            let (chars,): (Option<&str>,) = from_args(args)?;
            let drop = |c: char| chars.map_or(c.is_whitespace(), |chars| chars.contains(c));
            let text = if method == "rstrip" { text } else { text.trim_start_matches(drop) };
            Value::from(if method == "lstrip" { text } else { text.trim_end_matches(drop) })
        }
        "startswith" => affix(text, args, |text, affix| text.starts_with(affix))?,
        "endswith" => affix(text, args, |text, affix| text.ends_with(affix))?,
        "removeprefix" => from_args(args).map(|(prefix,): (&str,)| Value::from(text.strip_prefix(prefix).unwrap_or(text)))?,
        "removesuffix" => from_args(args).map(|(suffix,): (&str,)| Value::from(text.strip_suffix(suffix).unwrap_or(text)))?,
        "replace" => {
            let (from, to, count, kwargs): (&str, &str, Option<i64>, Kwargs) = from_args(args)?;
            let count = count.or(kwargs.get("count")?).and_then(|count| usize::try_from(count).ok());
            kwargs.assert_all_used()?;
            replace(text, from, to, count)?.into()
        }
        "split" | "rsplit" => {
            let (separator, limit, kwargs): (Option<&str>, Option<i64>, Kwargs) = from_args(args)?;
            let separator = separator.or(kwargs.get("sep")?);
            let limit = limit.or(kwargs.get("maxsplit")?).and_then(|limit| usize::try_from(limit).ok());
            kwargs.assert_all_used()?;
            split(text, separator, limit, method == "rsplit")?
        }
        "splitlines" => {
            let (keep, kwargs): (Option<bool>, Kwargs) = from_args(args)?;
            let keep = keep.or(kwargs.get("keepends")?).unwrap_or(false);
            text.split_inclusive('\n')
                .map(|line| {
                    if keep { line } else { line.strip_suffix('\n').map_or(line, |line| line.strip_suffix('\r').unwrap_or(line)) }
                })
                .map(Value::from)
                .collect()
        }
        "partition" => {
            let (separator,): (&str,) = from_args(args)?;
            let (before, found, after) = text.split_once(separator).map_or((text, "", ""), |(a, b)| (a, separator, b));
            [before, found, after].into_iter().map(Value::from).collect()
        }
        "join" => {
            let (items,): (&Value,) = from_args(args)?;
            let mut out = String::new();
            for (index, item) in items.try_iter()?.checked().enumerate() {
                if index > 0 {
                    out.push_str(text);
                }
                out.push_str(item?.as_str().ok_or_else(|| invalid("join expects strings"))?);
                bound(out.len())?;
            }
            out.into()
        }
        "count" => from_args(args).map(|(what,): (&str,)| text.matches(what).count().into())?,
        "find" => from_args(args).map(|(what,): (&str,)| position(text, text.find(what)))?,
        "rfind" => from_args(args).map(|(what,): (&str,)| position(text, text.rfind(what)))?,
        "isdigit" | "isnumeric" | "isdecimal" => none().map(|()| all(text, char::is_numeric))?,
        "isalpha" => none().map(|()| all(text, char::is_alphabetic))?,
        "isalnum" => none().map(|()| all(text, char::is_alphanumeric))?,
        "isspace" => none().map(|()| all(text, char::is_whitespace))?,
        "isascii" => none().map(|()| text.is_ascii().into())?,
        "islower" => none().map(|()| (text.chars().any(char::is_lowercase) && !text.chars().any(char::is_uppercase)).into())?,
        "isupper" => none().map(|()| (text.chars().any(char::is_uppercase) && !text.chars().any(char::is_lowercase)).into())?,
        _ => return Err(Error::from(ErrorKind::UnknownMethod)),
    })
}

fn map_method(value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let pairs = || -> Result<Vec<(Value, Value)>, Error> {
        from_args::<()>(args)?;
        value.try_iter()?.checked().map(|key| key.and_then(|key| value.get_item(&key).map(|item| (key, item)))).collect()
    };
    match method {
        "get" => {
            let (key, default): (&Value, Option<Value>) = from_args(args)?;
            let found = value.get_item(key)?;
            Ok(if found.is_undefined() { default.unwrap_or_else(|| ().into()) } else { found })
        }
        "keys" => Ok(pairs()?.into_iter().map(|(key, _)| key).collect()),
        "values" => Ok(pairs()?.into_iter().map(|(_, item)| item).collect()),
        "items" => Ok(pairs()?.into_iter().map(|(key, item)| Value::from(vec![key, item])).collect()),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn list_method(value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    let (what, _rest): (&Value, Rest<Value>) = from_args(args)?;
    let mut items = value.try_iter()?;
    match method {
        "count" => Ok(items.filter(|item| item == what).count().into()),
        "index" => items.position(|item| item == *what).map(Value::from).ok_or_else(|| invalid("the value is not in the list")),
        _ => Err(Error::from(ErrorKind::UnknownMethod)),
    }
}

fn invalid(why: &'static str) -> Error {
    Error::new(ErrorKind::InvalidOperation, why)
}

/// Fails where a result is longer than any prompt may be.
fn bound(bytes: usize) -> Result<(), Error> {
    if bytes > MAX_BYTES { Err(invalid("a text grew too long")) } else { Ok(()) }
}

fn all(text: &str, test: impl Fn(char) -> bool) -> Value {
    (!text.is_empty() && text.chars().all(test)).into()
}

/// A byte position as Python counts characters, -1 where there is none.
fn position(text: &str, byte: Option<usize>) -> Value {
    byte.map_or(Value::from(-1), |byte| text[..byte].chars().count().into())
}

/// Tests one affix, or several in a list or tuple.
fn affix(text: &str, args: &[Value], test: impl Fn(&str, &str) -> bool) -> Result<Value, Error> {
    let (affixes,): (&Value,) = from_args(args)?;
    if let Some(affix) = affixes.as_str() {
        return Ok(test(text, affix).into());
    }
    for affix in affixes.try_iter()?.checked() {
        if test(text, affix?.as_str().ok_or_else(|| invalid("startswith and endswith expect strings"))?) {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

/// Replaces all occurrences, or the first `count`.
pub(crate) fn replace(text: &str, from: &str, to: &str, count: Option<usize>) -> Result<String, Error> {
    let occurrences = text.matches(from).count().min(count.unwrap_or(usize::MAX));
    bound(text.len().saturating_add(occurrences.saturating_mul(to.len())))?;
    Ok(text.replacen(from, to, occurrences))
}

fn split(text: &str, separator: Option<&str>, limit: Option<usize>, from_right: bool) -> Result<Value, Error> {
    let Some(separator) = separator else {
        if let Some(limit) = limit.filter(|_| !from_right) {
            let mut parts = Vec::new();
            let mut rest = text.trim_start();
            while !rest.is_empty() {
                let end = if parts.len() < limit { rest.find(char::is_whitespace) } else { None };
                let (part, after) = rest.split_at(end.unwrap_or(rest.len()));
                parts.push(Value::from(part));
                rest = after.trim_start();
            }
            return Ok(parts.into());
        }
        return Ok(text.split_whitespace().map(Value::from).collect());
    };
    if separator.is_empty() {
        return Err(invalid("split expects a separator that is not empty"));
    }
    let parts = limit.map_or(usize::MAX, |limit| limit.saturating_add(1));
    Ok(if from_right {
        let mut parts: Vec<Value> = text.rsplitn(parts, separator).map(Value::from).collect();
        parts.reverse();
        parts.into()
    } else {
        text.splitn(parts, separator).map(Value::from).collect()
    })
}

/// Every letter that follows no letter in upper case, every other in lower case.
fn title(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut inside = false;
    for c in text.chars() {
        if inside {
            out.extend(c.to_lowercase());
        } else {
            out.extend(c.to_uppercase());
        }
        inside = c.is_alphabetic();
    }
    out
}

fn capitalize(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map(|first| first.to_uppercase().chain(chars.as_str().to_lowercase().chars()).collect()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use minijinja::Environment;

    fn render(expression: &str) -> String {
        let mut environment = Environment::new();
        environment.set_unknown_method_callback(super::call);
        environment.render_str(&format!("{{{{ {expression} }}}}"), ()).unwrap()
    }

    #[test]
    fn methods_do_what_python_does() {
        for (expression, expected) in [
            ("' a b '.strip()", "a b"),
            ("'xxaxx'.lstrip('x')", "axx"),
            ("'a,b,c'.split(',', 1)", "['a', 'b,c']"),
            ("'a,b,c'.split(',', maxsplit=1)[-1]", "b,c"),
            ("'a,b,c'.rsplit(',', 1)[0]", "a,b"),
            ("'  a  b '.split()", "['a', 'b']"),
            ("'  a  b c '.split(none, 1)|length", "2"),
            ("'they\\'re in'.title()", "They'Re In"),
            ("'äB'.capitalize()", "Äb"),
            ("'aaa'.replace('a', 'b', 2)", "bba"),
            ("'ab'.startswith(('x', 'a'))", "True"),
            ("'abc'.removesuffix('c')", "ab"),
            ("', '.join(['a', 'b'])", "a, b"),
            ("'äbc'.find('c')", "2"),
            ("'a=b'.partition('=')[2]", "b"),
            ("{'a': 1}.get('b', 2)", "2"),
            ("{'a': 1}.items()|first|last", "1"),
            ("{'a': 1}.get('b') is none", "True"),
            ("[1, 2, 1].count(1)", "2"),
        ] {
            assert_eq!(render(expression), expected, "{expression}");
        }
    }
}
