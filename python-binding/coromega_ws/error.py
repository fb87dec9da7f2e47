"""The library's exceptions: one class for each status of its table that Python can meet."""

from __future__ import annotations

from . import _native

__all__ = [
    "Away",
    "Busy",
    "ConnectError",
    "ConnectTimeout",
    "ConnectionClosed",
    "DnsError",
    "Error",
    "Forked",
    "HandshakeError",
    "HttpError",
    "InternalError",
    "InvalidAddress",
    "InvalidArgument",
    "InvalidClose",
    "InvalidHandle",
    "InvalidHeader",
    "InvalidText",
    "ListenError",
    "Moved",
    "ProtocolError",
    "ResourcesError",
    "TcpError",
    "Timeout",
    "TlsError",
    "TooBig",
    "WouldBlock",
]


class Error(Exception):
    """What every exception of this package is."""

    #: The status that it stands for, a number of the library's table.
    status: int = 22


class WouldBlock(Error):
    """`write_limit` is reached, and there is no event loop here in which to wait."""

    status = 1


class ConnectionClosed(Error):
    """A send after the close frame, or on a connection that has ended."""

    status = 2


class Timeout(Error, TimeoutError):
    """What was waited for did not happen in time."""

    status = 3


class Busy(Error, RuntimeError):
    """Another thread waits for these events."""

    status = 4


class Forked(Error, RuntimeError):
    """The object belongs to the parent of this process."""

    status = 5


class InvalidHandle(Error, ValueError):
    """The handle is stale, of another kind, or made up."""

    status = 6


class InvalidArgument(Error, ValueError):
    """An argument or option is out of range or unknown, or a value is none that JSON can hold."""

    status = 7


class ConnectError(Error, OSError):
    """A connection could not be made. The subclass and the message say at which step."""

    status = 14


class InvalidAddress(ConnectError, ValueError):
    """The address is no `ws://` URL."""

    status = 8


class InvalidHeader(ConnectError, ValueError):
    """A header's name or value may not be sent."""

    status = 9


class InvalidText(Error, ValueError):
    """Text that is not UTF-8."""

    status = 10


class InvalidClose(Error, ValueError):
    """A close code that may not be sent, or a reason that is too long."""

    status = 11


class TooBig(Error, ValueError):
    """A message larger than `max_message_size`."""

    status = 12


class DnsError(ConnectError):
    """The host's name was not found."""

    status = 13


class TcpError(ConnectError):
    """The TCP connection was refused, reset or not possible."""

    status = 14


class TlsError(ConnectError):
    """TLS failed."""

    status = 15


class HttpError(ConnectError):
    """The server answered with another HTTP status than 101: see `http_status`."""

    status = 16
    http_status: int = 0


class HandshakeError(ConnectError):
    """The opening handshake was not that of RFC 6455."""

    status = 17


class ListenError(Error, OSError):
    """The address can't be listened on."""

    status = 18


class ProtocolError(Error):
    """The peer broke the protocol."""

    status = 19


class ResourcesError(Error, OSError):
    """The system has no more memory, descriptors or threads to give."""

    status = 20


class Away(Error, ConnectionError):
    """The connection was lost and is being made again: nothing was sent."""

    status = 21


class InternalError(Error):
    """A fault of the library itself."""

    status = 22


class Moved(Error, RuntimeError):
    """Another loop or language has taken the connection over."""

    status = 23


class ConnectTimeout(ConnectError, Timeout):
    """The connection was not open within `open_timeout`."""

    status = 3


#: The class of each status. Status 0 is success.
CLASSES: dict[int, type[Error]] = {
    cls.status: cls
    for cls in (
        WouldBlock,
        ConnectionClosed,
        Timeout,
        Busy,
        Forked,
        InvalidHandle,
        InvalidArgument,
        InvalidAddress,
        InvalidHeader,
        InvalidText,
        InvalidClose,
        TooBig,
        DnsError,
        TcpError,
        TlsError,
        HttpError,
        HandshakeError,
        ListenError,
        ProtocolError,
        ResourcesError,
        Away,
        InternalError,
        Moved,
    )
}

_CONNECT: dict[type[Error], type[Error]] = {Timeout: ConnectTimeout}


def from_status(status: int, text: str, http_status: int = 0) -> Error:
    """The exception for a status; without a text it says what the library's table says."""
    cls = CLASSES.get(status, InternalError)
    error = cls(text or _native.status_words(status)[1])
    error.status = status
    if isinstance(error, HttpError):
        error.http_status = http_status
    return error


def in_connect(error: Error) -> Error:
    """The same error as a ConnectError, which all failures of a connect are (S6)."""
    cls = type(error)
    if isinstance(error, ConnectError):
        return error
    if cls not in _CONNECT:
        _CONNECT[cls] = type(cls.__name__, (ConnectError, cls), {"status": cls.status, "__module__": __name__})
    made = _CONNECT[cls](*error.args)
    made.status = error.status
    return made
