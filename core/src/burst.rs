//! Bursts: the guests for whom the runtime's thread has news are woken together, when all that was
//! ready has had its turn, or when much has come.

use std::{
    cell::RefCell,
    future::poll_fn,
    mem,
    sync::Arc,
    task::{Poll, Waker},
};

use crate::{limits, mailbox::Mailbox, sync::thread_local};

/// The wakes that are due at the end of the burst.
#[derive(Default)]
struct Burst {
    sleepers: Vec<Arc<Mailbox>>,
    /// The size of the messages that wait for them.
    size: usize,
    /// Of the task that ends the burst.
    end: Option<Waker>,
}

thread_local! {
    /// Of the runtime's thread; without an end on every other.
    static BURST: RefCell<Burst> = RefCell::default();
}

/// Has a guest woken at the end of the burst. False: this is not the runtime's thread.
pub(crate) fn wakes(mailbox: &Arc<Mailbox>) -> bool {
    let deferred = BURST.try_with(|burst| {
        let mut burst = burst.borrow_mut();
        let Some(end) = &burst.end else { return false };
        if burst.sleepers.is_empty() {
            // Behind the tasks that are ready now.
            end.wake_by_ref();
        }
        burst.sleepers.push(mailbox.clone());
        true
    });
    // A thread that ends has none any more.
    deferred.unwrap_or(false)
}

/// Counts messages that have come: after many, nobody is left asleep for the rest of the burst.
pub(crate) fn grows(size: usize) {
    let is_large = BURST.with_borrow_mut(|burst| {
        burst.size += size;
        burst.size > limits::BURST
    });
    if is_large {
        end();
    }
}

/// Wakes those who are due.
fn end() {
    let mut sleepers = BURST.with_borrow_mut(|burst| {
        burst.size = 0;
        mem::take(&mut burst.sleepers)
    });
    for mailbox in sleepers.drain(..) {
        mailbox.signal();
    }
    BURST.with_borrow_mut(|burst| burst.sleepers = sleepers); // its memory serves the next burst
}

/// The task of the runtime that ends bursts.
pub(crate) async fn run() {
    poll_fn(|cx| {
        BURST.with_borrow_mut(|burst| burst.end = Some(cx.waker().clone()));
        end();
        Poll::<()>::Pending
    })
    .await;
}
