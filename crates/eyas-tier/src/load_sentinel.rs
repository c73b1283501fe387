//! Notices that a load killed the tab: a mark is kept while a model loads, and one that is found later says that the load never ended.
//!
//! A phone that runs out of memory ends a tab without any error that JavaScript could see, and a page that loads its model at once then
//! does so again and again.

use eyas_core::{Error, ErrorKind, Result};

use crate::LocalFuture;

/// A place for a few small texts that outlives the tab.
pub trait Store {
    /// The text under `key`.
    fn get<'a>(&'a self, key: &'a str) -> LocalFuture<'a, Option<String>>;
    /// Keeps `text` under `key`; none forgets it. As long as its keeper lives, nobody finds it: what is found was left behind.
    fn set<'a>(&'a self, key: &'a str, text: Option<&'a str>) -> LocalFuture<'a, ()>;
    /// Leaves `text` under `key` for whoever asks next, its keeper included.
    fn leave<'a>(&'a self, key: &'a str, text: &'a str) -> LocalFuture<'a, ()>;
}

/// A model whose loads ended with their tab is refused as many times in a row as they did, but no more often than this.
const MOST_REFUSALS: u32 = 3;

/// What a mark says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// A load is under way. So many before it in a row ended with their tab.
    Loading { ended: u32 },
    /// So many loads in a row ended with their tab, and so many more calls are refused before the next attempt.
    Refused { ended: u32, left: u32 },
}

impl Mark {
    /// A text that is no mark counts as that of a first load.
    fn read(text: &str) -> Self {
        let mut numbers = text.split(' ').map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(ended)), Some(Ok(left))) => Self::Refused { ended, left },
            (Some(Ok(ended)), _) => Self::Loading { ended },
            _ => Self::Loading { ended: 0 },
        }
    }

    fn text(self) -> String {
        match self {
            Self::Loading { ended } => ended.to_string(),
            Self::Refused { ended, left } => format!("{ended} {left}"),
        }
    }

    /// The mark that a load finds, which nobody who is alive holds: how many loads ended with their tab, and how many calls are still to be refused, this
    /// one included.
    fn found(self) -> (u32, u32) {
        match self {
            Self::Loading { ended } => {
                let ended = ended.saturating_add(1);
                (ended, ended.min(MOST_REFUSALS))
            }
            Self::Refused { ended, left } => (ended, left.min(MOST_REFUSALS)),
        }
    }
}

fn refusal(ended: u32, left: u32) -> Error {
    let loads =
        if ended == 1 { "the last load of this model".to_owned() } else { format!("the last {ended} loads of this model") };
    let calls = match left.saturating_sub(1) {
        0 => "the call after this one tries".to_owned(),
        more => format!("behind {more} more refused calls one tries"),
    };
    Error::new(
        ErrorKind::OverBudget,
        format!(
            "{loads} never ended: most likely it took more memory than the browser gives a tab; load a smaller model, a stronger \
             quantisation or less context, which plan() names; {calls} it again"
        ),
    )
}

/// The mark of one load.
#[derive(Debug)]
pub struct LoadSentinel {
    key: String,
}

impl LoadSentinel {
    /// Sets the mark of a load under `key`, which is the same for the same model in the same way, before it begins. Where the last loads under it never
    /// ended, this fails with `over-budget`, as many times as they were, three at most; then the model may be loaded again.
    pub async fn begin(store: &dyn Store, key: &str) -> Result<Self> {
        let key = key.to_owned();
        let mut ended = 0;
        if let Some(text) = store.get(&key).await {
            let left;
            (ended, left) = Mark::read(&text).found();
            if let Some(left) = left.checked_sub(1) {
                store.leave(&key, &Mark::Refused { ended, left }.text()).await;
                return Err(refusal(ended, left + 1));
            }
        }
        store.set(&key, Some(&Mark::Loading { ended }.text())).await;
        Ok(Self { key })
    }

    /// What [`Self::begin`] fails with where the store has this text under the load's key.
    pub fn forecast(text: &str) -> Option<Error> {
        let (ended, left) = Mark::read(text).found();
        (left > 0).then(|| refusal(ended, left))
    }

    /// The load has ended, well or with an error that could be told: takes the mark away.
    pub async fn end(self, store: &dyn Store) {
        store.set(&self.key, None).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        cell::RefCell,
        collections::{BTreeMap, BTreeSet},
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    /// Texts, and the keys whose keepers live.
    #[derive(Default)]
    struct Memory(RefCell<BTreeMap<String, String>>, RefCell<BTreeSet<String>>);

    impl Store for Memory {
        fn get<'a>(&'a self, key: &'a str) -> LocalFuture<'a, Option<String>> {
            Box::pin(async move { self.0.borrow().get(key).filter(|_| !self.1.borrow().contains(key)).cloned() })
        }

        fn set<'a>(&'a self, key: &'a str, text: Option<&'a str>) -> LocalFuture<'a, ()> {
            Box::pin(async move {
                self.1.borrow_mut().remove(key);
                match text {
                    Some(text) => {
                        self.1.borrow_mut().insert(key.into());
                        self.0.borrow_mut().insert(key.into(), text.into())
                    }
                    None => self.0.borrow_mut().remove(key),
                };
            })
        }

        fn leave<'a>(&'a self, key: &'a str, text: &'a str) -> LocalFuture<'a, ()> {
            Box::pin(async move {
                self.0.borrow_mut().insert(key.into(), text.into());
            })
        }
    }

    impl Memory {
        /// Begins a load in a tab that is then killed; false where the load is refused.
        fn is_killed_by_load(&self, model: &str) -> bool {
            let begun = now(LoadSentinel::begin(self, model));
            self.1.borrow_mut().clear();
            begun.is_ok()
        }

        /// What a plan says of the next load.
        fn forecast(&self, model: &str) -> Option<Error> {
            LoadSentinel::forecast(&now(self.get(model))?)
        }
    }

    fn now<T>(work: impl Future<Output = T>) -> T {
        match pin!(work).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => done,
            Poll::Pending => panic!("nothing here waits"),
        }
    }

    #[test]
    fn a_load_that_never_ended_demotes_its_model_once() {
        let store = Memory::default();
        assert!(store.is_killed_by_load("big"));
        let forecast = store.forecast("big").unwrap();
        let refused = now(LoadSentinel::begin(&store, "big")).unwrap_err();
        assert_eq!((refused.code(), refused.detail()), ("over-budget", forecast.detail()));
        assert!(refused.detail().starts_with("the last load of this model never ended"), "{refused}");
        let other = now(LoadSentinel::begin(&store, "small")).unwrap();
        now(other.end(&store));
        assert!(store.forecast("big").is_none(), "the next load may try");
        let again = now(LoadSentinel::begin(&store, "big")).unwrap();
        assert!(store.forecast("big").is_none(), "a load that runs says nothing");
        now(again.end(&store));
        assert!(store.0.borrow().is_empty());
    }

    #[test]
    fn a_model_that_kills_tab_after_tab_is_refused_more_often_each_time() {
        let store = Memory::default();
        let visits: String = (0..16).map(|_| if store.is_killed_by_load("big") { 'k' } else { '-' }).collect();
        assert_eq!(visits, "k-k--k---k---k--");
        let refused = store.forecast("big").unwrap();
        assert!(
            refused.detail().contains("the last 5 loads") && refused.detail().ends_with("the call after this one tries it again")
        );
        assert!(now(LoadSentinel::begin(&store, "big")).is_err());
        now(now(LoadSentinel::begin(&store, "big")).unwrap().end(&store));
        assert!(store.is_killed_by_load("big"), "a load that ended well makes up for all");
        assert!(now(LoadSentinel::begin(&store, "big")).is_err() && store.forecast("big").is_none());
    }

    #[test]
    fn any_text_is_a_mark() {
        for text in ["", "1", "x", "4294967295", "7 4294967295", "1 -1", "\u{0}"] {
            assert_eq!(LoadSentinel::forecast(text).unwrap().code(), "over-budget", "{text:?}");
        }
        assert!(LoadSentinel::forecast("1 0").is_none());
    }
}
