"""What the page of results shows first: a figure and a narrow table for each data set, and pictures of each run.

Files go beside the page, into a folder that is given.
"""

import shutil
from pathlib import Path

import matplotlib.pyplot as plt
from of_runs import (
    BACKGROUNDS,
    METRICS,
    NONE,
    all_scores,
    asked,
    background,
    by_data_set,
    objects,
    picture,
    read_records,
    recipe,
    score,
    scored_on,
    tuned,
)
from tables import count, frame, markdown

from spoco_lite.prediction.decoders import WHOLE_IMAGE, WITH_MASK

TITLES = {
    "cvppp": "Leaves (`cvppp`)",
    "bbbc038": "Nuclei (`bbbc038`)",
    "bbbc050": "Nuclei of embryos, in 3D (`bbbc050`)",
    "ovules": "Nuclei of ovules, in 3D (`ovules`)",
    "vnc": "Mitochondria, in 3D (`vnc`)",
}


def main_score(group: list[dict]) -> str:
    """The score that stands first: SBD for leaves, as their challenge has it, else average precision."""
    return "sbd" if group[0]["data"]["dataset"] == "cvppp" else "ap50"


def data_sets(data: Path, pictures: Path) -> str:
    """For each data set one figure, what it shows in a sentence, and a narrow table."""
    found = []
    groups = by_data_set(read_records(data))
    for dataset in sorted(groups, key=[*TITLES, *groups].index):
        group = [r for r in groups[dataset] if tuned(r, WHOLE_IMAGE)]
        if not group:
            continue
        pictures.mkdir(parents=True, exist_ok=True)
        split = scored_on(group[0], tuned(group[0], WHOLE_IMAGE))
        title, name = TITLES.get(dataset, f"`{dataset}`"), METRICS[main_score(group)][0]
        figure = f"Split {split}, tuned decoder."
        if len(group) > 1 or len(tuned(group[0], WHOLE_IMAGE)["images"]) > 1:  # one number is no figure
            draw_scores(group, pictures / f"{dataset}.png")
            figure = (
                f"```{{figure}} {pictures.name}/{dataset}.png\n:alt: {dataset}: a line of dots for each run, one for "
                f"each {picture(group[0])}, and a bar at their mean; the means are in the table\n\n{name} of each "
                f"{picture(group[0])} (dots) and their mean (bars); split {split}, tuned decoder.\n```"
            )
        found.append(f"## {title}\n\n{what_to_see(group)}\n\n{figure}\n\n{narrow(group)}")
    return "\n\n".join(found) or NONE


def draw_scores(group: list[dict], path: Path) -> None:
    """A line for each run: the score of each image as a dot, their mean as a bar; with and without a mask."""
    metric, ways = main_score(group), ((WHOLE_IMAGE, "C0", 0.15), (WITH_MASK, "C1", -0.15))
    figure, ax = plt.subplots(figsize=(7, 0.8 + 0.42 * len(group)), layout="constrained")
    figure.set_facecolor("white")
    for way, colour, shift in ways:
        some = [(y, tuned(r, way)) for y, r in enumerate(group) if tuned(r, way)]
        for y, scored in some:
            values = [image[metric] for image in scored["images"]]
            ax.plot(values, [y + shift] * len(values), "o", color=colour, ms=3, alpha=0.35)
            ax.plot(scored["mean"][metric], y + shift, "|", color=colour, ms=12, mew=3)
        if some:
            ax.plot([], [], "|", color=colour, mew=3, label=way)
    ax.set(yticks=range(len(group)), yticklabels=[r["name"] for r in group], xlim=(0, 1), xlabel=METRICS[metric][0])
    ax.set_ylim(len(group) - 0.5, -0.5)
    ax.grid(axis="x", alpha=0.3)
    if len(ax.get_legend_handles_labels()[0]) > 1:
        ax.legend(fontsize=8, loc="lower left")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def what_to_see(group: list[dict]) -> str:
    """The best run of a data set, and the best of those with the fewest labels, in words."""
    metric = main_score(group)

    def mean(record: dict, way: str = WHOLE_IMAGE) -> float:
        return tuned(record, way)["mean"][metric]

    def of(record: dict) -> str:
        return f"{asked(record)} labelled (`{record['name']}`)"

    best = max(group, key=mean)
    worst = min(image[metric] for image in tuned(best, WHOLE_IMAGE)["images"])
    images = len(tuned(best, WHOLE_IMAGE)["images"])
    said = f"The best {METRICS[metric][0]} of whole {picture(best)}s is **{mean(best):.2f}**, with {of(best)}"
    said += f"; its worst {picture(best)} has {worst:.2f}." if images > 1 else f", on a single {picture(best)}."
    fewest = min(r["config"]["fraction"] for r in group)
    few = max((r for r in group if r["config"]["fraction"] == fewest), key=mean)
    if few is not best:
        said += f" With the fewest labels it is **{mean(few):.2f}**, with {of(few)}."
        if tuned(few, WITH_MASK):
            given = [f"{mean(r, WITH_MASK):.2f}" for r in (best, few)]
            said += f" Where the foreground is given, these two have {given[0]} and {given[1]}."
    return said


def narrow(group: list[dict]) -> str:
    """One row for each run, few columns."""
    columns = {
        "Run": "`{name}`",
        "Recipe": recipe,
        "Objects labelled": lambda r: f"{r['data']['annotated_objects']} of {objects(r)}",
        "SBD, mask": lambda r: score(tuned(r, WITH_MASK), "sbd"),
        "SBD": lambda r: score(tuned(r, WHOLE_IMAGE), "sbd"),
        "AP": lambda r: score(tuned(r, WHOLE_IMAGE), "ap50"),
    }
    return markdown(frame(group, columns).dropna(axis=1, how="all"))


def scores_file(data: Path, pictures: Path) -> str:
    """All scores as a file beside the page, and a link to it."""
    pictures.mkdir(parents=True, exist_ok=True)
    all_scores(data).to_csv(pictures / "scores.csv", index=False)
    return f"{{download}}`All scores as CSV <{pictures.name}/scores.csv>`"


def in_words(image: dict, which: str = "The best") -> str:
    """
    >>> in_words({"sbd": 0.5, "dic": -3})
    'The best has an SBD of 0.50; 3 objects too few.'
    """
    off = int(image["dic"])
    much = f"{count(abs(off), 'object')} too {'few' if off < 0 else 'many'}" if off else "as many objects as there are"
    return f"{which} has an SBD of {image['sbd']:.2f}; {much}."


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
        images = sorted(tuned(record, WHOLE_IMAGE)["images"], key=lambda image: -image["sbd"])
        ends = f" {in_words(images[0])}" + (f" {in_words(images[-1], 'The worst')}" if len(images) > 1 else "")
        found.append(
            f"```{{figure}} {pictures.name}/{name}.jpg\n:alt: {name}: images, the annotated objects and those found\n\n"
            f"`{name}`: {labelled}; tuned decoder{slices}.{ends}\n```"
        )
    return "\n\n".join(found)


MAKERS = (data_sets, scores_file, examples)
