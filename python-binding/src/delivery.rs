//! Who gets which message (S14 to S16, S22).

use pyo3::prelude::*;

use crate::callback::{Driver, Kind};
use crate::connection::Connection;
use crate::message::{BATCH, Taken, put_back, take};
use crate::receive::{Outcome, Receive};
use crate::waiter::{Listener, Listening};

/// Messages that one call of `pump` delivers before others have their turn.
const TURN: usize = 64;

/// What `receive_message` finds when it begins.
pub enum Ready {
    Message(Py<PyAny>),
    Ended,
    Wait { first: bool },
}

enum Taker<'py> {
    Waiter(Py<Receive>, Listener<'py>),
    Callback { paused: bool },
    Nobody,
}

impl Connection {
    /// The next message, from those taken or from the core.
    fn next(&self, py: Python<'_>) -> PyResult<Ready> {
        let most = {
            let mut state = self.state.lock();
            if let Some(message) = state.inbox.pop_front() {
                return Ok(Ready::Message(message));
            }
            if state.drained {
                return Ok(Ready::Ended);
            }
            if state.lent { 1 } else { BATCH }
        };
        let (mut next, mut others) = (None, Vec::new());
        let outcome = take(py, self.handle, most, self.fragments, |message| match next {
            None => next = Some(message),
            Some(_) => others.push(message),
        });
        let mut state = self.state.lock();
        match outcome {
            Ok(Taken::Some) => state.dry = false,
            Ok(Taken::All) => state.dry = !state.closed,
            Ok(Taken::Ended) => {
                state.drained = true;
                return Ok(Ready::Ended);
            }
            Ok(Taken::Moved) => {
                drop(state);
                self.note_moved();
                return Ok(Ready::Ended);
            }
            Err(error) => {
                state.inbox.extend(next.into_iter().chain(others));
                return Err(error);
            }
        }
        state.inbox.extend(others);
        Ok(next.map_or(Ready::Wait { first: false }, Ready::Message))
    }

    /// What a `receive_message` that begins now gets.
    pub fn receive_now(slf: &Bound<'_, Self>) -> PyResult<Ready> {
        let (py, connection) = (slf.py(), slf.get());
        connection.here(py)?;
        let first = {
            let state = connection.state.lock();
            if !state.waiters.is_empty() && !state.serving {
                return Ok(Ready::Wait { first: false });
            }
            // The core was asked just now.
            if state.serving && state.dry && state.inbox.is_empty() && !state.drained {
                return Ok(Ready::Wait { first: true });
            }
            state.serving
        };
        if connection.mailbox.get().must_give_way() {
            Connection::schedule(slf)?;
            return Ok(Ready::Wait { first: true });
        }
        match connection.next(py)? {
            Ready::Wait { .. } => Ok(Ready::Wait { first }),
            Ready::Ended => {
                // The callback and others who wait are told in their turn.
                Connection::schedule(slf)?;
                Ok(Ready::Ended)
            }
            message => Ok(message),
        }
    }

    /// Queues one that waits; `first`: before the others.
    pub fn wait(slf: &Bound<'_, Self>, waiter: Py<Receive>, first: bool) -> PyResult<()> {
        {
            let mut state = slf.get().state.lock();
            if first {
                let place = state.ahead.min(state.waiters.len());
                state.waiters.insert(place, waiter);
                state.ahead = place + 1;
            } else {
                state.waiters.push_back(waiter);
            }
        }
        Connection::repin(slf)
    }

    /// A task that did not listen to its waiter is about to: go on with what was left lying.
    pub fn listens_again(slf: &Bound<'_, Self>) -> PyResult<()> {
        let stalled = std::mem::take(&mut slf.get().state.lock().stalled);
        if stalled { Connection::schedule(slf) } else { Ok(()) }
    }

    /// One that waits gives up.
    pub fn withdraw(slf: &Bound<'_, Self>, receive: &Receive) -> PyResult<()> {
        let (removed, stalled) = {
            let mut state = slf.get().state.lock();
            let at = state.waiters.iter().position(|other| std::ptr::eq(other.get(), receive));
            (at.and_then(|at| state.waiters.remove(at)), std::mem::take(&mut state.stalled))
        };
        drop(removed);
        // Messages that it held up, being the first, go to the next.
        if stalled {
            Connection::schedule(slf)?;
        }
        Connection::repin(slf)
    }

    /// A message whose taker was cancelled is the next one again.
    pub fn put_back(slf: &Bound<'_, Self>, message: Py<PyAny>) -> PyResult<()> {
        let connection = slf.get();
        if message.is_none(slf.py()) {
            return Ok(());
        }
        if connection.state.lock().lent {
            return put_back(message.bind(slf.py()), connection.handle);
        }
        connection.state.lock().inbox.push_front(message);
        Connection::schedule(slf)
    }

    /// Has `pump` called by the loop.
    pub fn schedule(slf: &Bound<'_, Self>) -> PyResult<()> {
        let py = slf.py();
        {
            let mut state = slf.get().state.lock();
            if state.pump_scheduled {
                return Ok(());
            }
            state.pump_scheduled = true;
        }
        let pump = slf.getattr(pyo3::intern!(py, "_pump"))?;
        slf.get().mailbox.get().call_soon(py, pump)
    }

    fn taker<'py>(&self, py: Python<'py>) -> PyResult<Taker<'py>> {
        loop {
            let receive = {
                let state = self.state.lock();
                if state.dry && state.inbox.is_empty() && !state.drained {
                    return Ok(Taker::Nobody);
                }
                match state.waiters.front() {
                    Some(receive) => receive.clone_ref(py),
                    None if state.callback.is_none() => return Ok(Taker::Nobody),
                    None => {
                        let paused = !state.sends.is_empty() || state.unfinished >= self.max_callbacks;
                        return Ok(Taker::Callback { paused });
                    }
                }
            };
            match receive.get().listening(py)? {
                Listening::To(listener) => return Ok(Taker::Waiter(receive, listener)),
                // It keeps its place; the messages wait for it.
                Listening::NotYet => {
                    self.state.lock().stalled = true;
                    return Ok(Taker::Nobody);
                }
                Listening::Cancelled => {
                    self.state.lock().waiters.retain(|other| !other.is(&receive));
                }
            }
        }
    }

    /// Delivers what there is to those who take it. Only from where no task is current.
    pub fn pump(slf: &Bound<'_, Self>) -> PyResult<()> {
        let connection = slf.get();
        {
            let mut state = connection.state.lock();
            state.dry = false;
            if state.pumping {
                return Ok(());
            }
            state.pumping = true;
        }
        let _inside = connection.mailbox.get().enter();
        connection.mailbox.get().gave_way();
        let delivered = Connection::deliver(slf);
        connection.state.lock().pumping = false;
        let again = match delivered {
            Ok(more) => more,
            // Ctrl-C passes through; what is left is delivered if the loop goes on.
            Err(_) => true,
        };
        if again {
            Connection::schedule(slf)?;
        }
        Connection::repin(slf)?;
        delivered.map(|_| ())
    }

    /// Returns whether it stopped only to let others have their turn.
    fn deliver(slf: &Bound<'_, Self>) -> PyResult<bool> {
        let (py, connection) = (slf.py(), slf.get());
        Connection::send_waiting(slf)?;
        for _ in 0..TURN {
            if connection.mailbox.get().is_closed() {
                return Ok(false);
            }
            match connection.taker(py)? {
                Taker::Nobody | Taker::Callback { paused: true } => return Ok(false),
                Taker::Waiter(receive, listener) => {
                    if connection.mailbox.get().must_give_way() {
                        return Ok(true);
                    }
                    let outcome = match connection.next(py)? {
                        Ready::Wait { .. } => return Ok(false),
                        Ready::Ended => Outcome::Ended,
                        Ready::Message(message) => Outcome::Message(message),
                    };
                    let is_first = {
                        let mut state = connection.state.lock();
                        let is_first = state.waiters.front().is_some_and(|first| first.is(&receive));
                        (state.serving, state.ahead) = (is_first, 0);
                        is_first.then(|| state.waiters.pop_front()).is_some()
                    };
                    if !is_first {
                        // Whatever ran as the message was made: it is the next one's.
                        if let Outcome::Message(message) = outcome {
                            Connection::put_back(slf, message)?;
                        }
                        continue;
                    }
                    let resumed = receive.get().resolve(py, outcome, &listener);
                    connection.state.lock().serving = false;
                    resumed?;
                }
                Taker::Callback { paused: false } => {
                    let (message, last) = match connection.next(py)? {
                        Ready::Wait { .. } => return Ok(false),
                        Ready::Ended => (py.None(), true),
                        Ready::Message(message) => (message, false),
                    };
                    let (callback, is_async, wanted) = {
                        let mut state = connection.state.lock();
                        let wanted = !last || !std::mem::replace(&mut state.told, true);
                        // After its last call the connection lets go of it.
                        let callback = if last {
                            state.callback.take()
                        } else {
                            state.callback.as_ref().map(|callback| callback.clone_ref(py))
                        };
                        (callback, state.callback_is_async, wanted)
                    };
                    if let (Some(callback), true) = (callback, wanted) {
                        let kind = if last { Kind::LastMessage } else { Kind::Message };
                        let mailbox = connection.mailbox(py);
                        Driver::start(
                            mailbox,
                            callback.bind(py),
                            is_async,
                            message.into_bound(py),
                            Some(slf),
                            kind,
                        )?;
                    }
                    if last {
                        return Ok(false);
                    }
                }
            }
        }
        Ok(true)
    }
}
