"""The pictures of the recorded runs; they go beside the page, into a folder that is given."""

import shutil
from itertools import product
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.ticker import PercentFormatter
from of_runs import BACKGROUNDS, asked, background, by_data_set, objects, picture, read_records, recipe, tuned
from tables import count

from spoco_lite.prediction.decoders import WHOLE_IMAGE, WITH_MASK


def curves(data: Path, pictures: Path) -> str:
    """SBD against the share of the objects that is labelled, for each data set with three runs or more."""
    found = []
    for dataset, group in by_data_set(read_records(data)).items():
        group = [r for r in group if tuned(r, WHOLE_IMAGE)]
        if len(group) < 3:
            continue
        figure, ax = plt.subplots(figsize=(6, 3.6), layout="constrained")
        figure.set_facecolor("white")
        for way, colour in ((WITH_MASK, "C0"), (WHOLE_IMAGE, "C1")):
            for (labelled, marker), kind in product(zip(BACKGROUNDS, "o^Ds"), ("the paper's", "ours")):
                some = [r for r in group if tuned(r, way) and (background(r), recipe(r)) == (labelled, kind)]
                shares = [r["data"]["annotated_objects"] / objects(r) for r in some]
                label = f"{way}, background {BACKGROUNDS[labelled]}, {kind}"
                sbd = [tuned(r, way)["mean"]["sbd"] for r in some]
                style = "none" if kind == "the paper's" else "full"
                if some:
                    ax.plot(shares, sbd, marker, color=colour, fillstyle=style, linestyle=":", label=label)
        ax.set(xlabel="objects labelled", ylabel="SBD", xlim=(0, 1.05), ylim=(0, 1))
        ax.xaxis.set_major_formatter(PercentFormatter(1))
        ax.grid(alpha=0.3)
        ax.legend(fontsize=8, loc="lower right")
        pictures.mkdir(parents=True, exist_ok=True)
        figure.savefig(pictures / f"{dataset}.png", dpi=120)
        plt.close(figure)
        found.append(
            f"```{{figure}} {pictures.name}/{dataset}.png\n:alt: {dataset}: points of SBD against the share of objects "
            f"labelled; the numbers are in the tables\n\n{dataset}, {count(len(group), 'run')}, tuned decoder. Dotted "
            "lines join runs of one recipe whose background was labelled alike; hollow: the paper's, full: ours.\n```"
        )
    return "\n\n".join(found) or "No data set has three runs yet."


def examples(data: Path, pictures: Path) -> str:
    """The best, the median and the worst image of each run."""
    found = []
    for record in read_records(data):
        path = data / "runs" / record["name"] / "examples.jpg"
        if not path.is_file():
            continue
        pictures.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, pictures / f"{record['name']}.jpg")
        slices = ", middle slices" if picture(record) == "volume" else ""
        name, labelled = record["name"], f"{asked(record)} labelled, background {BACKGROUNDS[background(record)]}"
        found.append(
            f"```{{figure}} {pictures.name}/{name}.jpg\n:alt: {name}: images, the annotated objects and those found\n\n"
            f"`{name}`: {labelled}; tuned decoder{slices}.\n```"
        )
    return "\n\n".join(found)


MAKERS = (curves, examples)
