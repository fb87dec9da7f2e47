//! A mailbox: one host loop, and the events of what belongs to it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    os::fd::{BorrowedFd, OwnedFd},
    sync::{Arc, Weak},
    thread,
    time::{Duration, Instant},
};

use crate::{
    bind::Bound,
    buffers::OutBuffers,
    burst, connect,
    connection::Connection,
    cork::Cork,
    error::{Error, Kind, Result, io_text},
    event::Event,
    handle::{self, HandleKind},
    headers::Header,
    limits,
    listener::Listener,
    lock::Mutex,
    log::Log,
    options::Options,
    process::{self, Process},
    protocol::{Role, Rules, Spare},
    reconnect::Plan,
    sys, tls,
    wake::{Waited, Wake},
};

/// How a guest that sleeps comes to hear of events.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Signal {
    #[default]
    None,
    /// The runtime sends it at the end of the burst.
    Due,
    /// It is sent, or just about to be.
    Sent,
}

/// Events, and whether the guest sleeps.
#[derive(Default)]
struct Queue {
    events: VecDeque<Event>,
    /// The guest waits for a signal, or will before it polls again.
    asleep: bool,
    /// A thread waits in poll.
    waiting: bool,
    signal: Signal,
    closed: bool,
    deadline: Option<Instant>,
}

/// What belongs to a mailbox and ends with it.
#[derive(Default)]
struct Members {
    /// Until both the guest and the runtime have let go of them.
    connections: HashMap<u64, Arc<Connection>>,
    listeners: HashSet<u64>,
    /// Handles that connections had before they moved, until the guest lets go of them.
    moved: HashSet<u64>,
    closed: bool,
}

mod members;

/// A mailbox, as its handle names it.
pub struct Mailbox {
    process: &'static Process,
    queue: Mutex<Queue>,
    wake: Wake,
    /// The events of the last poll; held by the thread that polls.
    batch: Mutex<Vec<Event>>,
    pub(crate) cork: Cork,
    /// What its connections without context takeover compress with.
    pub(crate) spare: Mutex<Spare>,
    /// For connections that have much to write.
    pub(crate) outs: OutBuffers,
    /// Where its connections mask large payloads.
    pub(crate) masked: Mutex<Vec<u8>>,
    timer_task: Mutex<bool>,
    pub(crate) log: Log,
    members: Mutex<Members>,
}

impl Mailbox {
    /// Makes a mailbox. No thread is started.
    pub fn open() -> Result<u64> {
        let out_of =
            |e: std::io::Error| Error::new(Kind::Resources, format!("make a mailbox: {}", io_text(&e)));
        let process = Process::current()?;
        let handle = handle::new(HandleKind::Mailbox);
        let mailbox = Arc::new(Mailbox {
            process,
            queue: Mutex::default(),
            wake: Wake::new().map_err(out_of)?,
            batch: Mutex::default(),
            cork: Cork::new().map_err(out_of)?,
            spare: Mutex::default(),
            outs: OutBuffers::default(),
            masked: Mutex::default(),
            timer_task: Mutex::new(false),
            log: Log::default(),
            members: Mutex::default(),
        });
        process.mailboxes.insert(handle, mailbox);
        Ok(handle)
    }

    /// The mailbox of this handle.
    pub fn find(handle: u64) -> Result<Arc<Mailbox>> {
        process::mailbox(handle)
    }

    /// Queues an event. A guest that sleeps is woken, once per burst.
    pub(crate) fn push(self: &Arc<Self>, event: Event) {
        let mut queue = self.queue.lock();
        if queue.closed {
            return;
        }
        queue.events.push_back(event);
        if queue.signal != Signal::None {
            return;
        }
        if queue.asleep {
            queue.signal = Signal::Due;
            drop(queue);
            if !burst::wakes(self) {
                self.signal();
            }
        } else if self.wake.is_watched() {
            // The guest polls again, or says that it is done, before it sleeps. If it forgets,
            // the timer reminds it.
            self.cork.set_timer();
        }
    }

    /// Waits up to `timeout` (None: for ever) for events and hands up to `capacity` of them to
    /// `tell`: none after the timeout, a signal, or the deadline. They stay alive until the next
    /// poll. What this thread sends from now to its next poll or flush is written then.
    ///
    /// Fails with `Busy` while another thread polls, and with `Closed` once the mailbox is closed.
    pub fn poll(
        &self,
        timeout: Option<Duration>,
        capacity: usize,
        tell: impl FnOnce(&[Event]),
    ) -> Result<()> {
        let Some(mut batch) = self.batch.try_lock() else {
            // It is held at the end, too.
            let closed = self.queue.lock().closed;
            return Err(if closed { Kind::Closed } else { Kind::Busy }.into());
        };
        batch.clear();
        self.cork.end_batch();
        let at_once = timeout == Some(Duration::ZERO);
        let end = timeout.filter(|_| !at_once).and_then(|t| Instant::now().checked_add(t));
        let mut interrupted = false;
        loop {
            let mut queue = self.queue.lock();
            queue.asleep = false;
            queue.waiting = false;
            // One that is sent and not there yet would stay behind: it is taken back next time.
            if queue.signal == Signal::Due || queue.signal == Signal::Sent && self.wake.clear() {
                queue.signal = Signal::None;
            }
            if queue.closed {
                return Err(Kind::Closed.into());
            }
            while batch.len() < capacity
                && let Some(event) = queue.events.pop_front()
            {
                if event.heard() && !event.is_stale() {
                    batch.push(event);
                }
            }
            let mut now = None;
            let mut now = || *now.get_or_insert_with(Instant::now);
            let due = queue.deadline.is_some_and(|d| d <= now());
            if due {
                queue.deadline = None;
                self.wake.set_deadline(None);
            }
            if !batch.is_empty() || due || at_once || interrupted || end.is_some_and(|e| e <= now()) {
                if self.wake.is_watched() {
                    if batch.is_empty() {
                        queue.asleep = true;
                    } else if !queue.events.is_empty() {
                        self.cork.set_timer();
                    }
                }
                break;
            }
            let until = [end, queue.deadline].into_iter().flatten().min();
            queue.asleep = true;
            queue.waiting = true;
            drop(queue);
            match self.wake.wait(until) {
                Ok(Waited::Done) => {}
                Ok(Waited::Interrupted) => interrupted = true,
                Err(e) => {
                    return Err(Error::new(Kind::Resources, format!("wait for events: {}", io_text(&e))));
                }
            }
        }
        if !batch.is_empty() {
            self.cork.begin_batch();
        }
        tell(&batch);
        Ok(())
    }

    /// Ends the batch: writes what was kept back, and lets the descriptor tell what comes next.
    pub fn flush(&self) {
        self.cork.end_batch();
        if self.wake.is_watched() {
            let mut queue = self.queue.lock();
            queue.asleep = true;
            self.signal_if_due(&mut queue);
        }
    }

    /// Sends the signal that is due, if the guest has not polled meanwhile.
    pub(crate) fn signal(&self) {
        let mut queue = self.queue.lock();
        if queue.signal == Signal::Due {
            queue.signal = Signal::Sent;
            drop(queue); // whom it wakes wants the lock
            self.wake.signal();
        }
    }

    fn signal_if_due(&self, queue: &mut Queue) {
        if !queue.events.is_empty() && queue.signal == Signal::None {
            queue.signal = Signal::Sent;
            self.wake.signal();
        }
    }

    /// A descriptor that is readable whenever poll has something to do. It is the mailbox's.
    pub fn fd(&self) -> Result<BorrowedFd<'_>> {
        let mut queue = self.queue.lock();
        let is_new = !self.wake.is_watched();
        let fd = self.wake.watched();
        self.wake.set_deadline(queue.deadline);
        queue.asleep = true;
        if is_new && (queue.closed || queue.signal == Signal::Sent) {
            self.wake.signal();
        }
        self.signal_if_due(&mut queue);
        fd.map_err(|e| Error::new(Kind::Resources, format!("make a descriptor: {}", io_text(&e))))
    }

    /// Ends the wait of poll, and makes the descriptor readable, after this time; None: not any
    /// more.
    pub fn set_deadline(&self, after: Option<Duration>) {
        let deadline = after.and_then(|d| Instant::now().checked_add(d));
        let mut queue = self.queue.lock();
        queue.deadline = deadline;
        self.wake.set_deadline(deadline);
        if queue.waiting && queue.signal == Signal::None {
            queue.signal = Signal::Sent;
            self.wake.signal(); // it waits again, until then
        }
    }

    /// For the runtime: the guest has kept bytes back, or let events lie, for long enough.
    /// Returns false when the mailbox is closed.
    pub(crate) fn remind(&self) -> bool {
        self.cork.timer_fired();
        let mut queue = self.queue.lock();
        if self.wake.is_watched() {
            self.signal_if_due(&mut queue);
        }
        !queue.closed
    }

    /// Has the runtime watch the timer, from the first connection or listener on.
    pub(crate) fn start_timer_task(self: &Arc<Self>) -> Result<()> {
        let mut started = self.timer_task.lock();
        if !*started {
            let runtime = self.process.runtime()?;
            let timer = self.cork.timer().map_err(|e| Error::new(Kind::Resources, io_text(&e)))?;
            runtime.spawn(watch(timer, Arc::downgrade(self)));
            *started = true;
        }
        Ok(())
    }

    pub(crate) fn process(&self) -> &'static Process {
        self.process
    }

    /// Starts a client connection. Returns its handle at once; then comes one event, `Open` or
    /// `Closed`.
    pub fn connect(
        self: &Arc<Self>,
        address: &[u8],
        headers: &[Header<'_>],
        options: Options,
    ) -> Result<u64> {
        options.check(Role::Client)?;
        let attempt = connect::Attempt::new(address, headers, &options)?;
        self.start_timer_task()?;
        let runtime = self.process.runtime()?;
        let plan = Plan::new(&attempt, &options);
        let connection = Connection::new(self.clone(), Role::Client, Arc::new(options), plan)?;
        let handle = connection.handle();
        runtime.spawn(connect::run(connection, attempt, Duration::ZERO));
        Ok(handle)
    }

    /// Binds and listens, and returns the listener's handle.
    pub fn listen(self: &Arc<Self>, host: &[u8], port: u16, options: Options) -> Result<u64> {
        options.check(Role::Server)?;
        let rules = Rules::new(&options)?;
        let tls = tls::Server::new(&options)?;
        let bound = Bound::new(host, port)?;
        self.start_timer_task()?;
        Listener::start(self.clone(), bound, options, rules, tls)
    }

    /// Ends a mailbox with its listeners and connections (1001). Accepted bytes get at most
    /// `limits::EXIT_TIMEOUT` to leave; nothing else is waited for. A thread in poll is woken.
    pub fn close(handle: u64) -> Result<()> {
        let mut leaving = Mailbox::end(handle)?;
        let end = Instant::now() + limits::EXIT_TIMEOUT;
        let mut pause = Duration::from_micros(50);
        loop {
            leaving.retain(|c| !c.has_left());
            if leaving.is_empty() || Instant::now() >= end {
                return Ok(());
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(5));
        }
    }

    /// Ends it, and returns its connections, whose bytes may have to leave.
    pub(crate) fn end(handle: u64) -> Result<Vec<Arc<Connection>>> {
        let mailbox = Mailbox::find(handle)?;
        if mailbox.process.mailboxes.remove(handle).is_none() {
            return Err(Kind::InvalidHandle.into()); // another thread was first
        }
        let ended = Members { closed: true, ..Members::default() };
        let members = std::mem::replace(&mut *mailbox.members.lock(), ended);
        for listener in members.listeners {
            Listener::free(listener);
        }
        for handle in members.moved {
            mailbox.process.moved.remove(handle);
        }
        let mut leaving = Vec::new();
        for (handle, connection) in members.connections {
            mailbox.process.connections.remove(handle);
            connection.let_go();
            leaving.push(connection);
        }
        mailbox.cork.end_batch();
        {
            let mut queue = mailbox.queue.lock();
            queue.closed = true;
            queue.events = VecDeque::new();
            mailbox.wake.signal();
            mailbox.cork.set_timer(); // the timer's task sees the end
        }
        mailbox.batch.lock().clear(); // a thread in poll has been woken
        Ok(leaving)
    }
}

/// Reminds a mailbox whenever its timer fires, until it is closed or gone.
async fn watch(timer: OwnedFd, mailbox: Weak<Mailbox>) {
    let Ok(timer) = sys::watch(timer) else { return };
    loop {
        let Ok(mut ready) = timer.readable().await else { return };
        ready.clear_ready();
        match mailbox.upgrade() {
            Some(mailbox) if mailbox.remind() => {}
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};

    use super::*;

    #[test]
    fn s3_a_descriptor_that_is_asked_for_while_the_mailbox_ends_is_readable() {
        let handle = Mailbox::open().unwrap();
        let mailbox = Mailbox::find(handle).unwrap();
        Mailbox::end(handle).unwrap();
        let fd = mailbox.fd().unwrap();
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        assert_eq!(poll(&mut [PollFd::new(&fd, PollFlags::IN)], Some(&at_once)), Ok(1));
    }
}
