//! Files that are not what their name says, as downloads often are.

/// Says what a file that does not begin like a model begins like, with what to do about it.
pub fn describe(beginning: &[u8]) -> String {
    let text = beginning.trim_ascii_start();
    let text = text.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(text);
    if beginning.is_empty() {
        "found an empty file; download it again".to_owned()
    } else if text.starts_with(b"<") {
        "found what looks like an HTML page; check the URL, a server answers so for a page that it doesn't have".to_owned()
    } else if text.starts_with(b"version https://git-lfs") {
        "found a Git LFS pointer; fetch the file that it points to (git lfs pull)".to_owned()
    } else if text.starts_with(b"GGUF") {
        "found a GGUF file; open it as such".to_owned()
    } else {
        let shown = &beginning[..beginning.len().min(8)];
        format!("found a file that begins with \"{}\"; check that this is the right file", shown.escape_ascii())
    }
}

#[cfg(test)]
mod tests {
    use super::describe;

    #[test]
    fn common_mistakes_are_named() {
        assert!(describe(b"").contains("empty file"));
        assert!(describe(b"\n<!doctype html>").contains("HTML page"));
        assert!(describe(b"version https://git-lfs.github.com/spec/v1\n").contains("Git LFS"));
        assert!(describe(b"PK\x03\x04").contains(r#""PK\x03\x04""#));
    }
}
