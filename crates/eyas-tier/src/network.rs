//! The network, as the shell gives it, and the one gate that leads to it.

use std::rc::Rc;

use crate::{CloudPermit, EgressLedger, LocalFuture, egress_ledger::EgressEntry, endpoint};

/// A POST that is to leave.
#[derive(Debug, Clone)]
pub struct CloudRequest {
    /// The address; its origin is the permit's.
    pub url: String,
    /// The bearer token, if there is one.
    pub token: Option<String>,
    /// The JSON body.
    pub body: Vec<u8>,
}

/// A network that failed, in words. It carries nothing of what was sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkFailure(pub String);

/// What came back: the head at once, the body in chunks. Dropping it closes the connection.
pub trait CloudResponse {
    /// The status.
    fn status(&self) -> u16;
    /// A header by its lower-case name. Across origins, a browser shows only what the server exposes.
    fn header(&self, name: &str) -> Option<String>;
    /// The next bytes; none at the end.
    fn chunk(&mut self) -> LocalFuture<'_, Result<Option<Vec<u8>>, NetworkFailure>>;
}

/// Sends requests: without credentials, without a referrer, and failing on a redirect.
pub trait Network {
    /// Posts a request. The permit is the leave to do so; only [`CloudPermit::grant`] makes one. Dropping the future gives the request up: its
    /// connection has to be ended then, so that no attempt runs beside the next one.
    fn post<'a>(
        &'a self,
        permit: &'a CloudPermit,
        request: CloudRequest,
    ) -> LocalFuture<'a, Result<Box<dyn CloudResponse>, NetworkFailure>>;
}

/// The only caller of [`Network::post`]: it writes the ledger first.
pub(crate) struct Gate {
    pub(crate) network: Rc<dyn Network>,
    pub(crate) ledger: Rc<EgressLedger>,
}

impl Gate {
    /// Writes `entry` and posts the request, where the permit is for its origin. With the answer comes the entry's id.
    pub(crate) async fn post(
        &self,
        permit: &CloudPermit,
        request: CloudRequest,
        mut entry: EgressEntry,
    ) -> Result<(u64, Box<dyn CloudResponse>), NetworkFailure> {
        if endpoint::origin(&request.url).as_deref() != Some(permit.origin()) {
            return Err(NetworkFailure("the permit is for another origin".into()));
        }
        entry.origin = permit.origin().to_owned();
        entry.bytes = request.body.len() as u64;
        // Given up before the answer: the entry's outcome stays open no longer.
        let mut open = OpenEntry { ledger: &self.ledger, id: self.ledger.write(entry), status: None };
        let answer = self.network.post(permit, request).await?;
        open.status = Some(answer.status());
        Ok((open.id, answer))
    }
}

struct OpenEntry<'a> {
    ledger: &'a EgressLedger,
    id: u64,
    status: Option<u16>,
}

impl Drop for OpenEntry<'_> {
    fn drop(&mut self) {
        self.ledger.settle(self.id, self.status);
    }
}
