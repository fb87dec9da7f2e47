#!/usr/bin/env python3
"""Compares the table of options in the documents with the options that the library has.

    options.py FILE...    fails where a row is missing, stale or too many

Names, sides, units, ranges and defaults are read from core/src/limits.rs and core/src/options.rs.
"""

import pathlib
import re
import sys

CORE = pathlib.Path(__file__).resolve().parents[1] / "core/src"
# The words of a table, by the ending of its file's name.
ENGLISH = {
    "Both": "both",
    "Client": "client",
    "Server": "server",
    "text": "text",
    "list": "list of texts",
    "headers": "headers",
    "compression": "1 for clients, 0 for servers",
}
CHINESE = {
    "Both": "双方",
    "Client": "客户端",
    "Server": "服务器",
    "text": "文本",
    "list": "文本列表",
    "headers": "头字段",
    "compression": "客户端 1，服务器 0",
}
KINDS = {"String": "text", "Vec<String>": "list", "Vec<Vec<u8>>": "headers"}


def size(number):
    for unit, factor in ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10):
        if number and number % factor == 0:
            return f"{number // factor} {unit}"
    return f"{number} B"


def shown(unit, number):
    if unit == "Seconds":
        return f"{number:g} s"
    return size(int(number)) if unit == "Bytes" else f"{number:.0f}"


def numbers(words):
    """{name: (side, what it takes, default)} of limits.rs."""
    source = (CORE / "limits.rs").read_text(encoding="utf-8")
    values = {}
    for name, value in re.findall(r"^const (\w+): f64 = ([\w .*]+);", source, re.M):
        values[name] = eval(value, {}, values)  # a product of numbers and of those before it
    constants = dict(re.findall(r"^pub const (\w+): Limit =\s*(.*?);$", source, re.M | re.S))
    found = {}
    listed = re.search(r"pub const LIMITS: &\[Limit\] = &\[(.*?)\];", source, re.S).group(1)
    for constant in re.findall(r"\w+", listed):
        text = constants[constant]
        side = re.search(r"Side::(\w+)", text)
        side = words[side.group(1) if side else "Both"]
        name, arguments = re.search(r'(?:limit|flag)\(\s*"(\w+)",([^)]*)\)', text, re.S).groups()
        unit = re.search(r"Unit::(\w+)", arguments)
        figures = [eval(a, {}, values) for a in arguments.split(",") if a.strip() and "::" not in a]
        if unit:
            default, least, most = figures
            takes = f"{shown(unit[1], least)} – {shown(unit[1], most)}"
            found[name] = (side, takes, shown(unit[1], default))
        else:
            found[name] = (side, "0 / 1", f"{figures[0]:.0f}")
    if "compression.unwrap_or(role == Role::Client)" not in (CORE / "options.rs").read_text(encoding="utf-8"):
        raise SystemExit("options.py: the default of compression is written in another way")
    found["compression"] = (*found["compression"][:2], words["compression"])
    return found


def texts(words):
    """The same of options.rs."""
    source = (CORE / "options.rs").read_text(encoding="utf-8")
    fields = re.search(r"struct Texts \{(.*?)\n\}", source, re.S).group(1)
    kinds = dict(re.findall(r"pub (\w+): ([\w<>]+),", fields))
    rows = re.findall(r'^    \("(\w+)", Side::(\w+)\),', source, re.M)
    return {name: (words[side], words[KINDS[kinds[name]]], "–") for name, side in rows}


def table(file):
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \| ([^|]*) \| ([^|]*) \| [^|]+ \|$", file.read_text("utf-8"), re.M)
    for name in {row[0] for row in rows}:
        if sum(row[0] == name for row in rows) > 1:
            yield name, ("twice",)
    yield from ((row[0], tuple(row[1:])) for row in rows)


def main():
    stale = False
    for file in map(pathlib.Path, sys.argv[1:]):
        words = CHINESE if file.name.endswith(".zh-CN.md") else ENGLISH
        wanted = {**numbers(words), **texts(words)}
        written = list(table(file))
        for name, cells in written:
            if wanted.get(name) != cells:
                print(f"{file}: option {name} is {cells}; the library says {wanted.get(name)}", file=sys.stderr)
                stale = True
        for name in wanted.keys() - {name for name, _ in written}:
            print(f"{file}: option {name} is missing: {wanted[name]}", file=sys.stderr)
            stale = True
    return 1 if stale else 0


if __name__ == "__main__":
    sys.exit(main())
