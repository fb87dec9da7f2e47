#!/usr/bin/env python3
"""Checks docs/security.md: each test that it names exists, and Cargo.lock has the versions it asks for."""

import pathlib
import re
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
PATTERNS = {".c": r"\bTEST\((\w+)\)", ".rs": r"\bfn (\w+)", ".py": r"\bdef (test_\w+)"}


def tests():
    for folder in ("core", "ffi-c", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.suffix in PATTERNS and "target" not in path.parts:
                yield from re.findall(PATTERNS[path.suffix], path.read_text(encoding="utf-8"))


def version(text):
    return tuple(int(part) for part in re.match(r"[\d.]+", text).group().split("."))


def main():
    known = set(tests())
    wrong = []
    lines = (ROOT / "docs/security.md").read_text(encoding="utf-8").splitlines()
    dangers = [line.strip("|").split("|") for line in lines if re.match(r"\| [A-Z]", line)]
    for danger, named in dangers:
        if danger.strip() in ("Danger", "Dependency"):
            continue
        names = re.findall(r"`(\w+)`", named)
        if not names:
            wrong.append(f"{danger.strip()}: no test")
        wrong += [f"{name} does not exist" for name in names if name not in known]
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text(encoding="utf-8"))
    least = {name: text for line in lines for name, text in re.findall(r"\| `([\w-]+)` \| ([\d.]+) \|", line)}
    if not least or len(dangers) < 3:
        wrong.append("its tables were not found")
    for package in lock["package"]:
        needed = least.get(package["name"])
        if needed and version(package["version"]) < version(needed):
            wrong.append(f"{package['name']} is {package['version']}, and less than {needed}")
    for text in wrong:
        print(f"docs/security.md: {text}", file=sys.stderr)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
