#!/usr/bin/env python3
"""Writes the table that says which rule is proved by which test.

    rules.py FILE            writes it
    rules.py --check FILE    fails if FILE is not what would be written

A test proves the rule whose number its name begins with: S20_... in C and Lua, test_S20_... in
Python, s20_... in Rust. Tests in tests/interop and tests/lifecycle drive several languages; the
words lua, python and c in their names say which. A rule without a test in a language is an error,
unless it is listed below.
"""

import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
LANGUAGES = ["lua", "python", "c"]

# Rules of a later version.
NOT_YET = {}
# Rules of which a part is missing.
PARTLY = {}
# Rules that belong to the bindings.
NOT_IN_C = {1, 2, 4, 15, 16}
LAST = 36

PATTERNS = {
    ".c": r"\bTEST\((S\d+_\w+)\)",
    ".lua": r"\b(S\d+_\w+)",
    ".py": r"\bdef (test_S\d+_\w+)",
    ".rs": r"\bfn ((?:test_)?[sS]\d+_\w+)",
}


def tests_in(folder):
    for path in sorted((ROOT / folder).rglob("*")):
        pattern = PATTERNS.get(path.suffix)
        if pattern and "target" not in path.parts:
            yield from dict.fromkeys(re.findall(pattern, path.read_text(encoding="utf-8")))


def number_of(name):
    found = re.search(r"[sS](\d+)_", name)
    return int(found.group(1)) if found else None


def collect():
    """{rule: {language or "core": [test, ...]}}"""
    table = {rule: {column: [] for column in [*LANGUAGES, "core"]} for rule in range(1, LAST + 1)}

    def add(name, column):
        rule = number_of(name)
        if rule in table and name not in table[rule][column]:
            table[rule][column].append(name)

    for language in LANGUAGES:
        for name in tests_in(f"tests/{language}"):
            add(name, language)
    for folder in ("tests/interop", "tests/lifecycle"):
        for name in tests_in(folder):
            for word in set(name.split("_")) & set(LANGUAGES):
                add(name, word)
    for folder in ("core", "ffi-c"):
        for name in tests_in(folder):
            add(name, "core")
    return table


def holes(table):
    for rule, columns in table.items():
        if rule in NOT_YET:
            continue
        for language in LANGUAGES:
            if not columns[language] and not (language == "c" and rule in NOT_IN_C):
                yield f"S{rule} has no test in {language}"


def cell(names):
    return "<br>".join(f"`{name}`" for name in names)


def text(table):
    lines = [
        "# Which rule is proved where",
        "",
        "Written by `make docs`; do not edit. The rules are those of [semantics.md](semantics.md). A test's",
        "name begins with the number of the rule that it proves. `core` lists the Rust tests beside them.",
        "",
        "| Rule | Lua | Python | C | core |",
        "|---|---|---|---|---|",
    ]
    for rule, columns in table.items():
        cells = {column: cell(names) for column, names in columns.items()}
        note = ""
        if rule in NOT_YET:
            note = f"<br>not yet: {NOT_YET[rule]}"
        elif rule in PARTLY:
            note = f"<br>{PARTLY[rule]}"
        if rule in NOT_IN_C and not columns["c"]:
            cells["c"] = "not in C"
        if rule == 19:
            cells["c"] += "<br>JSON: not in C"
        for column in LANGUAGES:
            if rule in NOT_YET and not columns[column]:
                cells[column] = "not yet"
        lines.append(
            f"| **S{rule}**{note} | {cells['lua']} | {cells['python']} | {cells['c']} | {cells['core']} |"
        )
    return "\n".join(lines) + "\n"


def main():
    check = sys.argv[1:2] == ["--check"]
    file = pathlib.Path(sys.argv[-1])
    table = collect()
    missing = list(holes(table))
    for hole in missing:
        print(hole, file=sys.stderr)
    wanted = text(table)
    if not check:
        file.write_text(wanted, encoding="utf-8")
    elif not file.exists() or file.read_text(encoding="utf-8") != wanted:
        print(f"{file} is stale: run `make docs`", file=sys.stderr)
        return 1
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main())
