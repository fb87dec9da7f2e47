"""The figures as SVG."""

import statistics

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "coromega_ws", "font.size": 8})

from matplotlib import pyplot  # noqa: E402
from report import figures  # noqa: E402
from subjects import BY_NAME, SUBJECTS  # noqa: E402


def write(results, workloads, folder):
    """A file for each language: the workloads side by side, a bar for each subject, with its spread."""
    folder.mkdir(parents=True, exist_ok=True)
    written = {}
    for language in dict.fromkeys(subject.language for subject in SUBJECTS):
        names = [s.name for s in SUBJECTS if s.language == language]
        shown = [w for w in workloads if any(results.get(w, {}).get(name) for name in names)]
        if not shown:
            continue
        chart, panels = pyplot.subplots(1, len(shown), figsize=(2.6 * len(shown), 0.8 + 0.28 * len(names)), sharey=True)
        for panel, workload in zip(panels if len(shown) > 1 else [panels], shown, strict=True):
            bars(panel, workload, results[workload], names)
        chart.suptitle("CPU microseconds of the server for a message: smaller is better; a bar at the edge is longer")
        chart.tight_layout()
        name = language.split(",")[0].lower() + ".svg"
        chart.savefig(folder / name, metadata={"Date": None})
        pyplot.close(chart)
        written[language] = name
    return written


def bars(panel, workload, answers, names):
    values = [figures(answers, name, workload.figure) for name in names]
    middles = [statistics.median(found) if found else 0 for found in values]
    down = [middle - min(found) if found else 0 for middle, found in zip(middles, values, strict=True)]
    up = [max(found) - middle if found else 0 for middle, found in zip(middles, values, strict=True)]
    colours = ["#c0392b" if BY_NAME[name].ours else "#95a5a6" for name in names]
    panel.barh(range(len(names)), middles, xerr=[down, up], color=colours, error_kw={"linewidth": 0.8})
    panel.set_yticks(range(len(names)), names)
    panel.set_title(workload.name, fontsize=8)
    # One that costs a hundred times as much would hide all others.
    least = min(middle for middle in middles if middle)
    panel.set_xlim(0, min(max(m + u for m, u in zip(middles, up, strict=True)), 12 * least) * 1.05)
    panel.invert_yaxis() if panel.get_subplotspec().is_first_col() else None
