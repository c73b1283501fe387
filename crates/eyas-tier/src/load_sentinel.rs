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
    /// Keeps `text` under `key`; none forgets it.
    fn set<'a>(&'a self, key: &'a str, text: Option<&'a str>) -> LocalFuture<'a, ()>;
}

/// The mark of one load.
#[derive(Debug)]
pub struct LoadSentinel {
    key: String,
}

impl LoadSentinel {
    /// Sets the mark for `model` before its load. Where the last load of the same model never ended, the mark is taken away (so that an
    /// application may try again later) and this fails with `over-budget`.
    pub async fn begin(store: &dyn Store, model: &str) -> Result<Self> {
        let key = format!("eyas-loading:{model}");
        if store.get(&key).await.is_some() {
            store.set(&key, None).await;
            return Err(Error::new(
                ErrorKind::OverBudget,
                "the last load of this model never ended: it most likely took more memory than the browser gives a tab; load a smaller \
                 model, a stronger quantisation or less context, or call load once more to try it again",
            ));
        }
        store.set(&key, Some("1")).await;
        Ok(Self { key })
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
        collections::BTreeMap,
        future::Future,
        pin::pin,
        task::{Context, Poll, Waker},
    };

    use super::*;

    #[derive(Default)]
    struct Memory(RefCell<BTreeMap<String, String>>);

    impl Store for Memory {
        fn get<'a>(&'a self, key: &'a str) -> LocalFuture<'a, Option<String>> {
            Box::pin(async move { self.0.borrow().get(key).cloned() })
        }

        fn set<'a>(&'a self, key: &'a str, text: Option<&'a str>) -> LocalFuture<'a, ()> {
            Box::pin(async move {
                match text {
                    Some(text) => self.0.borrow_mut().insert(key.into(), text.into()),
                    None => self.0.borrow_mut().remove(key),
                };
            })
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
        let killed = now(LoadSentinel::begin(&store, "big")).unwrap();
        drop(killed); // the tab died: nobody called end
        assert_eq!(now(LoadSentinel::begin(&store, "big")).unwrap_err().code(), "over-budget");
        let other = now(LoadSentinel::begin(&store, "small")).unwrap();
        now(other.end(&store));
        let again = now(LoadSentinel::begin(&store, "big")).unwrap();
        now(again.end(&store));
        assert!(store.0.borrow().is_empty());
    }
}
