//! What a local-only turn put into a session stays there, wherever its text turns up again.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    rc::Rc,
};

use eyas_core::{Message, Role};
use serde::Deserialize;

use crate::{
    excerpts::{Excerpts, KnownBlocks},
    message_texts::{MessageText, message_texts, plain},
};

/// Texts of one session that are kept in mind, and their bytes; beyond either, the session counts as tainted as a whole.
const MOST_TEXTS: usize = 1 << 12;
const MOST_BYTES: usize = 1 << 20;

/// Shorter texts taint only what equals them: that "yes" stands in another text says nothing of where it came from.
const LEAST_BYTES: usize = 8;

/// Where what a local-only request said is known again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TaintScope {
    /// In its session and that session's forks.
    #[default]
    Session,
    /// Excerpts of it in all sessions of the engine, also after its own is gone.
    Engine,
}

/// Who said a text that must not leave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Teller {
    Request,
    Device,
}

/// Texts of one session that must not leave, in the form of [`plain`].
#[derive(Debug, Clone, Default)]
struct Marks {
    secrets: BTreeMap<Rc<str>, Teller>,
    bytes: usize,
    /// The same, by their excerpts.
    excerpts: Excerpts,
    /// Hashes of texts that could leave before: a later local-only request of the same session does not make them secret.
    open: BTreeSet<u64>,
    /// Their blocks: a secret that repeats them is not known by these.
    open_blocks: KnownBlocks,
    everything: bool,
}

impl Marks {
    fn mark(&mut self, MessageText { text, is_structure }: MessageText, teller: Teller) {
        if text.is_empty() || self.everything {
            return;
        }
        let text: Rc<str> = text.into();
        if !self.secrets.contains_key(&text) {
            self.bytes += text.len();
            if !is_structure {
                self.excerpts.add(&text, &self.open_blocks);
            }
            self.secrets.insert(text, teller);
        } else if teller == Teller::Device {
            self.secrets.insert(text, teller);
        }
        if self.secrets.len() > MOST_TEXTS || self.bytes > MOST_BYTES {
            *self = Self { everything: true, ..Self::default() };
        }
    }

    fn is_open(&self, text: &str) -> bool {
        self.open.contains(&fingerprint(text))
    }

    fn open(&mut self, text: &str) {
        if self.open.len() < MOST_TEXTS && self.open.insert(fingerprint(text)) {
            self.open_blocks.add(text);
        }
    }

    /// Whether a text of a message equals, contains or is contained in one that must not leave, or has an excerpt of it.
    fn holds(&self, MessageText { text, is_structure }: &MessageText, role: &Role) -> bool {
        let text = text.as_str();
        if self.secrets.contains_key(text) {
            return true;
        }
        if self.is_open(text) {
            return false;
        }
        let is_long = text.len() >= LEAST_BYTES;
        self.secrets.iter().any(|(secret, teller)| {
            (secret.len() >= LEAST_BYTES && text.contains(&**secret))
                || (is_long && secret.contains(text))
                // What was shown of an answer before it was broken off, however little.
                || (*role == Role::Assistant && *teller == Teller::Device && secret.starts_with(text))
        }) || (!is_structure && self.excerpts.are_in(text))
    }
}

/// Texts of all sessions that must not leave in any, known by their excerpts.
#[derive(Debug, Default)]
struct Everywhere {
    texts: BTreeSet<Rc<str>>,
    excerpts: Excerpts,
    bytes: usize,
}

impl Everywhere {
    fn mark(&mut self, found: &MessageText, known: &KnownBlocks) {
        let text: Rc<str> = found.text.as_str().into();
        if !found.is_structure && self.bytes <= MOST_BYTES && self.texts.insert(text.clone()) {
            self.bytes += text.len();
            self.excerpts.add(&text, known);
        }
    }

    /// More than can be remembered is everything.
    fn holds(&self, found: &MessageText) -> bool {
        self.bytes > MOST_BYTES || (!found.is_structure && self.excerpts.are_in(&found.text))
    }
}

/// The taints of all sessions. A message is known by its texts, whatever its role: its content, what stands in its other fields, and what is
/// quoted in JSON there. Case, punctuation and white space make no difference. A session whose number is reused without [`Taints::forget`]
/// keeps its taint: it fails closed.
#[derive(Debug, Default)]
pub struct Taints {
    sessions: BTreeMap<u32, Marks>,
    /// Absent where sessions know nothing of each other.
    everywhere: Option<Everywhere>,
}

impl Taints {
    /// No taints yet.
    pub fn new(scope: TaintScope) -> Self {
        Self { sessions: BTreeMap::new(), everywhere: (scope == TaintScope::Engine).then(Everywhere::default) }
    }

    /// Marks those texts of `messages` that no request that could leave has had before. What a system message says is not known again in other
    /// sessions: it is the application's, and theirs too.
    pub fn mark_new(&mut self, session: u32, messages: &[Message]) {
        let marks = self.sessions.entry(session).or_default();
        for message in messages {
            for text in message_texts(message) {
                if marks.is_open(&text.text) {
                    continue;
                }
                if let Some(everywhere) = self.everywhere.as_mut().filter(|_| message.role != Role::System) {
                    everywhere.mark(&text, &marks.open_blocks);
                }
                marks.mark(text, Teller::Request);
            }
        }
    }

    /// Marks what the device said, finished or not. A beginning of it is marked too.
    pub fn mark_answer(&mut self, session: u32, text: &str) {
        let (marks, text) = (self.sessions.entry(session).or_default(), MessageText { text: plain(text), is_structure: false });
        if let Some(everywhere) = &mut self.everywhere {
            everywhere.mark(&text, &marks.open_blocks);
        }
        marks.mark(text, Teller::Device);
    }

    /// Remembers messages of a request that could leave.
    pub fn mark_open(&mut self, session: u32, messages: &[Message]) {
        let marks = self.sessions.entry(session).or_default();
        messages.iter().flat_map(message_texts).for_each(|found| marks.open(&found.text));
    }

    /// Marks a session as a whole: text without messages can't be told apart.
    pub fn mark_everything(&mut self, session: u32) {
        self.sessions.entry(session).or_default().everything = true;
    }

    /// Whether a message of this session must not leave.
    pub fn holds(&self, session: u32, message: &Message) -> bool {
        let marks = self.sessions.get(&session);
        if marks.is_none() && self.everywhere.is_none() {
            return false;
        }
        marks.is_some_and(|marks| marks.everything)
            || message_texts(message).iter().any(|text| {
                let is_open = marks.is_some_and(|marks| marks.is_open(&text.text));
                marks.is_some_and(|marks| marks.holds(text, &message.role))
                    || (!is_open && self.everywhere.as_ref().is_some_and(|everywhere| everywhere.holds(text)))
            })
    }

    /// Whether anything at all of this session must not leave.
    pub fn is_tainted(&self, session: u32) -> bool {
        self.sessions.get(&session).is_some_and(|marks| marks.everything || !marks.secrets.is_empty())
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

fn fingerprint(text: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    text.hash(&mut hasher);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "My results: HIV positive, 350 cells.";

    fn system(text: &str) -> Message {
        Message::new(Role::System, text)
    }

    fn tainted() -> Taints {
        let mut taints = Taints::default();
        taints.mark_new(1, &[Message::user(SECRET)]);
        taints.mark_answer(1, "You should see Dr. Olsen soon.");
        taints.mark_answer(1, "Yes.");
        taints
    }

    #[test]
    fn a_text_is_known_in_every_role_and_place() {
        let taints = tainted();
        let quoted = |role| Message::new(role, SECRET);
        for role in [Role::System, Role::User, Role::Assistant, Role::Tool] {
            assert!(taints.holds(1, &quoted(role)));
        }
        for text in [
            "my results HIV positive,\n  350 cells",
            "Summary so far: my results: HIV positive, 350 cells. Go on from there.",
            "> My results: HIV positive,\n> 350 cells.\nWhat next?",
            "HIV positive",
            "The assistant said \"You should see Dr. Olsen soon.\" Is that right?",
            "yes",
        ] {
            assert!(taints.holds(1, &system(text)), "{text}");
        }
        for text in ["What is the capital of Norway?", "yes, and what is the capital of Norway?", "HIV", "", "350"] {
            assert!(!taints.holds(1, &system(text)), "{text}");
        }
    }

    #[test]
    fn calls_and_results_of_tools_are_texts() {
        let taints = tainted();
        let call = |arguments: &str| {
            let text = serde_json::json!({ "role": "assistant", "content": null, "tool_calls": [
                { "id": "c1", "type": "function", "function": { "name": "look_up", "arguments": arguments } }] });
            serde_json::from_value::<Message>(text).unwrap()
        };
        assert!(taints.holds(1, &call(&serde_json::json!({ "note": [SECRET] }).to_string())));
        assert!(taints.holds(1, &Message::new(Role::Tool, serde_json::json!({ "said": "a \"b\"", "n": SECRET }).to_string())));
        assert!(!taints.holds(1, &call(r#"{"city":"Oslo"}"#)));
        // And the other way round: what a local-only call said is known in a later text.
        let mut taints = Taints::default();
        taints.mark_new(1, &[call(r#"{"patient":"Ola Nordmann"}"#)]);
        assert!(taints.holds(1, &system("Ask about Ola Nordmann.")));
        assert!(!taints.holds(1, &call(r#"{"city":"Oslo"}"#)), "the same function may be called with other arguments");
    }

    #[test]
    fn a_beginning_of_an_answer_is_known_however_short() {
        let taints = tainted();
        let answer = |text: &str| Message::new(Role::Assistant, text);
        assert!(taints.holds(1, &answer("You")) && taints.holds(1, &answer("You should s")));
        assert!(!taints.holds(1, &Message::user("you")), "a person may say the same word");
        assert!(!taints.holds(1, &answer("Norway")));
    }

    #[test]
    fn an_excerpt_is_known_wherever_it_is_woven_in() {
        const REPORT: &str =
            "Patient Ola Nordmann, born 1970, was seen on Monday. The biopsy of the left lung shows a carcinoma in situ.";
        let mut taints = Taints::default();
        taints.mark_new(1, &[Message::user(REPORT)]);
        taints.mark_answer(1, "Surgery is what most guidelines recommend for such a finding, and soon.");
        for text in [
            "Explain this to a child: \"the BIOPSY of the left lung - shows a carcinoma\". Use no foreign words.",
            "ola nordmann born 1970 was seen on monday, so write him a letter",
            "A colleague said that surgery is what most guidelines recommend; is that so?",
        ] {
            assert!(taints.holds(1, &Message::user(text)), "{text}");
            assert!(!taints.holds(2, &Message::user(text)), "another session");
        }
        for text in ["What does a biopsy of the left lung cost?", "Which guidelines are there for surgery?"] {
            assert!(!taints.holds(1, &Message::user(text)), "{text}");
        }
    }

    #[test]
    fn what_wraps_every_message_and_could_leave_before_is_no_excerpt() {
        let wrap = |text: &str| Message::user(format!("Answer in one short sentence, and in plain words only. Question: {text}"));
        let mut taints = Taints::default();
        taints.mark_open(1, &[wrap("why is the sky blue?")]);
        taints.mark_new(1, &[wrap(SECRET)]);
        assert!(!taints.holds(1, &wrap("how old is the moon?")) && taints.holds(1, &wrap(SECRET)));
        let mut taints = Taints::default();
        taints.mark_new(1, &[wrap(SECRET)]);
        assert!(taints.holds(1, &wrap("how old is the moon?")), "what never could leave stays");
    }

    #[test]
    fn the_whole_engine_knows_excerpts_where_it_is_asked_to() {
        let mut taints = Taints::new(TaintScope::Engine);
        let prompt = system("You are a careful assistant of a small clinic, and you answer in Norwegian.");
        let report = Message::user("The biopsy of the left lung shows a carcinoma in situ, says Dr. Olsen.");
        taints.mark_new(1, &[prompt.clone(), report.clone()]);
        taints.mark_answer(1, "A carcinoma in situ has not grown into what lies around it yet.");
        for session in [1, 2] {
            assert!(taints.holds(session, &report), "{session}");
            assert!(
                taints.holds(session, &Message::user("So it has not grown into what lies around it yet? Good.")),
                "{session}"
            );
            assert!(!taints.holds(session, &Message::user("What is a biopsy?")), "{session}");
        }
        assert!(
            taints.holds(1, &prompt) && !taints.holds(2, &prompt),
            "the application's own words are those of other sessions too"
        );
        taints.forget(1);
        assert!(taints.holds(3, &report), "a session that is gone said it all the same");
        taints.mark_answer(4, &"other words ".repeat(MOST_BYTES / 10));
        assert!(taints.holds(5, &Message::user("never said")), "more than can be remembered");
    }

    #[test]
    fn forks_keep_the_taint_and_other_sessions_have_none() {
        let mut taints = tainted();
        let secret = Message::user(SECRET);
        taints.fork(1, 2);
        assert!(taints.holds(1, &secret) && taints.holds(2, &secret));
        assert!(!taints.holds(1, &Message::user("something else")) && taints.is_tainted(1));
        assert!(!taints.holds(3, &secret) && !taints.is_tainted(3));
        taints.forget(1);
        assert!(!taints.holds(1, &secret) && taints.holds(2, &secret));
        taints.mark_everything(4);
        assert!(taints.holds(4, &Message::new(Role::Assistant, "anything")));
    }

    #[test]
    fn what_could_leave_before_stays_open() {
        let mut taints = Taints::default();
        let (open, secret) = (Message::user("What is diabetes?"), Message::user("I have it. What is diabetes?"));
        taints.mark_open(1, std::slice::from_ref(&open));
        taints.mark_new(1, &[open.clone(), secret.clone()]);
        assert!(!taints.holds(1, &open) && taints.holds(1, &secret));
        taints.mark_new(2, std::slice::from_ref(&open));
        assert!(taints.holds(2, &open), "another session has its own marks");
    }

    #[test]
    fn more_than_can_be_remembered_taints_everything() {
        let never = Message::user("never said");
        let mut taints = Taints::default();
        let messages: Vec<_> = (0..=MOST_TEXTS).map(|i| Message::user(i.to_string())).collect();
        taints.mark_new(1, &messages[..MOST_TEXTS]);
        assert!(!taints.holds(1, &never));
        taints.mark_new(1, &messages);
        assert!(taints.holds(1, &never));
        taints.mark_answer(2, &"word ".repeat(MOST_BYTES / 4));
        assert!(taints.holds(2, &never));
    }
}
