//! What is fetched ahead of a file's reader, beside the connection that he reads from.
//!
//! Where a server, or the way to it, gives each connection a rate of its own, several are faster. [`Lanes`] tries that. Every other connection fetches a
//! part of its own behind the one at hand, and stores it at once, so that a tab that dies loses little more of it than of the rest. The reader, and the
//! file's place in the store, get all bytes in order.

use std::{
    cell::Cell,
    collections::VecDeque,
    future::{Future, poll_fn},
    pin::pin,
    rc::Rc,
    task::{Context, Poll},
};

use eyas_core::{Clock, LocalFuture, Result};

use crate::{
    FileRecord, Meter,
    chunk_file::{FileKind, part_names},
    connection::Connection,
    lanes::Lanes,
    part::{Part, next_start, part_end},
    shelf::Shelf,
};

/// So many parts lie ahead of the reader at most.
const MAX_PARTS: usize = 4;

/// The next bytes of a file.
pub(crate) struct Piece {
    pub(crate) bytes: Vec<u8>,
    /// How many of them came over the network now: none where they lay ahead.
    pub(crate) fetched_bytes: usize,
}

impl Piece {
    pub(crate) fn fetched(bytes: Vec<u8>) -> Self {
        Self { fetched_bytes: bytes.len(), bytes }
    }
}

/// A part, in the order of the file.
struct Ahead {
    from: u64,
    until: u64,
    /// Whether it is from an earlier visit.
    is_old: bool,
    /// Bytes of it that have come.
    come: Rc<Cell<u64>>,
    stop: Rc<Cell<bool>>,
    state: State,
}

enum State {
    Fetching(LocalFuture<'static, Box<Part>>),
    /// Nothing more comes of it.
    Still(Box<Part>),
}

impl Ahead {
    fn still(part: Part) -> Self {
        let come = Rc::new(Cell::new(part.end() - part.from));
        Self { from: part.from, until: part.until, is_old: true, come, stop: Rc::default(), state: State::Still(Box::new(part)) }
    }

    fn is_running(&self) -> bool {
        matches!(self.state, State::Fetching(_)) && !self.stop.get()
    }

    fn has_failed(&self) -> bool {
        matches!(&self.state, State::Still(part) if part.has_failed)
    }

    /// Whether nothing of it is here where the reader, at `end`, comes to it, and `connection` goes on by itself: a server may have answered that with the
    /// whole file, and not be able to begin in its middle.
    fn is_vain(&self, connection: &Connection, end: u64) -> bool {
        self.from <= end && self.come.get() == 0 && connection.goes_beyond(end)
    }

    fn poll(&mut self, context: &mut Context<'_>) {
        if let State::Fetching(task) = &mut self.state
            && let Poll::Ready(mut part) = task.as_mut().poll(context)
        {
            part.connection = None;
            self.state = State::Still(part);
        }
    }

    /// Its part as it is, with the connection that goes on with it.
    async fn join(self) -> Box<Part> {
        self.stop.set(true);
        match self.state {
            State::Fetching(task) => task.await,
            State::Still(part) => part,
        }
    }
}

/// Goes on with what is fetched ahead until `work` is done.
async fn beside<T>(aheads: &mut VecDeque<Ahead>, work: impl Future<Output = T>) -> T {
    let mut work = pin!(work);
    poll_fn(|context| {
        for ahead in aheads.iter_mut() {
            ahead.poll(context);
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
    at_hand: Option<Box<Part>>,
    /// Whether the connection that was there before any part was cut short.
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
        starts.sort_unstable();
        starts.dedup();
        let mut queue = VecDeque::<Ahead>::new();
        for from in starts {
            let follows = from < record.size && queue.back().is_none_or(|ahead| ahead.until <= from);
            if follows && record.validator.if_range().is_some() {
                let part = Part::resume(shelf, record, from).await?;
                if part.end() > end.max(from) {
                    queue.push_back(Ahead::still(part));
                    continue;
                }
            }
            remove(shelf, &part_names(record.slot, from)).await?;
        }
        let (shelf, record, lanes) = (shelf.clone(), record.clone(), Lanes::new(may_grow));
        Ok(Self { shelf, record, meter, clock, lanes, queue, at_hand: None, has_asked_anew: false, read: Vec::new() })
    }

    /// What must come over the network first, where all before `end` is in the file: from where, and up to where.
    pub(crate) fn gap(&self, mut end: u64) -> (u64, Option<u64>) {
        for ahead in &self.queue {
            if ahead.from > end {
                return (end, Some(ahead.from));
            }
            end = end.max(ahead.from + ahead.come.get());
        }
        (end, None)
    }

    /// The file's next bytes behind `end`.
    pub(crate) async fn next(&mut self, connection: &mut Connection, end: u64) -> Result<Piece> {
        loop {
            self.decide(connection, end).await;
            if let Some(part) = &self.at_hand {
                if let Some(bytes) = beside(&mut self.queue, part.read(end)).await? {
                    return Ok(Piece { bytes, fetched_bytes: 0 });
                }
                self.leave(connection, end);
            } else if self.queue.front().is_some_and(|ahead| ahead.is_vain(connection, end)) {
                self.drop_first().await?;
            } else if let Some(ahead) = self.queue.pop_front_if(|ahead| ahead.from <= end) {
                if connection.position() <= end {
                    connection.seek(end); // it has given what it was asked for
                }
                self.at_hand = Some(beside(&mut self.queue, ahead.join()).await);
            } else {
                return self.fetch(connection, end).await;
            }
        }
    }

    /// Behind the last byte that came of the part at hand: its connection goes on with the rest.
    fn leave(&mut self, connection: &mut Connection, end: u64) {
        let Some(part) = self.at_hand.take() else { return };
        if let Some(own) = part.connection.filter(|own| own.position() == end && end < part.until) {
            *connection = own.caught_up();
        }
        self.read.push((part.until, part.names));
    }

    async fn fetch(&mut self, connection: &mut Connection, end: u64) -> Result<Piece> {
        let first = self.queue.front().map(|ahead| ahead.from);
        // One that is older than the part behind it would go on into that. It is asked anew, once, when the part shows that the server gives ranges.
        let is_shown = self.queue.front().is_some_and(|ahead| !ahead.is_old && ahead.come.get() > 0);
        let is_too_long = is_shown && !self.has_asked_anew && first.is_some_and(|from| connection.goes_beyond(from));
        if is_too_long || connection.position() != end {
            self.has_asked_anew |= is_too_long;
            connection.seek(end);
        }
        let has_others = self.lanes.count() > 1;
        let own_end = has_others.then(|| part_end(&self.record, end)).filter(|end| *end < self.record.size);
        connection.limit(first.or(own_end));
        beside(&mut self.queue, connection.next()).await.map(Piece::fetched)
    }

    async fn drop_first(&mut self) -> Result<()> {
        match self.queue.pop_front() {
            Some(ahead) => remove(&self.shelf, &part_names(self.record.slot, ahead.from)).await,
            None => Ok(()),
        }
    }

    /// Begins parts and lets them go, as many as help.
    async fn decide(&mut self, connection: &Connection, end: u64) {
        let ahead_bytes = self.queue.iter().map(|ahead| ahead.come.get()).sum::<u64>()
            + self.at_hand.as_ref().map_or(0, |part| part.end().saturating_sub(end));
        self.meter.set_ahead(ahead_bytes);
        if self.queue.iter().any(Ahead::has_failed) || self.at_hand.as_ref().is_some_and(|part| part.has_failed) {
            self.lanes.close();
        }
        let left_bytes = self.record.size.saturating_sub(end + ahead_bytes);
        self.lanes.observe(self.clock.now_ms(), self.meter.fetched_bytes(), left_bytes);
        let mut running = self.queue.iter().filter(|ahead| ahead.is_running()).count() + 1;
        for ahead in self.queue.iter().rev().filter(|ahead| ahead.is_running()) {
            if running > self.lanes.count() {
                ahead.stop.set(true);
                running -= 1;
            }
        }
        while running < self.lanes.count() && self.queue.len() < MAX_PARTS {
            let behind = self.queue.back().map(|ahead| ahead.until).max(self.at_hand.as_ref().map(|part| part.until));
            let from = behind.unwrap_or_default().max(next_start(&self.record, end));
            if from >= self.record.size {
                return;
            }
            let Some(connection) = connection.ahead(from, part_end(&self.record, from)) else { return self.lanes.close() };
            // A part that finds no room is not worth one.
            let Ok(mut part) = Part::begin(&self.shelf, &self.record, connection).await else { return self.lanes.close() };
            let (until, stop, come) = (part.until, Rc::<Cell<bool>>::default(), Rc::<Cell<u64>>::default());
            let (meter, signs) = (self.meter.clone(), (stop.clone(), come.clone()));
            let task = async move {
                part.fetch(&meter, signs).await;
                Box::new(part)
            };
            self.queue.push_back(Ahead { from, until, is_old: false, come, stop, state: State::Fetching(Box::pin(task)) });
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
        let mut names = self.queue.drain(..).map(|ahead| part_names(self.record.slot, ahead.from)).collect::<Vec<_>>();
        names.extend(self.at_hand.take().map(|part| part.names));
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
