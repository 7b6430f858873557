"""The tables of the page "Our recipe", from data/bench/, which the bench writes (book/bench)."""

from pathlib import Path

import numpy as np
import pandas as pd
from bench_rows import (
    BUDGET,
    CLIPPED,
    CODE,
    DRAWN,
    FEW,
    LABELS,
    NUCLEI,
    NUCLEI_WHY,
    PEERS,
    RECIPE,
    STROKES,
    TERMS,
    TERMS_OF_PAPER,
)
from tables import commit, count, frame, markdown

from spoco_lite.results.bench import INSIDE, WHOLE, by_seed, less, read_bench

WAYS = (WHOLE, INSIDE)
NONE = "Not measured yet."

WHY = {  # what tells why, as entries name it: as the table does
    "apart, neighbours": "neighbours apart",
    "apart, strangers": "strangers apart",
    "own, near the border": "border at home",
    "own, far from it": "inner at home",
    "background free": "soil free",
    "bound: SBD": "best SBD",
    "foreground: precision": "precision",
    "foreground: recall": "recall",
}


def with_spread(values: np.ndarray) -> str:
    """Mean and standard deviation over the seeds.

    >>> with_spread(np.array([0.5, 0.6])), with_spread(np.array([0.5]))
    ('0.550 ± 0.071', '0.500')
    """
    return f"{values.mean():.3f}" + (f" ± {values.std(ddof=1):.3f}" if len(values) > 1 else "")


def against(entries: list[dict], base: list[dict], way: str) -> str | None:
    """Mean difference in SBD to the base, over the seeds that both have; and its standard error."""
    values = less(entries, base, way=way)
    if not len(values) or entries is base:
        return None
    if len(values) == 1:
        return f"{values[0]:+.3f} (one seed)"
    return f"{values.mean():+.3f} ± {values.std(ddof=1) / len(values) ** 0.5:.3f}"


def full(data: Path, rows: dict[str, str], base: str | None = None) -> pd.DataFrame:
    """One row of the table for each row of the bench that has an entry."""
    there = read_bench(data)
    columns = {"Training": lambda row: rows[row], "Seeds": lambda row: str(len(there[row]))}
    for way in WAYS:
        for score in ("SBD", "AP50"):
            columns[f"{score}, {way}"] = lambda r, way=way, score=score: with_spread(
                by_seed(there[r], way=way, score=score)
            )
        if base in there:
            columns[f"SBD, {way}, less the first"] = lambda r, way=way: against(there[r], there[base], way)
    columns["Minutes"] = lambda row: f"{np.mean([e['cpu_minutes'] for e in there[row]]):.1f}"
    return frame_of_rows([row for row in rows if row in there], columns)


def table(data: Path, rows: dict[str, str], base: str | None = None) -> str:
    return markdown(full(data, rows, base))


def narrow(data: Path, rows: dict[str, str], base: str) -> str:
    """The same in few columns, of whole images, and with the minutes."""
    columns = ["Training", "Seeds", f"SBD, {WHOLE}", f"SBD, {WHOLE}, less the first", "Minutes"]
    some = full(data, rows, base)
    return markdown(some[[c for c in columns if c in some]])


def frame_of_rows(rows: list[str], columns: dict):
    """As :func:`tables.frame`, of names."""
    return frame([{"row": row} for row in rows], {t: lambda r, c=c: c(r["row"]) for t, c in columns.items()})


def bench_recipe(data: Path) -> str:
    return narrow(data, RECIPE, "leaves-10-paper")


def bench_recipe_full(data: Path) -> str:
    return table(data, RECIPE, "leaves-10-paper")


def bench_recipe_nuclei(data: Path) -> str:
    return table(data, NUCLEI, "nuclei-100-all-paper")


def bench_headline(data: Path) -> str:
    """What the two recipes reach in the same minutes, in a sentence; nothing until both have an entry."""
    there = read_bench(data)
    paper, ours = there.get("leaves-10-paper"), there.get("leaves-10-ours")
    if not paper or not ours:
        return NONE
    seeds, minutes = min(len(paper), len(ours)), np.mean([e["cpu_minutes"] for e in paper + ours])
    sentence = (
        "With a tenth of the leaves labelled, and nothing else, {seeds} of {minutes:.0f} minutes each reach an SBD"
    )
    parts = [sentence.format(seeds=count(seeds, "training"), minutes=minutes)]
    for way, where in ((INSIDE, INSIDE), (WHOLE, "in the whole image")):
        parts.append(
            f"{where} of {by_seed(paper, way=way).mean():.2f} with the paper's recipe and of "
            f"**{by_seed(ours, way=way).mean():.2f}** with ours"
        )
    worst, best = by_seed(ours, way=INSIDE).min(), by_seed(paper, way=INSIDE).max()
    apart = "is better than" if worst > best else "is not better than"
    return f"{parts[0]} {parts[1]}, and {parts[2]}. The worst seed of ours {apart} the best of the paper's."


def bench_labels(data: Path) -> str:
    return table(data, LABELS)


def bench_terms(data: Path) -> str:
    return "\n\n".join(
        f"{percent}% of the leaves, {recipe} recipe:\n\n{table(data, rows, next(iter(rows)))}"
        for recipe, tables in (("our", TERMS), ("the paper's", TERMS_OF_PAPER))
        for percent, rows in tables.items()
    )


def bench_few(data: Path) -> str:
    return by_base(data, FEW)


def bench_peers_leaves(data: Path) -> str:
    return table(data, PEERS["leaves"])


def bench_peers_nuclei(data: Path) -> str:
    return table(data, PEERS["nuclei"])


def bench_peers_mitochondria(data: Path) -> str:
    return table(data, PEERS["mitochondria"])


def by_base(data: Path, groups: dict[str, dict[str, str]]) -> str:
    """A table for each kind of image or labels; the first row is that with which the others are compared."""
    return "\n\n".join(
        f"{base[0].upper()}{base[1:]}:\n\n{table(data, rows, next(iter(rows)))}" for base, rows in groups.items()
    )


def bench_budget(data: Path) -> str:
    return by_base(data, BUDGET)


def bench_strokes(data: Path) -> str:
    return by_base(data, STROKES)


def bench_clipped(data: Path) -> str:
    return by_base(data, CLIPPED)


def bench_code(data: Path) -> str:
    drawn = table(data, DRAWN, "rosettes-20-paper")
    return (
        f"A tenth of the real leaves:\n\n{table(data, CODE, 'leaves-10-paper')}\n\nA fifth of drawn leaves:\n\n{drawn}"
    )


def bench_others(data: Path) -> str:
    """Rows that no table above has words for."""
    tables = RECIPE, NUCLEI, LABELS, CODE, DRAWN
    grouped = TERMS, TERMS_OF_PAPER, FEW, PEERS, BUDGET, STROKES, CLIPPED
    named = set().union(*tables, *(rows for groups in grouped for rows in groups.values()))
    return table(data, {row: f"`{row}`" for row in read_bench(data) if row not in named})


def bench_file(data: Path, folder: Path) -> str:
    """Every training as a file beside the page, and a link to it."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {"row": e["row"], "seed": e["seed"], "where": way, "SBD": sbd, "AP50": ap50, "minutes": e["cpu_minutes"]}
        for entries in read_bench(data).values()
        for way in WAYS
        for e, sbd, ap50 in zip(entries, by_seed(entries, way=way), by_seed(entries, way=way, score="AP50"))
    ]
    pd.DataFrame(rows).round(4).to_csv(folder / "bench.csv", index=False)
    return f"{{download}}`Every training as CSV <{folder.name}/bench.csv>`"


def bench_why(data: Path) -> str:
    """What tells why: the same trainings, looked into. Means over images and seeds."""
    there = read_bench(data)
    chosen = {
        row: words
        for row, words in (RECIPE | TERMS[10] | NUCLEI_WHY).items()
        if row in there and "bound: SBD" in there[row][0]["why"]
    }
    names = {name: words for name, words in WHY.items() if any(name in there[row][0]["why"] for row in chosen)}

    def cell(row: str, name: str) -> str | None:
        values = [e["why"][name] for e in there[row] if name in e["why"]]
        return f"{np.mean(values):.2f}" if values else None

    columns = {"Training": lambda row: chosen[row]}
    columns |= {words: lambda row, name=name: cell(row, name) for name, words in names.items()}
    return markdown(frame_of_rows(list(chosen), columns))


def bench_agreement(data: Path) -> str:
    """Where the anchors of the consistency lie, and how far f and g agree, at the first probe and at the last."""
    there = read_bench(data)
    more = {  # those of a tenth are in RECIPE
        row: f"{percent}% of the leaves, {words}"
        for percent, rows in TERMS_OF_PAPER.items()
        for row, words in rows.items()
    }
    rows = {row: words for row, words in (more | RECIPE).items() if row in there and there[row][0].get("curve")}
    names = {"anchors on objects": "anchors on objects", "agreement on objects": "agreement on objects",
             "agreement on background": "agreement on the background"}  # fmt: skip

    def cell(row: str, name: str) -> str | None:
        ends = [[e["curve"][place]["agreement"].get(name, np.nan) for e in there[row]] for place in (0, -1)]
        first, last = (np.nanmean(values) if np.isfinite(values).any() else np.nan for values in ends)
        return f"{first:.2f} → {last:.2f}"

    columns = {"Training": lambda row: rows[row]}
    columns |= {words: lambda row, name=name: cell(row, name) for name, words in names.items()}
    return markdown(frame_of_rows(list(rows), columns))


def bench_origin(data: Path) -> str:
    """Where the numbers come from: one row for each machine and commit."""
    entries = [e for found in read_bench(data).values() for e in found]
    columns = {"Machine": "{device}", "Commit": lambda e: commit(e["commit"])}
    found = frame(entries, columns)
    return markdown(found.value_counts(sort=False).reset_index(name="Entries")) if len(found) else markdown(found)


MAKERS = [
    bench_headline,
    bench_recipe,
    bench_recipe_full,
    bench_recipe_nuclei,
    bench_labels,
    bench_terms,
    bench_few,
    bench_peers_leaves,
    bench_peers_nuclei,
    bench_peers_mitochondria,
    bench_budget,
    bench_strokes,
    bench_clipped,
    bench_code,
    bench_why,
    bench_agreement,
    bench_others,
    bench_origin,
]
WITH_FILES = (bench_file,)
