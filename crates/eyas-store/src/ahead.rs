//! What is fetched ahead of a file's reader, beside the connection that he reads from.
//!
//! Where a server, or the way to it, gives each connection a rate of its own, several are faster. [`Lanes`] tries that. Every other connection fetches a
//! part of its own behind the one at hand, and stores it at once, so that a tab that dies loses little more of it than of the rest. The reader, and the
//! file's place in the store, get all bytes in order.

use std::{
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
};

use eyas_core::{Clock, ErrorKind, LocalFuture, Result};

use crate::{
    FileRecord, Meter,
    chunk_file::{FileKind, part_names},
    connection::Connection,
    lanes::Lanes,
    part::{Failure, Part, next_start, part_end},
    shelf::Shelf,
};

/// So many parts lie ahead of the reader at most, beside the one that he is in.
const MAX_PARTS: usize = 4;

/// Where the next bytes of a file come from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The network, now.
    Network,
    /// A part that this visit fetched, where they were counted when they came.
    Part,
    /// A part that an earlier visit stored.
    OldPart,
}

/// The next bytes of a file.
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    pub(crate) origin: Origin,
}

impl Piece {
    pub(crate) fn fetched(bytes: Vec<u8>) -> Self {
        Self { bytes, origin: Origin::Network }
    }
}

/// A part, in the order of the file.
struct Ahead {
    part: Rc<Part>,
    state: State,
    /// Whether the reader is in it, so that its connection is to go on as his own.
    is_at_hand: bool,
}

enum State {
    Fetching(LocalFuture<'static, Result<Connection, Failure>>),
    /// Nothing more comes of it. What goes on behind its end, where the reader is in it.
    Still(Option<Box<Connection>>),
    /// That was not told to [`Lanes`] yet.
    Failed(Failure),
}

impl Ahead {
    fn is_running(&self) -> bool {
        matches!(self.state, State::Fetching(_)) && !self.part.is_stopped.get()
    }

    /// Whether any of it is here, or may come.
    fn is_promising(&self) -> bool {
        self.is_running() || self.part.end() > self.part.from
    }

    /// Whether nothing of it is here where the reader, at `end`, comes to it, and `connection` goes on by itself: a server may have answered that with the
    /// whole file, and not be able to begin in its middle.
    fn is_vain(&self, connection: &Connection, end: u64) -> bool {
        self.part.from <= end && self.part.end() == self.part.from && connection.goes_beyond(end)
    }

    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let State::Fetching(task) = &mut self.state else { return Poll::Ready(()) };
        task.as_mut().poll(context).map(|outcome| {
            self.state = match outcome {
                Ok(connection) => State::Still(self.is_at_hand.then(|| Box::new(connection))),
                Err(failure) => State::Failed(failure),
            };
        })
    }

    /// Why no more of it comes, where that was not told yet.
    fn take_failure(&mut self) -> Option<Failure> {
        let State::Failed(failure) = self.state else { return None };
        self.state = State::Still(None);
        Some(failure)
    }
}

/// Goes on with what is fetched ahead until `work` is done.
async fn beside<T>(aheads: impl IntoIterator<Item = &mut Ahead>, work: impl Future<Output = T>) -> T {
    let mut aheads = aheads.into_iter().collect::<Vec<_>>();
    let mut work = pin!(work);
    poll_fn(|context| {
        for ahead in &mut aheads {
            let _ = ahead.poll(context);
        }
        work.as_mut().poll(context)
    })
    .await
}

/// All parts of a file that lie ahead.
pub(crate) struct Aheads {
    shelf: Rc<Shelf>,
    record: FileRecord,
    meter: Rc<Meter>,
    clock: Rc<dyn Clock>,
    lanes: Lanes,
    queue: VecDeque<Ahead>,
    /// The part that the reader is in.
    at_hand: Option<Ahead>,
    /// Whether the connection that was there before the parts was cut short.
    has_asked_anew: bool,
    /// Where parts end that were read, and their files, which go when the file itself has their bytes.
    read: Vec<(u64, [String; 2])>,
}

impl Aheads {
    /// Goes on with what an earlier visit fetched ahead of the byte `end`. More is fetched ahead only where `may_grow`.
    pub(crate) async fn resume(
        shelf: &Rc<Shelf>,
        record: &FileRecord,
        (meter, clock): (Rc<Meter>, Rc<dyn Clock>),
        (end, may_grow): (u64, bool),
    ) -> Result<Self> {
        let mut starts = Vec::new();
        for name in shelf.files.names(&shelf.folder).await? {
            if let Some(FileKind::Part { slot, from }) = FileKind::of(&name)
                && slot == record.slot
            {
                starts.push(from);
            }
        }
        eyas_core::sort(&mut starts);
        starts.dedup();
        let mut queue = VecDeque::<Ahead>::new();
        for from in starts {
            let follows = from < record.size && queue.back().is_none_or(|ahead| ahead.part.until <= from);
            if follows && record.validator.if_range().is_some() {
                match Part::resume(shelf, record, from).await {
                    Ok(part) if part.bytes_behind(end) > 0 => {
                        queue.push_back(Ahead { part: Rc::new(part), state: State::Still(None), is_at_hand: false });
                        continue;
                    }
                    Err(error) if error.kind() == ErrorKind::Aborted => return Err(error),
                    _ => {} // what the device does not give can be fetched
                }
            }
            remove(shelf, &part_names(record.slot, from)).await?;
        }
        let (shelf, record, lanes) = (shelf.clone(), record.clone(), Lanes::new(may_grow));
        Ok(Self { shelf, record, meter, clock, lanes, queue, at_hand: None, has_asked_anew: false, read: Vec::new() })
    }

    /// What must come over the network first, where all before `end` is in the file: from where, and up to where.
    pub(crate) fn gap(&self, mut end: u64) -> (u64, Option<u64>) {
        for Ahead { part, .. } in &self.queue {
            if part.from > end {
                return (end, Some(part.from));
            }
            end = end.max(part.end());
        }
        (end, None)
    }

    /// Bytes that lie ahead of the byte `end`.
    pub(crate) fn bytes_behind(&self, end: u64) -> u64 {
        self.queue.iter().chain(&self.at_hand).map(|ahead| ahead.part.bytes_behind(end)).sum()
    }

    /// The file's next bytes behind `end`.
    pub(crate) async fn next(&mut self, connection: &mut Connection, end: u64) -> Result<Piece> {
        loop {
            self.decide(connection, end).await;
            if let Some(part) = self.at_hand.as_ref().map(|ahead| ahead.part.clone()) {
                // What has come is read before the rest is waited for.
                if let Some(bytes) = beside(self.queue.iter_mut().chain(&mut self.at_hand), part.read(end)).await? {
                    return Ok(Piece { bytes, origin: if part.is_old { Origin::OldPart } else { Origin::Part } });
                }
                match &mut self.at_hand {
                    Some(ahead) if matches!(ahead.state, State::Fetching(_)) => {
                        beside(&mut self.queue, poll_fn(|context| ahead.poll(context))).await;
                    }
                    _ => self.leave(connection, end),
                }
            } else if self.queue.front().is_some_and(|ahead| ahead.is_vain(connection, end)) {
                self.drop_first().await?;
            } else if let Some(mut ahead) = self.queue.pop_front_if(|ahead| ahead.part.from <= end) {
                if connection.position() <= end {
                    connection.seek(end); // it has given what it was asked for
                }
                ahead.part.is_stopped.set(true);
                ahead.is_at_hand = true;
                self.at_hand = Some(ahead);
            } else {
                return self.fetch(connection, end).await;
            }
        }
    }

    /// Behind the last byte that came of the part at hand: its connection goes on with the rest.
    fn leave(&mut self, connection: &mut Connection, end: u64) {
        let Some(Ahead { part, state, .. }) = self.at_hand.take() else { return };
        if let State::Still(Some(own)) = state
            && own.position() == end
            && end < part.until
        {
            *connection = own.caught_up();
        }
        self.read.push((part.until, part.names.clone()));
    }

    async fn fetch(&mut self, connection: &mut Connection, end: u64) -> Result<Piece> {
        let next = self.queue.iter().find(|ahead| ahead.is_promising()).map(|ahead| &ahead.part);
        let first = next.map(|part| part.from);
        // One that is older than the parts behind it would go on into them. It is asked anew, once, when a part shows that the server gives ranges.
        let is_shown = next.is_some_and(|part| !part.is_old && part.end() > part.from);
        let is_too_long = is_shown && !self.has_asked_anew && first.is_some_and(|from| connection.goes_beyond(from));
        if is_too_long || connection.position() != end {
            self.has_asked_anew |= is_too_long;
            connection.seek(end);
        }
        // Where no part has what is behind, one request is enough for all of that: a server may refuse the next one.
        connection.limit(first);
        self.has_asked_anew &= first.is_some();
        if self.lanes.count() > 1 {
            connection.add_others();
        }
        let piece = beside(&mut self.queue, connection.next()).await;
        if connection.is_refused() {
            self.lanes.close();
        }
        piece.map(Piece::fetched)
    }

    async fn drop_first(&mut self) -> Result<()> {
        match self.queue.pop_front() {
            Some(ahead) => remove(&self.shelf, &ahead.part.names).await,
            None => Ok(()),
        }
    }

    /// Begins parts and lets them go, as many as help.
    async fn decide(&mut self, connection: &Connection, end: u64) {
        let ahead_bytes = self.bytes_behind(end);
        self.meter.set_ahead(ahead_bytes);
        for ahead in self.queue.iter_mut().chain(&mut self.at_hand) {
            match ahead.take_failure() {
                None => {}
                Some(Failure::Broke) => self.lanes.lose(),
                Some(Failure::Refused) => self.lanes.close(),
            }
        }
        let left_bytes = self.record.size.saturating_sub(end + ahead_bytes);
        self.lanes.observe(self.clock.now_ms(), self.meter.fetched_bytes(), left_bytes);
        let mut running = self.queue.iter().filter(|ahead| ahead.is_running()).count() + 1;
        for ahead in self.queue.iter().rev().filter(|ahead| ahead.is_running()) {
            if running > self.lanes.count() {
                ahead.part.is_stopped.set(true);
                running -= 1;
            }
        }
        while running < self.lanes.count() && self.queue.len() < MAX_PARTS {
            let behind = self.queue.back().or(self.at_hand.as_ref()).map(|ahead| ahead.part.until);
            let from = behind.unwrap_or_default().max(next_start(&self.record, end));
            if from >= self.record.size {
                return;
            }
            let Some(connection) = connection.ahead(from, part_end(&self.record, from)) else { return self.lanes.close() };
            // A part that finds no room is not worth one.
            let Ok(part) = Part::begin(&self.shelf, &self.record, from).await else { return self.lanes.close() };
            let part = Rc::new(part);
            let (fetched, meter) = (part.clone(), self.meter.clone());
            let task = async move { fetched.fetch(connection, &meter).await };
            self.queue.push_back(Ahead { part, state: State::Fetching(Box::pin(task)), is_at_hand: false });
            running += 1;
        }
    }

    /// Removes the files of parts that are read, where the file itself has all bytes before `stored_bytes`.
    pub(crate) async fn tidy(&mut self, stored_bytes: u64) -> Result<()> {
        let is_done = |(until, _): &(u64, [String; 2])| *until <= stored_bytes;
        let (done, others): (Vec<_>, Vec<_>) = std::mem::take(&mut self.read).into_iter().partition(is_done);
        self.read = others;
        for (_, names) in done {
            remove(&self.shelf, &names).await?;
        }
        Ok(())
    }

    /// Gives up what lies ahead, and its room; false where there is nothing.
    pub(crate) async fn give_up(&mut self) -> Result<bool> {
        self.lanes.close();
        self.meter.set_ahead(0);
        let aheads = self.queue.drain(..).chain(self.at_hand.take());
        let mut names = aheads.map(|ahead| ahead.part.names.clone()).collect::<Vec<_>>();
        names.extend(self.read.drain(..).map(|(_, names)| names));
        for names in &names {
            remove(&self.shelf, names).await?;
        }
        Ok(!names.is_empty())
    }
}

async fn remove(shelf: &Shelf, names: &[String; 2]) -> Result<()> {
    for name in names {
        shelf.files.remove(&shelf.folder, Some(name)).await?;
    }
    Ok(())
}
