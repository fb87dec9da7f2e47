//! Every export, checked against the type under which the bindings call it; every number, against
//! core's.

use coromega_ws_abi::{self as abi, signature};
use coromega_ws_core::{ClosedBy, EventKind, Kind, Level, MessageKind, Slow, State};

macro_rules! check_types {
    ($($name:ident)*) => { $(const _: signature::$name = crate::$name;)* };
}

check_types! {
    cmws_abi_version cmws_version cmws_status_name cmws_status_text cmws_last_error_text
    cmws_options_init cmws_options_set cmws_options_set_text cmws_options_clear
    cmws_mailbox_new cmws_mailbox_fd cmws_mailbox_set_deadline cmws_mailbox_set_log_level cmws_mailbox_poll cmws_mailbox_flush cmws_mailbox_close
    cmws_mailbox_connect cmws_mailbox_listen
    cmws_listener_address cmws_listener_accept cmws_listener_reload cmws_listener_close cmws_listener_drain
    cmws_listener_connections cmws_listener_free
    cmws_connection_info cmws_connection_header cmws_connection_send cmws_connection_receive cmws_connection_close
    cmws_connection_answer cmws_connection_ping cmws_connection_free
    cmws_message_release
    cmws_connection_begin cmws_connection_write cmws_connection_finish cmws_connection_abandon
    cmws_connection_move cmws_connection_put_back cmws_connections_send cmws_listener_counters cmws_process_counters cmws_process_metrics
}

macro_rules! check_numbers {
    ($($name:ident = $value:expr;)*) => { $(const _: () = assert!(abi::$name as u32 == $value as u32);)* };
}

check_numbers! {
    CMWS_STATUS_WOULD_BLOCK = Kind::WouldBlock;
    CMWS_STATUS_CLOSED = Kind::Closed;
    CMWS_STATUS_TIMEOUT = Kind::Timeout;
    CMWS_STATUS_BUSY = Kind::Busy;
    CMWS_STATUS_FORKED = Kind::Forked;
    CMWS_STATUS_INVALID_HANDLE = Kind::InvalidHandle;
    CMWS_STATUS_INVALID_ARGUMENT = Kind::InvalidArgument;
    CMWS_STATUS_INVALID_ADDRESS = Kind::InvalidAddress;
    CMWS_STATUS_INVALID_HEADER = Kind::InvalidHeader;
    CMWS_STATUS_INVALID_TEXT = Kind::InvalidText;
    CMWS_STATUS_INVALID_CLOSE = Kind::InvalidClose;
    CMWS_STATUS_TOO_BIG = Kind::TooBig;
    CMWS_STATUS_DNS = Kind::Dns;
    CMWS_STATUS_TCP = Kind::Tcp;
    CMWS_STATUS_TLS = Kind::Tls;
    CMWS_STATUS_HTTP = Kind::Http;
    CMWS_STATUS_HANDSHAKE = Kind::Handshake;
    CMWS_STATUS_LISTEN = Kind::Listen;
    CMWS_STATUS_PROTOCOL = Kind::Protocol;
    CMWS_STATUS_RESOURCES = Kind::Resources;
    CMWS_STATUS_AWAY = Kind::Away;
    CMWS_STATUS_MOVED = Kind::Moved;
    CMWS_STATUS_INTERNAL = Kind::Internal;
    CMWS_EVENT_OPEN = EventKind::Open;
    CMWS_EVENT_ACCEPTED = EventKind::Accepted;
    CMWS_EVENT_READABLE = EventKind::Readable;
    CMWS_EVENT_WRITABLE = EventKind::Writable;
    CMWS_EVENT_CLOSED = EventKind::Closed;
    CMWS_EVENT_DEAD = EventKind::Dead;
    CMWS_EVENT_REQUESTED = EventKind::Requested;
    CMWS_EVENT_PONG = EventKind::Pong;
    CMWS_EVENT_LOST = EventKind::Lost;
    CMWS_EVENT_MOVED = EventKind::Moved;
    CMWS_EVENT_LOG = EventKind::Log;
    CMWS_LOG_ERROR = Level::Error;
    CMWS_LOG_WARNING = Level::Warning;
    CMWS_LOG_INFO = Level::Info;
    CMWS_LOG_DEBUG = Level::Debug;
    CMWS_MESSAGE_TEXT = MessageKind::Text;
    CMWS_MESSAGE_BINARY = MessageKind::Binary;
    CMWS_SLOW_WAIT = Slow::Wait;
    CMWS_SLOW_DROP_NEWEST = Slow::DropNewest;
    CMWS_SLOW_DROP_OLDEST = Slow::DropOldest;
    CMWS_SLOW_CLOSE = Slow::Close;
    CMWS_CLOSED_BY_US = ClosedBy::Us;
    CMWS_CLOSED_BY_PEER = ClosedBy::Peer;
    CMWS_STATE_CONNECTING = State::Connecting;
    CMWS_STATE_OPEN = State::Open;
    CMWS_STATE_CLOSING = State::Closing;
    CMWS_STATE_CLOSED = State::Closed;
}
