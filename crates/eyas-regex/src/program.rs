//! A pattern as a list of instructions for the matcher.

use crate::{
    Error,
    char_set::CharSet,
    syntax::{Assertion, Node},
};

/// More instructions than a pattern may have.
const MAX_INSTRUCTIONS: usize = 1 << 16;

/// A set that is quick to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Class {
    ascii: u128,
    set: CharSet,
}

impl Class {
    fn new(set: CharSet) -> Self {
        Self { ascii: set.ascii_bits(), set }
    }

    pub(crate) fn contains(&self, c: char) -> bool {
        if c.is_ascii() { self.ascii >> (c as u32) & 1 == 1 } else { self.set.contains(c as u32) }
    }
}

/// What takes one character.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taker {
    Char(char),
    /// The number of a class.
    Class(usize),
}

/// One instruction. `behind` means that the text is read towards its start.
#[derive(Debug, Clone)]
pub(crate) enum Instruction {
    /// Takes one character.
    Take { taker: Taker, behind: bool },
    /// Takes as many characters as it can, at least `min` and at most `max`, and gives them back one by one unless `atomic`.
    TakeMany { taker: Taker, behind: bool, min: u32, max: u32, atomic: bool },
    /// Continues with the next instruction; if that fails, with `other`.
    Split { other: usize },
    /// Continues with `other`; if that fails, with the next instruction.
    SplitAway { other: usize },
    /// Continues elsewhere.
    Jump { to: usize },
    /// Fails where the condition is not met.
    Assert(Assertion),
    /// Remembers where a round of a loop begins.
    EnterRound { register: usize },
    /// Leaves the loop, to `out`, if the round took nothing.
    LeaveIfIdle { register: usize, out: usize },
    /// Runs what follows up to its [`Instruction::Accept`] for itself, then continues at `after`: where it ended if `keep`, else where
    /// it began.
    Alone { after: usize, negative: bool, keep: bool },
    /// All is matched.
    Accept,
}

/// A compiled pattern.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) instructions: Vec<Instruction>,
    pub(crate) classes: Vec<Class>,
    pub(crate) registers: usize,
    /// Asked at word boundaries.
    pub(crate) word: Option<Class>,
}

impl Program {
    /// Compiles a tree.
    pub(crate) fn new(node: &Node) -> Result<Self, Error> {
        let mut program = Self { instructions: Vec::new(), classes: Vec::new(), registers: 0, word: None };
        program.add(node, false)?;
        program.push(Instruction::Accept)?;
        Ok(program)
    }

    fn push(&mut self, instruction: Instruction) -> Result<usize, Error> {
        if self.instructions.len() >= MAX_INSTRUCTIONS {
            return Err(Error::search("the pattern is too large"));
        }
        self.instructions.push(instruction);
        Ok(self.instructions.len() - 1)
    }

    fn next(&self) -> usize {
        self.instructions.len()
    }

    /// Sets the target of an instruction that was pushed before its target was known.
    fn point(&mut self, instruction: usize, target: usize) {
        match self.instructions.get_mut(instruction) {
            Some(Instruction::Split { other } | Instruction::SplitAway { other }) => *other = target,
            Some(Instruction::Jump { to }) => *to = target,
            Some(Instruction::LeaveIfIdle { out, .. }) => *out = target,
            Some(Instruction::Alone { after, .. }) => *after = target,
            _ => {}
        }
    }

    fn add(&mut self, node: &Node, behind: bool) -> Result<(), Error> {
        match node {
            Node::Empty => {}
            Node::Char(_) | Node::Set(_) => {
                if let Some(taker) = self.taker(node) {
                    self.push(Instruction::Take { taker, behind })?;
                }
            }
            Node::Assert(assertion) => {
                if self.word.is_none() && !matches!(assertion, Assertion::TextStart | Assertion::TextEnd) {
                    self.word = Some(Class::new(crate::unicode::word()));
                }
                self.push(Instruction::Assert(*assertion))?;
            }
            Node::Concat(nodes) if behind => nodes.iter().rev().try_for_each(|node| self.add(node, behind))?,
            Node::Concat(nodes) => nodes.iter().try_for_each(|node| self.add(node, behind))?,
            Node::Alternatives(nodes) => {
                let mut ends = Vec::new();
                for (index, node) in nodes.iter().enumerate() {
                    if index + 1 == nodes.len() {
                        self.add(node, behind)?;
                        break;
                    }
                    let split = self.push(Instruction::Split { other: 0 })?;
                    self.add(node, behind)?;
                    ends.push(self.push(Instruction::Jump { to: 0 })?);
                    self.point(split, self.next());
                }
                for end in ends {
                    self.point(end, self.next());
                }
            }
            Node::Repeat { child, min, max, greedy } => self.repeat(child, *min, *max, *greedy, behind)?,
            Node::Atomic(child) => {
                if let Node::Repeat { child, min, max, greedy: true } = &**child
                    && let Some(taker) = self.taker(child)
                {
                    self.push(Instruction::TakeMany { taker, behind, min: *min, max: *max, atomic: true })?;
                } else {
                    self.alone(child, false, true, behind)?;
                }
            }
            Node::Look { child, negative, behind } => self.alone(child, *negative, false, *behind)?,
        }
        Ok(())
    }

    fn alone(&mut self, child: &Node, negative: bool, keep: bool, behind: bool) -> Result<(), Error> {
        let alone = self.push(Instruction::Alone { after: 0, negative, keep })?;
        self.add(child, behind)?;
        self.push(Instruction::Accept)?;
        self.point(alone, self.next());
        Ok(())
    }

    fn taker(&mut self, node: &Node) -> Option<Taker> {
        match node {
            Node::Char(c) => Some(Taker::Char(*c)),
            Node::Set(set) => {
                let class = Class::new(set.clone());
                let known = self.classes.iter().position(|known| *known == class);
                Some(Taker::Class(known.unwrap_or_else(|| {
                    self.classes.push(class);
                    self.classes.len() - 1
                })))
            }
            _ => None,
        }
    }

    fn repeat(&mut self, child: &Node, min: u32, max: u32, greedy: bool, behind: bool) -> Result<(), Error> {
        if greedy && let Some(taker) = self.taker(child) {
            self.push(Instruction::TakeMany { taker, behind, min, max, atomic: false })?;
            return Ok(());
        }
        let unbounded = max == u32::MAX;
        // With one round at least, the last of these is the loop's own.
        let is_loop_first = unbounded && min > 0 && !can_be_empty(child);
        for _ in 0..if is_loop_first { min - 1 } else { min } {
            self.add(child, behind)?;
        }
        let split = |other| if greedy { Instruction::Split { other } } else { Instruction::SplitAway { other } };
        if is_loop_first {
            let start = self.next();
            self.add(child, behind)?;
            // Again, or on: the other way round than at a loop's head.
            self.push(if greedy { Instruction::SplitAway { other: start } } else { Instruction::Split { other: start } })?;
        } else if unbounded {
            let head = self.push(split(0))?;
            if can_be_empty(child) {
                let register = self.registers;
                self.registers += 1;
                self.push(Instruction::EnterRound { register })?;
                self.add(child, behind)?;
                let idle = self.push(Instruction::LeaveIfIdle { register, out: 0 })?;
                self.push(Instruction::Jump { to: head })?;
                self.point(idle, self.next());
            } else {
                self.add(child, behind)?;
                self.push(Instruction::Jump { to: head })?;
            }
            self.point(head, self.next());
        } else {
            let mut splits = Vec::new();
            for _ in min..max {
                splits.push(self.push(split(0))?);
                self.add(child, behind)?;
            }
            for split in splits {
                self.point(split, self.next());
            }
        }
        Ok(())
    }
}

/// Whether a node can match without taking a character.
fn can_be_empty(node: &Node) -> bool {
    match node {
        Node::Empty | Node::Assert(_) | Node::Look { .. } => true,
        Node::Char(_) | Node::Set(_) => false,
        Node::Concat(nodes) => nodes.iter().all(can_be_empty),
        Node::Alternatives(nodes) => nodes.iter().any(can_be_empty),
        Node::Repeat { child, min, .. } => *min == 0 || can_be_empty(child),
        Node::Atomic(child) => can_be_empty(child),
    }
}
