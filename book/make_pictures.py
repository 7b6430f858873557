"""Put the pictures of the recorded runs into a page: python book/make_pictures.py FILE...

Curves of the scores over the labels, and images of each run. They go beside the page, into `results/`.
"""

import shutil
import sys
from pathlib import Path

import matplotlib.pyplot as plt
from make_results import (
    BACKGROUNDS,
    RUNS,
    asked,
    background,
    by_data_set,
    count,
    fill_markers,
    objects,
    picture,
    read_records,
    tuned,
)
from matplotlib.ticker import PercentFormatter

from spoco_lite.prediction.decoders import WHOLE_IMAGE, WITH_MASK


def curves(records: list[dict], folder: Path) -> str:
    """SBD against the share of the objects that is labelled, for each data set with three runs or more."""
    found = []
    for dataset, group in by_data_set(records).items():
        group = [r for r in group if tuned(r, WHOLE_IMAGE)]
        if len(group) < 3:
            continue
        figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
        figure.set_facecolor("white")
        for way, colour in ((WITH_MASK, "C0"), (WHOLE_IMAGE, "C1")):
            scored = [r for r in group if tuned(r, way)]
            for labelled, marker in zip(BACKGROUNDS, ("o", "^", "D", "s")):
                some = [r for r in scored if background(r) == labelled]
                shares = [r["data"]["annotated_objects"] / objects(r) for r in some]
                label = f"{way}, background {BACKGROUNDS[labelled]}"
                sbd = [tuned(r, way)["mean"]["sbd"] for r in some]
                if some:
                    ax.plot(shares, sbd, marker, color=colour, fillstyle="none", linestyle=":", label=label)
        ax.set(xlabel="objects labelled", ylabel="SBD", xlim=(0, 1.05), ylim=(0, 1))
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8, loc="lower right")
        folder.mkdir(parents=True, exist_ok=True)
        figure.savefig(folder / f"{dataset}.png", dpi=120)
        plt.close(figure)
        found.append(
            f"```{{figure}} {folder.name}/{dataset}.png\n:alt: {dataset}: points of SBD against the share of objects "
            f"labelled; the numbers are in the tables\n\n{dataset}, {count(len(group), 'run')}, tuned decoder. Dotted "
            "lines join runs whose background was labelled alike.\n```"
        )
    return "\n\n".join(found) or "No data set has three runs yet."


def examples(records: list[dict], folder: Path, runs: Path) -> str:
    """The best, the median and the worst image of each run."""
    found = []
    for record in records:
        path = runs / record["name"] / "examples.jpg"
        if not path.is_file():
            continue
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, folder / f"{record['name']}.jpg")
        slices = ", middle slices" if picture(record) == "volume" else ""
        found.append(
            f"```{{figure}} {folder.name}/{record['name']}.jpg\n:alt: {record['name']}: images, the annotated objects "
            f"and those found\n\n`{record['name']}`: {asked(record)} labelled, background "
            f"{BACKGROUNDS[background(record)]}; tuned decoder{slices}.\n```"
        )
    return "\n\n".join(found)


def fill(text: str, pictures: Path, runs: Path = RUNS) -> str:
    """The text with the pictures, which are written into a folder."""
    records = read_records(runs)
    return fill_markers(text, {"curves": curves(records, pictures), "examples": examples(records, pictures, runs)})


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(fill(file.read_text(), file.parent / "results"))
