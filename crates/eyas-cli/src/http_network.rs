//! The way out of the native shell: HTTP/1.1 without TLS, to a server on this machine. A gateway there (LiteLLM, a reverse proxy) reaches the rest.

use std::{
    future,
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    time::Duration,
};

use eyas_tier::{CloudPermit, CloudRequest, CloudResponse, LocalFuture, Network, NetworkFailure};

/// A response's head may have no more bytes than this.
const MAX_HEAD_BYTES: usize = 64 << 10;
/// A piece of a body has no more bytes than this.
const PIECE_BYTES: usize = 16 << 10;

/// Posts requests and blocks until there is something to read, at most `patience` a read.
pub struct HttpNetwork {
    /// From one byte to the next.
    pub patience: Duration,
}

impl Network for HttpNetwork {
    fn post<'a>(
        &'a self,
        _: &'a CloudPermit,
        request: CloudRequest,
    ) -> LocalFuture<'a, Result<Box<dyn CloudResponse>, NetworkFailure>> {
        Box::pin(future::ready(self.send(&request).map(|response| Box::new(response) as Box<dyn CloudResponse>)))
    }
}

impl HttpNetwork {
    fn send(&self, request: &CloudRequest) -> Result<HttpResponse, NetworkFailure> {
        let address = request.url.strip_prefix("http://").ok_or_else(|| {
            NetworkFailure(
                "the native shell has no TLS: name a server on this machine by http, such as a gateway to the one you mean"
                    .into(),
            )
        })?;
        let (host, path) = address.split_once('/').unwrap_or((address, ""));
        let with_port =
            if host.rsplit(']').next().is_some_and(|end| end.contains(':')) { host.to_owned() } else { format!("{host}:80") };
        let mut stream = TcpStream::connect(&with_port).map_err(|error| failure(&error))?;
        stream.set_read_timeout(Some(self.patience)).map_err(|error| failure(&error))?;
        let token = request.token.as_ref().map(|token| format!("authorization: Bearer {token}\r\n")).unwrap_or_default();
        let head = format!(
            "POST /{path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\naccept: text/event-stream\r\ncontent-length: {}\r\n\
             connection: close\r\n{token}\r\n",
            request.body.len()
        );
        stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&request.body)).map_err(|error| failure(&error))?;
        HttpResponse::read_head(BufReader::new(stream))
    }
}

fn failure(error: &std::io::Error) -> NetworkFailure {
    NetworkFailure(error.to_string())
}

/// How a body ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Body {
    /// After so many bytes.
    Counted(u64),
    /// In chunks; so many bytes are left of the present one.
    Chunked(u64),
    /// With the connection.
    Open,
    Over,
}

struct HttpResponse {
    reader: BufReader<TcpStream>,
    status: u16,
    headers: Vec<(String, String)>,
    body: Body,
}

impl HttpResponse {
    fn read_head(mut reader: BufReader<TcpStream>) -> Result<Self, NetworkFailure> {
        let first = read_line(&mut reader)?;
        let status = first.split(' ').nth(1).and_then(|status| status.parse().ok());
        let status = status.filter(|_| first.starts_with("HTTP/1."));
        let status = status.ok_or_else(|| NetworkFailure(format!("expected an HTTP status, found {first:?}")))?;
        let (mut headers, mut bytes) = (Vec::new(), first.len());
        loop {
            let line = read_line(&mut reader)?;
            bytes += line.len();
            if bytes > MAX_HEAD_BYTES {
                return Err(NetworkFailure(format!("the head has more than {MAX_HEAD_BYTES} bytes")));
            }
            if line.is_empty() {
                break;
            }
            if let Some((name, value)) = line.split_once(':') {
                headers.push((name.trim().to_ascii_lowercase(), value.trim().to_owned()));
            }
        }
        let mut response = Self { reader, status, headers, body: Body::Open };
        response.body = match (response.header("transfer-encoding"), response.header("content-length")) {
            (Some(coding), _) if coding.eq_ignore_ascii_case("chunked") => Body::Chunked(0),
            (_, Some(length)) => match length.parse() {
                Ok(length) => Body::Counted(length),
                Err(_) => return Err(NetworkFailure(format!("the content-length is {length:?}"))),
            },
            _ => Body::Open,
        };
        Ok(response)
    }

    /// Some bytes of the body, at most `most`; none at the connection's end.
    fn piece(&mut self, most: u64) -> Result<Vec<u8>, NetworkFailure> {
        let mut piece = vec![0; PIECE_BYTES.min(usize::try_from(most).unwrap_or(PIECE_BYTES))];
        let length = self.reader.read(&mut piece).map_err(|error| failure(&error))?;
        piece.truncate(length);
        Ok(piece)
    }

    fn next(&mut self) -> Result<Option<Vec<u8>>, NetworkFailure> {
        if let Body::Chunked(0) = self.body {
            let line = read_line(&mut self.reader)?;
            let size = line.split(';').next().unwrap_or_default().trim();
            let size = u64::from_str_radix(size, 16).map_err(|_| NetworkFailure(format!("a chunk's size is {line:?}")))?;
            self.body = if size == 0 { Body::Over } else { Body::Chunked(size) };
        }
        let left = match self.body {
            Body::Over | Body::Counted(0) => return Ok(None),
            Body::Counted(left) | Body::Chunked(left) => left,
            Body::Open => u64::MAX,
        };
        let piece = self.piece(left)?;
        let length = piece.len() as u64;
        match &mut self.body {
            Body::Open if length == 0 => self.body = Body::Over,
            Body::Open | Body::Over => {}
            Body::Counted(_) | Body::Chunked(_) if length == 0 => {
                return Err(NetworkFailure("the connection ended early".into()));
            }
            Body::Counted(left) => *left -= length,
            Body::Chunked(left) => {
                *left -= length;
                if *left == 0 {
                    read_line(&mut self.reader)?; // the end of the chunk's line
                }
            }
        }
        Ok((length > 0).then_some(piece))
    }
}

/// A line without its end.
fn read_line(reader: &mut impl BufRead) -> Result<String, NetworkFailure> {
    let mut line = Vec::new();
    let mut bounded = reader.take(MAX_HEAD_BYTES as u64);
    bounded.read_until(b'\n', &mut line).map_err(|error| failure(&error))?;
    if line.pop() != Some(b'\n') {
        return Err(NetworkFailure("the connection ended in the middle of a line".into()));
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

impl CloudResponse for HttpResponse {
    fn status(&self) -> u16 {
        self.status
    }

    fn header(&self, name: &str) -> Option<String> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone())
    }

    fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, NetworkFailure>> {
        Box::pin(future::ready(self.next()))
    }
}
