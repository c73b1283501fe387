//! What a local-only turn put into a session stays there.

use std::collections::{BTreeMap, BTreeSet};

use eyas_core::{Message, Role};

/// Messages of one session that are kept in mind; beyond that, the session counts as tainted as a whole.
const MOST: usize = 1 << 16;

/// Marks of the messages of one session that must not leave.
#[derive(Debug, Clone, Default)]
struct Marks {
    messages: BTreeSet<u64>,
    /// Messages of requests that could leave: a later local-only request of the same session does not make them secret.
    open: BTreeSet<u64>,
    everything: bool,
}

/// The taints of all sessions. A session whose number is reused without [`Taints::forget`] keeps its taint: it fails closed.
#[derive(Debug, Default)]
pub struct Taints {
    sessions: BTreeMap<u32, Marks>,
}

impl Taints {
    /// Marks `messages` of a session, for good.
    pub fn mark<'a>(&mut self, session: u32, messages: impl IntoIterator<Item = &'a Message>) {
        let marks = self.sessions.entry(session).or_default();
        marks.messages.extend(messages.into_iter().map(fingerprint));
        if marks.messages.len() > MOST {
            *marks = Marks { everything: true, ..Marks::default() };
        }
    }

    /// Marks those of `messages` that no request that could leave has had before.
    pub fn mark_new(&mut self, session: u32, messages: &[Message]) {
        let marks = self.sessions.entry(session).or_default();
        let new: Vec<_> = messages.iter().filter(|message| !marks.open.contains(&fingerprint(message))).collect();
        self.mark(session, new);
    }

    /// Remembers messages of a request that could leave.
    pub fn mark_open(&mut self, session: u32, messages: &[Message]) {
        let marks = self.sessions.entry(session).or_default();
        if marks.open.len() < MOST {
            marks.open.extend(messages.iter().map(fingerprint));
        }
    }

    /// Marks a session as a whole: text without messages can't be told apart.
    pub fn mark_everything(&mut self, session: u32) {
        self.sessions.entry(session).or_default().everything = true;
    }

    /// Whether a message of this session must not leave.
    pub fn holds(&self, session: u32, message: &Message) -> bool {
        self.sessions.get(&session).is_some_and(|marks| marks.everything || marks.messages.contains(&fingerprint(message)))
    }

    /// Whether anything at all of this session must not leave.
    pub fn is_tainted(&self, session: u32) -> bool {
        self.sessions.get(&session).is_some_and(|marks| marks.everything || !marks.messages.is_empty())
    }

    /// A fork knows what its origin knows.
    pub fn fork(&mut self, from: u32, to: u32) {
        if let Some(marks) = self.sessions.get(&from).cloned() {
            self.sessions.insert(to, marks);
        }
    }

    /// The session is gone, with all that was said in it.
    pub fn forget(&mut self, session: u32) {
        self.sessions.remove(&session);
    }
}

/// FNV-1a over role and text. A collision keeps a message at home that might have left, never the other way round.
fn fingerprint(message: &Message) -> u64 {
    let role = match message.role {
        Role::System => 0_u8,
        Role::User => 1,
        Role::Assistant => 2,
        Role::Tool => 3,
    };
    let text = message.content.as_deref().unwrap_or_default().trim();
    let bytes = std::iter::once(role).chain(text.bytes());
    bytes.fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forks_keep_the_taint_and_other_sessions_have_none() {
        let mut taints = Taints::default();
        let secret = Message::user("my results");
        taints.mark(1, [&secret]);
        taints.fork(1, 2);
        assert!(taints.holds(1, &secret) && taints.holds(2, &secret));
        assert!(!taints.holds(1, &Message::user("something else")) && taints.is_tainted(1));
        assert!(!taints.holds(3, &secret) && !taints.is_tainted(3));
        taints.forget(1);
        assert!(!taints.holds(1, &secret) && taints.holds(2, &secret));
    }

    #[test]
    fn a_role_or_white_space_does_not_free_a_text_of_its_taint() {
        let mut taints = Taints::default();
        taints.mark(1, [&Message::user("results")]);
        assert!(taints.holds(1, &Message::user(" results\n")));
        taints.mark_everything(4);
        assert!(taints.holds(4, &Message::new(Role::Assistant, "anything")));
    }

    #[test]
    fn what_could_leave_before_stays_open() {
        let mut taints = Taints::default();
        let (open, secret) = (Message::user("hello"), Message::user("my results"));
        taints.mark_open(1, std::slice::from_ref(&open));
        taints.mark_new(1, &[open.clone(), secret.clone()]);
        assert!(!taints.holds(1, &open) && taints.holds(1, &secret));
        taints.mark_new(2, std::slice::from_ref(&open));
        assert!(taints.holds(2, &open), "another session has its own marks");
    }

    #[test]
    fn more_than_can_be_remembered_taints_everything() {
        let mut taints = Taints::default();
        let messages: Vec<_> = (0..=MOST).map(|i| Message::user(i.to_string())).collect();
        taints.mark(1, &messages);
        assert!(taints.holds(1, &Message::user("never said")));
    }
}
