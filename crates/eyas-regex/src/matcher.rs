//! Runs a program over a text, by trying and going back.
//!
//! The first alternative that leads to a match wins, as in Perl. A search that takes many steps begins anew and remembers which
//! instruction has failed at which place, so that no pattern takes exponential time; after still more it is given up.

use std::collections::BTreeSet;

use crate::{
    Error,
    program::{Instruction, Program, Taker},
    syntax::Assertion,
};

/// Steps of one search before it remembers failures, and as many for each byte of the text.
const PATIENCE: (usize, usize) = (100_000, 16);
/// Steps of one search with memory, likewise.
const MAX_STEPS: (usize, usize) = (1_000_000, 64);

/// What to go back to.
#[derive(Debug)]
enum Retreat {
    /// Continue there.
    To { instruction: usize, at: usize },
    /// Give back one character of those between `kept` and `at`, then continue there.
    GiveBack { instruction: usize, kept: usize, at: usize, behind: bool },
    /// Restore a register, and go back further.
    Register { register: usize, value: usize },
}

/// The state of searches in one text.
#[derive(Debug)]
pub(crate) struct Matcher<'p, 't> {
    program: &'p Program,
    text: &'t str,
    retreats: Vec<Retreat>,
    registers: Vec<usize>,
    steps: usize,
    /// Instructions, places and stand-alone runs that were seen; they have failed if they are met again.
    seen: Option<BTreeSet<(usize, usize, u32)>>,
    runs: u32,
}

impl<'p, 't> Matcher<'p, 't> {
    pub(crate) fn new(program: &'p Program, text: &'t str) -> Self {
        let registers = vec![usize::MAX; program.registers];
        Self { program, text, retreats: Vec::new(), registers, steps: 0, seen: None, runs: 0 }
    }

    pub(crate) fn text(&self) -> &'t str {
        self.text
    }

    /// The leftmost match that begins at `from` or later: its start and end.
    pub(crate) fn find(&mut self, from: usize) -> Result<Option<(usize, usize)>, Error> {
        (self.steps, self.seen) = (0, None);
        let mut start = from;
        loop {
            self.runs += 1;
            match self.run(0, start) {
                Some(end) => return Ok(Some((start, end))),
                None if self.is_exhausted() && self.seen.is_none() => {
                    (self.steps, self.seen) = (0, Some(BTreeSet::new()));
                }
                None if self.is_exhausted() => return Err(Error::search("a search takes too long")),
                None => match char_at(self.text, start) {
                    Some(c) => start += c.len_utf8(),
                    None => return Ok(None),
                },
            }
        }
    }

    fn is_exhausted(&self) -> bool {
        let (fixed, each) = if self.seen.is_some() { MAX_STEPS } else { PATIENCE };
        self.steps > fixed + each * self.text.len()
    }

    /// Runs the program from an instruction at a place to an [`Instruction::Accept`]. `None` if that fails, or if steps are exhausted.
    fn run(&mut self, mut pc: usize, mut at: usize) -> Option<usize> {
        let (base, run) = (self.retreats.len(), self.runs);
        loop {
            self.steps += 1;
            if self.is_exhausted() {
                self.retreats.truncate(base);
                return None;
            }
            let next = match &self.program.instructions.get(pc)? {
                Instruction::Accept => {
                    self.retreats.truncate(base);
                    return Some(at);
                }
                Instruction::Take { taker, behind } => self.take(*taker, at, *behind).map(|at| (pc + 1, at)),
                Instruction::TakeMany { taker, behind, min, max, atomic } => {
                    if self.is_new(pc, at, run) {
                        self.take_many(*taker, at, *behind, *min, *max, *atomic, pc)
                    } else {
                        None
                    }
                }
                Instruction::Split { other } => self.split(pc, at, run, *other).then_some((pc + 1, at)),
                Instruction::SplitAway { other } => self.split(pc, at, run, pc + 1).then_some((*other, at)),
                Instruction::Jump { to } => Some((*to, at)),
                Instruction::Assert(assertion) => self.holds(*assertion, at).then_some((pc + 1, at)),
                Instruction::EnterRound { register } => {
                    if let Some(slot) = self.registers.get_mut(*register) {
                        self.retreats.push(Retreat::Register { register: *register, value: *slot });
                        *slot = at;
                    }
                    Some((pc + 1, at))
                }
                Instruction::LeaveIfIdle { register, out } => {
                    Some((if self.registers.get(*register) == Some(&at) { *out } else { pc + 1 }, at))
                }
                Instruction::Alone { after, negative, keep } => {
                    self.runs += 1;
                    let end = self.run(pc + 1, at);
                    if self.is_exhausted() {
                        self.retreats.truncate(base);
                        return None;
                    }
                    match end {
                        Some(end) if *keep => Some((*after, end)),
                        end => (end.is_some() != *negative).then_some((*after, at)),
                    }
                }
            };
            (pc, at) = match next {
                Some(next) => next,
                None => self.retreat(base)?,
            };
        }
    }

    /// Whether a run has not been here before, as far as it remembers.
    fn is_new(&mut self, pc: usize, at: usize, run: u32) -> bool {
        self.seen.as_mut().is_none_or(|seen| seen.insert((pc, at, run)))
    }

    fn split(&mut self, pc: usize, at: usize, run: u32, other: usize) -> bool {
        let is_new = self.is_new(pc, at, run);
        if is_new {
            self.retreats.push(Retreat::To { instruction: other, at });
        }
        is_new
    }

    /// Goes back to the last choice of this run.
    fn retreat(&mut self, base: usize) -> Option<(usize, usize)> {
        while self.retreats.len() > base {
            match self.retreats.pop()? {
                Retreat::To { instruction, at } => return Some((instruction, at)),
                Retreat::GiveBack { instruction, kept, at, behind } => {
                    let at = self.step(at, !behind).map_or(kept, |(_, at)| at);
                    if at != kept {
                        self.retreats.push(Retreat::GiveBack { instruction, kept, at, behind });
                    }
                    return Some((instruction, at));
                }
                Retreat::Register { register, value } => {
                    if let Some(slot) = self.registers.get_mut(register) {
                        *slot = value;
                    }
                }
            }
        }
        None
    }

    /// The next character in a direction, and the place behind it.
    fn step(&self, at: usize, behind: bool) -> Option<(char, usize)> {
        if behind {
            char_before(self.text, at).map(|c| (c, at - c.len_utf8()))
        } else {
            char_at(self.text, at).map(|c| (c, at + c.len_utf8()))
        }
    }

    fn take(&self, taker: Taker, at: usize, behind: bool) -> Option<usize> {
        let (c, next) = self.step(at, behind)?;
        let is_taken = match taker {
            Taker::Char(wanted) => c == wanted,
            Taker::Class(class) => self.program.classes.get(class).is_some_and(|class| class.contains(c)),
        };
        is_taken.then_some(next)
    }

    #[allow(clippy::too_many_arguments)] // the fields of one instruction
    fn take_many(
        &mut self,
        taker: Taker,
        mut at: usize,
        behind: bool,
        min: u32,
        max: u32,
        atomic: bool,
        pc: usize,
    ) -> Option<(usize, usize)> {
        let (mut count, mut kept) = (0, at);
        while count < max {
            let Some(next) = self.take(taker, at, behind) else { break };
            at = next;
            count += 1;
            if count == min {
                kept = at;
            }
        }
        self.steps = self.steps.saturating_add(count as usize / 16);
        if count < min {
            return None;
        }
        if !atomic && kept != at {
            self.retreats.push(Retreat::GiveBack { instruction: pc + 1, kept, at, behind });
        }
        Some((pc + 1, at))
    }

    fn holds(&self, assertion: Assertion, at: usize) -> bool {
        let (before, after) = (char_before(self.text, at), char_at(self.text, at));
        let is_word = |c: Option<char>| c.is_some_and(|c| self.program.word.as_ref().is_some_and(|word| word.contains(c)));
        match assertion {
            Assertion::TextStart => at == 0,
            Assertion::TextEnd => at == self.text.len(),
            Assertion::LineStart => before.is_none_or(|c| c == '\n'),
            Assertion::LineEnd => after.is_none_or(|c| c == '\n'),
            Assertion::WordBoundary => is_word(before) != is_word(after),
            Assertion::NotWordBoundary => is_word(before) == is_word(after),
            Assertion::WordStart => !is_word(before) && is_word(after),
            Assertion::WordEnd => is_word(before) && !is_word(after),
        }
    }
}

fn char_at(text: &str, at: usize) -> Option<char> {
    text.get(at..)?.chars().next()
}

fn char_before(text: &str, at: usize) -> Option<char> {
    text.get(..at)?.chars().next_back()
}
