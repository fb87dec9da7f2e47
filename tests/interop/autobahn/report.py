"""Judges what the Autobahn TestSuite reports, and writes it down."""

import json
from dataclasses import dataclass

PASSED, NON_STRICT, SKIPPED, FAILED = "passed", "non-strict", "skipped", "failed"
VERDICTS = [PASSED, NON_STRICT, SKIPPED, FAILED]


@dataclass(frozen=True)
class Result:
    """What became of one case."""

    case: str
    verdict: str
    reason: str = ""


def section(case):
    return case.split(".")[0]


def place(case):
    """Sorts cases as numbers: 2.9 before 2.10."""
    return [int(number) for number in case.split(".")]


def _events(events):
    """What a peer sent, in few words: `message "Hello", pong`, `nothing`."""
    words = []
    for event in events[:4]:
        text = "" if event[0] == "timeout" else str(event[1])
        if len(text) > 24:
            text = text[:20] + "..."
        words.append(f"{event[0]} {json.dumps(text, ensure_ascii=False)}" if text else event[0])
    if len(events) > 4:
        words[3:] = [f"and {len(events) - 3} more"]
    return ", ".join(words) or "nothing"


def _why_non_strict(page):
    received = page["received"]
    strict = page["expected"].get("OK", [])
    if len(received) < len(strict) and received == strict[: len(received)]:
        return f"the connection was failed before all that came earlier was echoed: {_events(strict)} expected, {_events(received)} received"
    if "timeout" in {event[0] for event in received[len(strict) :]}:
        return "the bad bytes were refused only when the message was complete"
    return f"{_events(strict)} expected, {_events(received)} received"


def _judge(case, page, skips):
    behavior, close = page["behavior"], page["behaviorClose"]
    if behavior == "UNIMPLEMENTED" and skips:
        return Result(case, SKIPPED, "no permessage-deflate")
    # A close is UNCLEAN only where the case asks for a clean one.
    if close not in ("OK", "INFORMATIONAL"):
        code = page["remoteCloseCode"]
        return Result(case, FAILED, f"{behavior}; close {close}, code {code}: {page['resultClose']}")
    if behavior in ("OK", "INFORMATIONAL"):
        return Result(case, PASSED)
    if behavior == "NON-STRICT":
        return Result(case, NON_STRICT, _why_non_strict(page))
    reason = page["result"]
    if "OK" in page["expected"]:
        reason = f"{_events(page['expected']['OK'])} expected, {_events(page['received'])} received"
    return Result(case, FAILED, f"{behavior}: {reason}")


def judge(outdir, agent, cases, skips):
    """The results of `cases`; one without a report has failed. `skips` says whether a case that
    the peer can't play, for want of compression, is one that has not failed."""
    try:
        index = json.loads((outdir / "index.json").read_text(encoding="utf-8"))[agent]
    except (OSError, KeyError, ValueError):
        index = {}
    results = []
    for case in cases:
        try:
            page = json.loads((outdir / index[case]["reportfile"]).read_text(encoding="utf-8"))
            results.append(_judge(case, {**page, **index[case]}, skips))
        except (OSError, KeyError, ValueError):
            results.append(Result(case, FAILED, "it has no result"))
    return results


def count(results):
    return {verdict: sum(r.verdict == verdict for r in results) for verdict in VERDICTS}


def _cell(results):
    counts = count(results)
    parts = [f"{n} {verdict}" for verdict, n in counts.items() if n]
    if counts[PASSED] == len(results):
        return str(len(results))
    return ", ".join(parts)


def table(sections, everything):
    """Rows for the sections, columns for whoever was tested, all of text."""
    rows = [["section", *everything]]
    for number, title in sorted(sections.items(), key=lambda item: place(item[0])):
        cells = [_cell([r for r in results if section(r.case) == number]) for results in everything.values()]
        if any(cell != "0" for cell in cells):
            rows.append([f"{number} {title}", *("-" if cell == "0" else cell for cell in cells)])
    rows.append(["all", *(_cell(results) for results in everything.values())])
    return rows


def listing(everything, verdict):
    """{(case, reason): who}"""
    found = {}
    for who, results in everything.items():
        for result in results:
            if result.verdict == verdict:
                found.setdefault((result.case, result.reason), []).append(who)
    return dict(sorted(found.items(), key=lambda item: place(item[0][0])))


def print_report(sections, everything):
    rows = table(sections, everything)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for verdict in (NON_STRICT, FAILED):
        for (case, reason), who in listing(everything, verdict).items():
            print(f"{verdict} {case} ({', '.join(who)}): {reason}")
    totals = count([result for results in everything.values() for result in results])
    print(
        f"Autobahn: {totals[PASSED] + totals[NON_STRICT]} passed, {totals[FAILED]} failed, "
        f"{totals[SKIPPED]} skipped ({totals[NON_STRICT]} of those that passed are non-strict)"
    )


def _markdown_row(cells):
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def markdown(sections, everything, versions):
    """The text of docs/autobahn.md."""
    rows = table(sections, everything)
    lines = [
        "# The Autobahn TestSuite",
        "",
        "Written by `make autobahn`; do not edit. The suite plays its cases with the example echo servers in",
        "[examples](../examples) and with the client loops in [tests/interop/autobahn](../tests/interop/autobahn).",
        "A number alone says that so many cases passed; `-`, that none of them was played. A case without a",
        "result, and a close with a wrong code or none where a clean one is asked for, counts as failed.",
        "",
        "Versions: " + ", ".join(f"{name} {version}" for name, version in versions) + ".",
        "",
        _markdown_row(rows[0]),
        _markdown_row(["---"] * len(rows[0])),
        *map(_markdown_row, rows[1:]),
    ]
    for verdict, title in ((NON_STRICT, "Non-strict"), (FAILED, "Failed")):
        found = listing(everything, verdict)
        lines += ["", f"## {title}", ""]
        if verdict == NON_STRICT and found:
            lines += [
                "RFC 6455 allows what these did. Which they are differs from run to run: a peer that breaks the",
                "protocol is refused at once (7.1.7), and what was then not yet echoed stays unanswered.",
                "",
            ]
        if not found:
            lines.append("None.")
            continue
        lines += [_markdown_row(["case", "who", "reason"]), _markdown_row(["---"] * 3)]
        lines += [_markdown_row([case, ", ".join(who), reason]) for (case, reason), who in found.items()]
    return "\n".join(lines) + "\n"
