//! Mailboxes: one for each host loop.

use std::{ffi::c_char, os::fd::AsRawFd, time::Duration};

use coromega_ws_abi::{
    CMWS_LOG_DEBUG, CMWS_LOG_ERROR, CMWS_LOG_INFO, CMWS_LOG_NOTHING, CMWS_LOG_WARNING, cmws_event_t,
    cmws_handle_t, cmws_header_t, cmws_options_t, cmws_status_t,
};
use coromega_ws_core::{Connection, Error, Event, EventKind, Level, Listener, Mailbox, Source};

use crate::{
    guard::{Array, bytes, check_output, fields, guard, invalid, store},
    options,
};

/// Makes a mailbox. No thread is started. It wants `cmws_mailbox_close` in the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_mailbox_new(out_mailbox: *mut cmws_handle_t) -> cmws_status_t {
    guard(|| {
        check_output(out_mailbox)?;
        // SAFETY: as this function's contract says.
        unsafe { store(out_mailbox, Mailbox::open()?) }
    })
}

/// A descriptor for a loop of the host's own: readable whenever `cmws_mailbox_poll` has something
/// to do, which is an event or the deadline.
///
/// When it is readable, call poll with a timeout of 0 until it tells no events, or call
/// `cmws_mailbox_flush` after the batch. The descriptor is the mailbox's: do not read or close it.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_mailbox_fd(mailbox: cmws_handle_t, out_fd: *mut i32) -> cmws_status_t {
    guard(|| {
        check_output(out_fd)?;
        let mailbox = Mailbox::find(mailbox)?;
        // SAFETY: as this function's contract says.
        unsafe { store(out_fd, mailbox.fd()?.as_raw_fd()) }
    })
}

/// Ends the wait of poll, and makes the descriptor readable, once, `after_ms` milliseconds from
/// now: for the host's next timer. A new deadline replaces the old one; a negative one is none.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_mailbox_set_deadline(mailbox: cmws_handle_t, after_ms: i64) -> cmws_status_t {
    guard(|| {
        let after = u64::try_from(after_ms).ok().map(Duration::from_millis);
        Mailbox::find(mailbox)?.set_deadline(after);
        Ok(())
    })
}

/// Waits for events, up to `timeout_ms` milliseconds (0: not at all; negative: for ever), and
/// stores up to `capacity` of them. `event_size` is `sizeof(cmws_event_t)`.
///
/// There are none (and the status is OK) after the timeout, after a signal handler has run, and
/// when the deadline has come. BUSY while another thread polls this mailbox; CLOSED when it is
/// closed meanwhile.
///
/// What this thread sends between a poll that told events and its next poll or
/// `cmws_mailbox_flush` is written then, with one write for each connection; after 2 ms the
/// library writes it in any case. What is sent at other times is written at once.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_mailbox_poll(
    mailbox: cmws_handle_t,
    timeout_ms: i32,
    events: *mut cmws_event_t,
    event_size: usize,
    capacity: usize,
    out_count: *mut usize,
) -> cmws_status_t {
    guard(|| {
        check_output(out_count)?;
        let array = Array::new(events, event_size, capacity)?;
        let mailbox = Mailbox::find(mailbox)?;
        let timeout = u64::try_from(timeout_ms).ok().map(Duration::from_millis);
        let mut stored = Ok(());
        let mut count = 0;
        mailbox.poll(timeout, array.capacity(), |batch| {
            for event in batch {
                // SAFETY: as this function's contract says.
                stored = unsafe { array.set(count, to_c(event)) };
                count += 1;
            }
        })?;
        stored?;
        // SAFETY: as this function's contract says.
        unsafe { store(out_count, count) }
    })
}

/// An event as C sees it. Its text is that of the connection or listener, which the mailbox keeps
/// alive until the next poll.
fn to_c(event: &Event) -> cmws_event_t {
    let mut out = cmws_event_t {
        kind: event.kind as u32,
        status: 0,
        handle: event.handle,
        close_code: 0,
        http_status: 0,
        level: 0,
        text: c"".as_ptr(),
        text_length: 0,
    };
    let end = match &event.source {
        Source::Connection(connection) if matches!(event.kind, EventKind::Closed | EventKind::Lost) => {
            connection_end(connection, &mut out)
        }
        Source::Listener(listener) if event.kind == EventKind::Dead => listener_end(listener, &mut out),
        Source::Log(record) => {
            out.level = record.level as u32;
            Some(&*record.text)
        }
        _ => None,
    };
    if let Some(text) = end {
        out.text = text.as_ptr().cast();
        out.text_length = text.len().saturating_sub(1);
    }
    out
}

fn set_error(out: &mut cmws_event_t, error: Option<&Error>) {
    if let Some(error) = error {
        out.status = error.kind as i32;
        out.http_status = error.http_status;
    }
}

fn connection_end<'a>(connection: &'a Connection, out: &mut cmws_event_t) -> Option<&'a [u8]> {
    let (error, text) = connection.end()?;
    set_error(out, error);
    out.close_code = connection.close_info().map_or(0, |(code, _)| code);
    Some(text)
}

fn listener_end<'a>(listener: &'a Listener, out: &mut cmws_event_t) -> Option<&'a [u8]> {
    let (error, text) = listener.end()?;
    set_error(out, error);
    Some(text)
}

/// Has the mailbox get LOG events: records of what happens to its connections and listeners, up to a
/// level, one of the `CMWS_LOG_` numbers; nothing, at first. They hold no payloads, no queries, and
/// of header fields that may be secret only the names. When 1,000 wait, further ones are left out,
/// and the next one says how many. Any thread may call this.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_mailbox_set_log_level(mailbox: cmws_handle_t, level: u32) -> cmws_status_t {
    guard(|| {
        let level = match level {
            CMWS_LOG_NOTHING => None,
            CMWS_LOG_ERROR => Some(Level::Error),
            CMWS_LOG_WARNING => Some(Level::Warning),
            CMWS_LOG_INFO => Some(Level::Info),
            CMWS_LOG_DEBUG => Some(Level::Debug),
            _ => return Err(invalid("a level is one of the CMWS_LOG_ numbers")),
        };
        Mailbox::find(mailbox)?.set_log_level(level);
        Ok(())
    })
}

/// Ends the batch of the last poll: what this thread has sent since is written now, and the
/// descriptor tells what comes next. A poll does the same.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_mailbox_flush(mailbox: cmws_handle_t) -> cmws_status_t {
    guard(|| {
        Mailbox::find(mailbox)?.flush();
        Ok(())
    })
}

/// Ends a mailbox: its listeners stop, its connections are closed with 1001, all their handles
/// and its own are stale. A thread in poll is woken. Accepted bytes get at most 1 second to leave,
/// for which this call blocks; it waits for nothing else.
#[unsafe(no_mangle)]
pub extern "C" fn cmws_mailbox_close(mailbox: cmws_handle_t) -> cmws_status_t {
    guard(|| Mailbox::close(mailbox))
}

/// Starts a connection to an address (`ws://host:port/path?query`, RFC 6455, 3; or
/// `ws+unix:///path/to/socket:/path?query`), with extra header fields. `options` may be NULL.
///
/// Without the option `proxy`, the environment's variables for proxies are read in this call.
///
/// Returns the handle at once. One event follows: OPEN, or CLOSED with what failed; with the option
/// `reconnect`, LOST and OPEN follow each other after the first OPEN, until CLOSED. The attempt
/// ends within `open_timeout`; freeing the handle ends it, too. What is wrong with the arguments
/// is told by the status (INVALID_ADDRESS, INVALID_HEADER, INVALID_ARGUMENT, ...), before any network
/// activity; then there is no handle.
///
/// All arguments may go when the call returns. It wants `cmws_connection_free` in the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_mailbox_connect(
    mailbox: cmws_handle_t,
    address: *const c_char,
    address_length: usize,
    headers: *const cmws_header_t,
    header_count: usize,
    options: *const cmws_options_t,
    out_connection: *mut cmws_handle_t,
) -> cmws_status_t {
    guard(|| {
        check_output(out_connection)?;
        let mailbox = Mailbox::find(mailbox)?;
        // SAFETY: as this function's contract says.
        let (extra, address, options) = unsafe {
            (fields(headers, header_count)?, bytes(address, address_length)?, options::read(options)?)
        };
        let connection = mailbox.connect(address, &extra, options)?;
        // SAFETY: checked for NULL above; otherwise as this function's contract says.
        unsafe { store(out_connection, connection) }
    })
}

/// Binds to a host (an IP address, or a name, of which the first address is taken) and a port
/// (0: a free one), and listens; or to the path of a Unix socket, `unix:/path` with port 0, where
/// the file of a socket that nobody listens on is replaced. The port is bound when this returns; `options` are those of the
/// connections that are accepted, and may be NULL.
///
/// If it can't be, the status is LISTEN. Looking up a name blocks. It wants `cmws_listener_free`
/// in the end.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn cmws_mailbox_listen(
    mailbox: cmws_handle_t,
    host: *const c_char,
    host_length: usize,
    port: u16,
    options: *const cmws_options_t,
    out_listener: *mut cmws_handle_t,
) -> cmws_status_t {
    guard(|| {
        check_output(out_listener)?;
        let mailbox = Mailbox::find(mailbox)?;
        // SAFETY: as this function's contract says.
        let (host, options) = unsafe { (bytes(host, host_length)?, options::read(options)?) };
        let listener = mailbox.listen(host, port, options)?;
        // SAFETY: checked for NULL above; otherwise as this function's contract says.
        unsafe { store(out_listener, listener) }
    })
}
