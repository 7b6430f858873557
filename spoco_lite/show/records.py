"""Recorded runs as pictures and tables."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
from IPython.display import Markdown
from matplotlib.figure import Figure

from .plot import learning_curve

ROWS = {
    "term of the loss": ("total", "pull", "push", "instance", "unlabeled_push", "consistency", "foreground"),
    "share": ("within", "apart"),
    "SBD": ("score_g", "score_f", "sbd"),
}


def table(header: Sequence[str], rows: Sequence[Sequence]) -> Markdown:
    """Rows of cells under a header, as a notebook and the book show them.

    >>> print(table(["run", "SBD"], [["cvppp-10", 0.5]]).data)
    | run | SBD |
    | --- | --- |
    | cvppp-10 | 0.5 |
    """
    lines = [header, ["---"] * len(header), *rows]
    return Markdown("\n".join("| " + " | ".join(map(str, cells)) + " |" for cells in lines))


def show_curves(records: Mapping[str, dict]) -> Figure:
    """A new figure with the curves of some records: a column for each, with its terms, diagnostics, and validations.

    >>> record = {"steps": 20, "curve": [{"step": 10, "total": 2.0, "within": 0.1}, {"step": 20, "total": 1.0}]}
    >>> figure = show_curves({"a run": record})
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['term of the loss', 'share']
    >>> plt.close(figure)
    """
    known = {name for record in records.values() for entry in record["curve"] for name, value in entry.items() if value}
    rows = {label: names for label, names in ROWS.items() if known & set(names)}
    figure, axes = plt.subplots(
        len(rows), len(records), figsize=(9, 2.4 * len(rows)), sharey="row", squeeze=False, layout="constrained"
    )
    figure.set_facecolor("white")
    for (title, record), column in zip(records.items(), axes.T):
        for ax, (label, names) in zip(column, rows.items()):
            # Validations are rare: their row has the entries that hold one.
            entries = [e for e in record["curve"] if label != "SBD" or any(name in e for name in names)]
            shown = {n: [e.get(n, float("nan")) for e in entries] for n in names if any(e.get(n) for e in entries)}
            learning_curve(ax, [e["step"] for e in entries], shown)
            ax.get_legend().remove()
            ax.set(xlabel="", xlim=(0, record["steps"]), ylabel=label if ax in axes[:, 0] else "")
            if label != "term of the loss":
                ax.set_ylim(0, 1.02)
        column[0].set(title=title, yscale="log")
        column[-1].set_xlabel("step")
    for row in axes:  # one legend for a row: that of the run with the most lines
        lines = max((ax.get_legend_handles_labels() for ax in row), key=lambda pair: len(pair[0]))
        row[-1].legend(*lines, loc="upper left", bbox_to_anchor=(1, 1), frameon=False, fontsize=8)
    return figure
