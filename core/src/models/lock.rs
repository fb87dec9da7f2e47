//! What stands for `lock` in the models.
//!
//! A mutex is a word that is set and cleared with the memory orderings of the standard library's,
//! which is all that its documentation promises. That of the model checker orders more: it would
//! hide that a fence is missing.
#![allow(clippy::disallowed_types)]

use std::{
    cell::RefCell,
    collections::HashMap,
    mem,
    ops::{Deref, DerefMut},
    sync::{
        self, Arc, PoisonError,
        atomic::Ordering::{Acquire, Relaxed, Release},
    },
};

use loom::{
    sync::atomic::AtomicBool,
    thread::{self, Thread},
};

/// What tells whether something is locked.
#[derive(Debug, Default)]
struct Word {
    locked: AtomicBool,
    waiters: sync::Mutex<Vec<Thread>>,
}

impl Word {
    fn lock(&self) {
        while !self.try_lock() {
            // No other thread runs between the try and this.
            own(&self.waiters).push(thread::current());
            thread::park();
        }
    }

    fn try_lock(&self) -> bool {
        self.locked.compare_exchange(false, true, Acquire, Relaxed).is_ok()
    }

    fn unlock(&self) {
        if std::thread::panicking() {
            return; // the model has failed
        }
        self.locked.store(false, Release);
        for waiter in mem::take(&mut *own(&self.waiters)) {
            waiter.unpark();
        }
    }
}

/// Of a lock that nobody else has.
fn own<T>(mutex: &sync::Mutex<T>) -> sync::MutexGuard<'_, T> {
    mutex.try_lock().unwrap()
}

/// For one thread at a time.
#[derive(Debug, Default)]
pub(crate) struct Mutex<T> {
    word: Word,
    value: sync::Mutex<T>,
}

/// Has what a mutex guards.
pub(crate) struct MutexGuard<'a, T> {
    word: &'a Word,
    value: Option<sync::MutexGuard<'a, T>>,
}

impl<T> Mutex<T> {
    pub(crate) fn new(value: T) -> Mutex<T> {
        Mutex { word: Word::default(), value: sync::Mutex::new(value) }
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, T> {
        self.word.lock();
        MutexGuard { word: &self.word, value: Some(own(&self.value)) }
    }

    /// None while a thread holds it.
    pub(crate) fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.word.try_lock().then(|| MutexGuard { word: &self.word, value: Some(own(&self.value)) })
    }
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.value.as_ref().unwrap()
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        self.value.as_mut().unwrap()
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        // Others may have it in the moment that the word is cleared.
        self.value = None;
        self.word.unlock();
    }
}

/// The tables of handles have these. They last longer than a run, so that each run gives words to
/// those that it uses; and readers wait for each other.
#[derive(Debug, Default)]
pub(crate) struct RwLock<T>(sync::RwLock<T>);

#[derive(Default)]
struct Words {
    unused: Vec<Arc<Word>>,
    used: HashMap<usize, Arc<Word>>,
}

thread_local! {
    static WORDS: RefCell<Words> = RefCell::default();
}

/// To be called when a run begins.
pub(crate) fn begin() {
    let unused = (0..24).map(|_| Arc::default()).collect();
    WORDS.set(Words { unused, used: HashMap::new() });
}

/// Holds a word.
pub(crate) struct Held(Arc<Word>);

impl Drop for Held {
    fn drop(&mut self) {
        self.0.unlock();
    }
}

/// Has what such a lock guards, and lets go of that first.
pub(crate) struct Guard<G> {
    value: G,
    _held: Held,
}

pub(crate) type RwLockReadGuard<'a, T> = Guard<sync::RwLockReadGuard<'a, T>>;
pub(crate) type RwLockWriteGuard<'a, T> = Guard<sync::RwLockWriteGuard<'a, T>>;

impl<G: Deref> Deref for Guard<G> {
    type Target = G::Target;

    fn deref(&self) -> &G::Target {
        &self.value
    }
}

impl<G: DerefMut> DerefMut for Guard<G> {
    fn deref_mut(&mut self) -> &mut G::Target {
        &mut self.value
    }
}

impl<T> RwLock<T> {
    pub(crate) const fn new(value: T) -> RwLock<T> {
        RwLock(sync::RwLock::new(value))
    }

    fn hold(&self) -> Held {
        let word = WORDS.with_borrow_mut(|words| {
            let Words { unused, used } = words;
            used.entry((&raw const *self).addr()).or_insert_with(|| unused.pop().unwrap()).clone()
        });
        word.lock();
        Held(word)
    }

    pub(crate) fn read(&self) -> RwLockReadGuard<'_, T> {
        let held = self.hold();
        Guard { value: self.0.read().unwrap_or_else(PoisonError::into_inner), _held: held }
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, T> {
        let held = self.hold();
        Guard { value: self.0.write().unwrap_or_else(PoisonError::into_inner), _held: held }
    }
}
