"""Options and headers: their shape is checked here, their meaning in the library (S8)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from . import _native
from .error import InvalidHeader

#: A header's value. A list sends the header once for each of its elements.
Value: TypeAlias = str | float | Sequence[str | float]
#: Headers by name, or as pairs of name and value.
Headers: TypeAlias = Mapping[str, Value] | Sequence[tuple[str, Value]]
#: An option's value: a number, a flag, a text or the path of a file, or a list of those.
Option: TypeAlias = float | str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | Headers

_OPTION = re.compile("[a-z_]+")


def _value(value: Any, name: str) -> bytes:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value).encode()
    raise TypeError(f"header {name}: a str, a number, or a list of those, not {type(value).__name__}")


def _pairs(headers: Any, what: str) -> Iterator[tuple[Any, Any]]:
    if isinstance(headers, Mapping):
        yield from headers.items()
        return
    if not isinstance(headers, (list, tuple)):
        raise TypeError(f"{what}: a dict or a list of pairs, not {type(headers).__name__}")
    for pair in headers:
        if not isinstance(pair, (list, tuple)) or len(pair) != 2:
            raise TypeError(f"{what}: pairs of name and value, not {type(pair).__name__}")
        yield pair[0], pair[1]


def header_fields(headers: Headers | None, what: str = "headers") -> list[tuple[bytes, bytes]]:
    """Name and value of each header, in their order."""
    fields: list[tuple[bytes, bytes]] = []
    for name, values in _pairs({} if headers is None else headers, what):
        if not isinstance(name, str):
            raise TypeError(f"{what}: names are str, not {type(name).__name__}")
        for value in values if isinstance(values, (list, tuple)) else (values,):
            fields.append((name.encode(), _value(value, name)))
    return fields


def request_fields(headers: Headers | None) -> list[tuple[bytes, bytes]]:
    """The headers of a connect: options that were put in their place are not sent to a server."""
    fields = header_fields(headers)
    for encoded, _ in fields:
        name = encoded.decode()
        if _OPTION.fullmatch(name) and _native.is_option(name):
            raise InvalidHeader(
                f"header {name}: this is an option, and options are keyword arguments "
                "(a header of this name is sent when it is spelled with a capital)"
            )
    return fields


def chosen(options: Mapping[str, Any]) -> _native.Options:
    """The library's options of keyword arguments."""
    values = dict(options)
    if "response_headers" in values:
        fields = header_fields(values["response_headers"], "response_headers")
        values["response_headers"] = [name + b": " + value for name, value in fields]
    return _native.Options(list(values.items()))
