"""The tables, in Markdown."""

import os
import platform
import re
import statistics
import subprocess
from datetime import date

from subjects import BENCH, BY_NAME, OURS_IN_C, ROOT, SUBJECTS
from workloads import CELLS, GATES, IDLE, IDLE_MOST

HEAD = """# Benchmark

`make bench` measures the echo servers and clients of this project beside those of others, in one run, and
has written this page. The servers take turns: what disturbs the machine disturbs all of them. Of each figure
the median of {rounds} rounds of {seconds} s is shown ({slow} s at least where messages take long), of a ratio
that of the ratios of the rounds. Servers and load generator share one core, so that what counts is work, not
who waits for whom; the load generator costs the same for all. A workload is named by the size of its
messages, its connections, and the messages in flight on each of them.

The peers are written as their own documentation recommends (bench/peers), with their own defaults: most leave
Nagle's algorithm on, coromega_ws sets TCP_NODELAY. {versions}.

{machine}
"""


def machine():
    with open("/proc/cpuinfo") as info:
        models = [line.partition(": ")[2].strip() for line in info if line.startswith("model name")]
    with open("/proc/meminfo") as info:
        memory = int(next(info).split()[1]) // 1024 // 1024
    return (
        f"{date.today()}, {models[0] if models else platform.machine()}, {os.cpu_count()} cores, "
        f"{memory} GiB, Linux {'.'.join(platform.release().split('.')[:2])}."
    )


def versions():
    """Of the peers, as they are pinned or installed."""
    found = re.findall(r'^(\S+) = .*"=([\d.]+)"', (BENCH / "peers/Cargo.toml").read_text(), re.MULTILINE)
    found += re.findall(r"^(\S+)==(\S+)", (BENCH / "peers/python/requirements.txt").read_text(), re.MULTILINE)
    command = ["dpkg-query", "-W", "-f", "${Package}\t${Version}\n", "libwebsockets-dev", "libboost-dev"]
    debian = subprocess.run(command, capture_output=True, text=True).stdout
    unpacked = ROOT / "build/peers/lua/versions"
    found += [line.split("\t") for line in (debian + (unpacked.read_text() if unpacked.exists() else "")).splitlines()]
    return ", ".join(f"{name.partition(':')[0]} {version}" for name, version in found if name != "matplotlib")


def figures(answers, name, figure):
    return [answer[figure] for answer in answers.get(name, [])]


def ratios(answers, ours, peer, figure):
    return [a / b for a, b in zip(figures(answers, ours, figure), figures(answers, peer, figure), strict=True)]


def number(value):
    return f"{value:,.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.2f}"


def table(head, rows):
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def of_gate(gate, workload, results):
    """A cell of the first table, and whether it holds (None where nothing is asked)."""
    answers, most = results.get(workload, {}), gate.most[workload]
    if most is None or not answers.get(gate.ours) or not answers.get(gate.peer):
        return "", None
    found = ratios(answers, gate.ours, gate.peer, workload.figure)
    ratio = statistics.median(found)
    met = ratio <= most
    value = f"**{ratio:.2f}**" if met else f"{ratio:.2f}"
    text = f"{value} ({min(found):.2f} to {max(found):.2f}) of {most:g}"
    floor = answers.get("TCP alone")
    if floor and not met:
        least = statistics.median(ratios(answers, "TCP alone", gate.peer, workload.figure))
        text += f"; TCP alone {least:.2f}"
    return text, met


def gates(results):
    cells = {(gate, workload): of_gate(gate, workload, results) for gate in GATES for workload in CELLS}
    rows = [
        [f"{gate.ours}, beside {gate.peer}", *(cells[gate, workload][0] for workload in CELLS)] for gate in GATES
    ]
    asked = [met for _, met in cells.values() if met is not None]
    text = (
        "## Beside the fastest of each language\n\n"
        "The server's CPU time per message as a ratio, smaller is better: the median (lowest to highest round) "
        f"of what is aimed at; bold where that is reached, which is {sum(asked)} of {len(asked)} times.\n\n"
    )
    text += table(["", *(workload.name for workload in CELLS)], rows)
    idle = results.get(IDLE, {})
    if idle:
        kib = statistics.median(figures(idle, OURS_IN_C, IDLE.figure))
        text += f"\nAn idle connection in C takes {kib:.2f} KiB of resident memory, of {IDLE_MOST} aimed at.\n"
    return text


def round_trips(results):
    names = list(dict.fromkeys(name for gate in GATES for name in (gate.ours, gate.peer)))
    rows = [
        [name, *(middle_of(results.get(workload, {}), name, "p50_us", "p99_us") for workload in CELLS)]
        for name in names
    ]
    return (
        "## Round trips\n\nMicroseconds, the median and the 99th percentile, on the one core that both share.\n\n"
        + table(["", *(workload.name for workload in CELLS)], rows)
    )


def middle_of(answers, name, *wanted):
    found = [figures(answers, name, figure) for figure in wanted]
    return " / ".join(number(statistics.median(values)) for values in found if values)


def languages(results, title, note):
    """A table for each language: all subjects, all workloads."""
    text = f"## {title}\n\n{note}\n"
    for language in dict.fromkeys(subject.language for subject in SUBJECTS):
        names = [s.name for s in SUBJECTS if s.language == language and any(results[w].get(s.name) for w in results)]
        if not names:
            continue
        rows = [
            [f"{workload.name}, {workload.unit}", *(compared(answers, name, names, workload) for name in names)]
            for workload, answers in results.items()
            if any(name in answers for name in names)
        ]
        text += f"\n### {title}: {language}\n\n" + table(["", *names], rows)
    return text


def compared(answers, name, names, workload):
    """The median, and for a peer how often ours goes into it: the first of ours in the table."""
    values = figures(answers, name, workload.figure)
    if not values:
        return ""
    text = number(statistics.median(values))
    first = next(n for n in names if BY_NAME[n].ours)
    if BY_NAME[name].ours or not answers.get(first):
        return text
    return f"{text} ({statistics.median(ratios(answers, first, name, workload.figure)):.2f})"


def failures(failed):
    if not failed:
        return ""
    lines = "".join(f"- {why}\n" for why in failed.values())
    return f"## What could not be measured\n\n{lines}"


def free(results):
    """With all cores."""
    text = (
        "## With all cores\n\nServer and load generator on any core: messages a second, CPU microseconds of the "
        "server for a message, 99th percentile of the round trip in microseconds. Medians. What is measured here "
        "is the machine's scheduler and the load generator as well.\n\n"
    )
    rows = []
    for name in dict.fromkeys(name for answers in results.values() for name in answers):
        cells = []
        for answers in results.values():
            found = answers.get(name)
            rate = statistics.median(a["count"] / a["seconds"] for a in found) if found else 0
            cells.append(f"{rate:,.0f}/s, {middle_of(answers, name, 'server_us', 'p99_us')}" if found else "")
        rows.append([name, *cells])
    return text + table(["", *(workload.name for workload in results)], rows)
