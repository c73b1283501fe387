//! Where the cloud is: one address whose origin is allowed.

use eyas_core::{Error, Result};

/// The checked address of an OpenAI-compatible server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    origin: String,
    url: String,
}

const PATH: &str = "/chat/completions";

impl Endpoint {
    /// Checks `endpoint`, e.g. `https://host/v1`. It must be https, or http on the loopback; without user, query or fragment; and its
    /// origin must be in `allowed_origins` unless that is empty. Fails with `bad-input`.
    pub fn parse(endpoint: &str, allowed_origins: &[String]) -> Result<Self> {
        let bad = |what: &str| Error::bad_input(format!("cloud.endpoint {what}; expected an address like https://host/v1"));
        if !endpoint.is_ascii() || endpoint.bytes().any(|byte| byte <= b' ' || byte == 0x7f || b"\\\"<>^`{|}".contains(&byte)) {
            return Err(bad("has a character that no address has"));
        }
        if endpoint.contains(['?', '#', '@']) {
            return Err(bad("must have no user, query or fragment"));
        }
        let origin = origin(endpoint).ok_or_else(|| bad("must begin with https://"))?;
        let host = host(&origin);
        if !origin.starts_with("https://") && !is_loopback(host) {
            return Err(bad("must be https, since http is only allowed to this very machine (localhost)"));
        }
        let allowed = allowed_origins.iter().map(|allowed| self::origin(allowed).unwrap_or_else(|| allowed.clone()));
        if !allowed_origins.is_empty() && !allowed.into_iter().any(|allowed| allowed == origin) {
            return Err(Error::bad_input(format!("cloud.endpoint is at {origin}, which is not in cloud.allowedOrigins")));
        }
        let scheme = endpoint.find("://").map_or(0, |at| at + 3);
        let path_at = endpoint[scheme..].find('/').map_or(endpoint.len(), |at| at + scheme);
        let path = endpoint[path_at..].trim_end_matches('/');
        let url = format!("{origin}{path}{}", if path.ends_with(PATH) { "" } else { PATH });
        Ok(Self { origin, url })
    }

    /// Scheme, host and port.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// Where requests are posted.
    pub fn url(&self) -> &str {
        &self.url
    }
}

/// The origin of an http or https address in its usual form (lower case, no default port).
pub fn origin(url: &str) -> Option<String> {
    let (scheme, rest) = url.split_once("://")?;
    let scheme = scheme.to_ascii_lowercase();
    let default_port = match scheme.as_str() {
        "https" => ":443",
        "http" => ":80",
        _ => return None,
    };
    let authority = rest.split(['/', '?', '#']).next()?.to_ascii_lowercase();
    let authority = authority.strip_suffix(default_port).unwrap_or(&authority);
    let port_at = authority.rfind(':').filter(|at| !authority[*at..].contains(']'));
    let (name, port) = authority.split_at(port_at.unwrap_or(authority.len()));
    let port_is_good = port.is_empty() || port[1..].parse::<u16>().is_ok_and(|port| port > 0);
    let name_is_good =
        !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-[:]".contains(&byte) || byte == b'_');
    (port_is_good && name_is_good && !authority.contains('@')).then(|| format!("{scheme}://{authority}"))
}

fn host(origin: &str) -> &str {
    let authority = origin.split_once("://").map_or(origin, |(_, authority)| authority);
    match authority.rfind(':').filter(|at| !authority[*at..].contains(']')) {
        Some(port_at) => &authority[..port_at],
        None => authority,
    }
}

fn is_loopback(host: &str) -> bool {
    let parts: Vec<_> = host.split('.').collect();
    let is_v4 = parts.len() == 4 && parts[0] == "127" && parts.iter().all(|part| part.parse::<u8>().is_ok());
    host == "localhost" || host.ends_with(".localhost") || host == "[::1]" || is_v4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn good_addresses_have_an_origin_and_a_path() {
        for (endpoint, origin, url) in [
            ("https://host/v1", "https://host", "https://host/v1/chat/completions"),
            ("https://HOST:443/v1/", "https://host", "https://host/v1/chat/completions"),
            ("http://localhost:4000", "http://localhost:4000", "http://localhost:4000/chat/completions"),
            ("http://127.0.0.1:1/v1/chat/completions", "http://127.0.0.1:1", "http://127.0.0.1:1/v1/chat/completions"),
            ("http://[::1]:8080/v1", "http://[::1]:8080", "http://[::1]:8080/v1/chat/completions"),
        ] {
            let parsed = Endpoint::parse(endpoint, &[]).unwrap();
            assert_eq!((parsed.origin(), parsed.url()), (origin, url));
        }
    }

    #[test]
    fn everything_else_is_refused() {
        for endpoint in [
            "http://host/v1",
            "ftp://host",
            "//host",
            "https://",
            "https://user@host/v1",
            "https://host/v1?key=x",
            "https://host/v1#x",
            "https://ho st/v1",
            "https://host:99999/v1",
            "https://host\\evil/v1",
            "http://127.0.0.1.evil.example/v1",
            "http://127.evil.example.org/v1",
            "http://localhost.evil.example/v1",
            "https://hóst/v1",
        ] {
            assert_eq!(Endpoint::parse(endpoint, &[]).unwrap_err().code(), "bad-input", "{endpoint}");
        }
    }

    #[test]
    fn an_allowlist_holds() {
        let allowed = ["https://host:443".to_owned()];
        assert!(Endpoint::parse("https://host/v1", &allowed).is_ok());
        assert!(Endpoint::parse("https://host:8443/v1", &allowed).unwrap_err().detail().contains("allowedOrigins"));
        assert!(Endpoint::parse("https://other/v1", &allowed).is_err());
    }
}
