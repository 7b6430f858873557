"""The tables of the recorded runs, from data/runs/ (fields: spoco_lite/results/runs.py); of those that are scored."""

import json
import re
import shlex
import textwrap
from pathlib import Path

import pandas as pd
from tables import commit, count, difference, frame, gibibytes, markdown

from spoco_lite.commands.train import options_of
from spoco_lite.prediction.decoders import WHOLE_IMAGE, WITH_MASK
from spoco_lite.results.runs import of_today
from spoco_lite.training.config import Config

METRICS = {  # of a record: title, format
    "sbd": ("SBD", ".3f"),
    "dic": ("DiC", "+.1f"),
    "abs_dic": ("abs. DiC", ".1f"),
    "ap50": ("AP", ".3f"),
    "ap": ("mean AP", ".3f"),
    "are": ("ARE", ".3f"),
    "vi_split": ("VI split", ".3f"),
    "vi_merge": ("VI merge", ".3f"),
}
BACKGROUNDS = {
    "none": "unlabelled",
    "strokes": "a few strokes",
    "images": "all, in whole images",  # the rest of the images has no label at all
    "all": "all labelled",
}
NONE = "No run has been recorded yet."


def read_records(data: Path) -> list[dict]:
    """The records of all runs that have been scored: by data set, the fewest labels first."""
    records = [of_today(json.loads(path.read_text())) for path in sorted((data / "runs").glob("*/run.json"))]

    def order(record: dict) -> tuple:
        labelled = record["config"]["fraction"], list(BACKGROUNDS).index(background(record))
        ours = recipe(record) == "ours"
        return record["data"]["dataset"], *labelled, ours, record["data"]["annotated_objects"], record["name"]

    return sorted((record for record in records if record["scores"]), key=order)


def by_data_set(records: list[dict]) -> dict[str, list[dict]]:
    groups = {}
    for record in records:
        groups.setdefault(record["data"]["dataset"], []).append(record)
    return groups


# ---------------------------------------------------------------------- what a record says


def background(record: dict) -> str:
    """A key of BACKGROUNDS. A network that saw whole images labelled is not on one curve with those that saw all."""
    config = record["config"]
    whole = config.get("annotate") == "images" and config["fraction"] < 1
    return "images" if whole else config.get("background", "none")


def recipe(record: dict) -> str:
    """The paper's, or ours: places in the embedding and a foreground."""
    return "ours" if record["config"].get("unit") and record["config"].get("foreground") else "the paper's"


def tuned(record: dict, way: str) -> dict | None:
    """The scores of the tuned decoder, if there are any."""
    return record["scores"].get(f"{way}, tuned decoder")


def score(scored: dict | None, metric: str) -> str | None:
    return f"{scored['mean'][metric]:{METRICS[metric][1]}}" if scored and metric in scored["mean"] else None


def picture(record: dict) -> str:
    return "volume" if isinstance(record["config"]["size"], list) else "image"


def objects(record: dict) -> int:
    """All objects of the training split, those of the images held out included."""
    return record["data"]["objects"] + record["data"].get("held_out_objects", 0)


def scored_on(record: dict, scored: dict) -> str:
    return f"{scored['split']}, {count(len(scored['images']), picture(record))}"


def asked(record: dict) -> str:
    """How much was to be labelled."""
    config = record["config"]
    much = f"{config['fraction']:.0%}" if config.get("number") is None else str(config["number"])
    return much + (" of the images, all objects" if config.get("annotate") == "images" else "")


def labels_to_choose(record: dict) -> str | None:
    """How many objects, all with their labels, chose the weights; and how many the weights and the tuned decoder."""
    tuning = [t["objects"] for t in record.get("tuning", {}).values() if "objects" in t]
    if "held_out_objects" not in record["data"] or not tuning:
        return None
    # The held-out images do both; without them, images of the training choose the decoder.
    weights = record["data"]["held_out_objects"]
    return f"{weights}; {max(weights, *tuning)} with the decoder"


def image_size(record: dict) -> str:
    size = record["config"]["size"]
    size = " x ".join(map(str, size)) + " voxels" if isinstance(size, list) else f"{size} px"
    return size + (", windows" if record["config"].get("crop") else "")


def steps(record: dict) -> str:
    """How many there were, and what had been planned at first if the plan was changed on the way."""
    changes = [
        f"; {c['steps_before']} were planned until step {c['at_step']}"
        for c in record["changes"]
        if "steps_before" in c
    ]
    return str(record["steps"]) + "".join(changes)


# ---------------------------------------------------------------------- tables


def summary(data: Path) -> str:
    """One row per run: what was labelled, and the scores with the tuned decoder."""
    columns = {
        "Run": "`{name}`",
        "Scored on": lambda r: scored_on(r, tuned(r, WHOLE_IMAGE)),
        "Objects labelled": lambda r: f"{r['data']['annotated_objects']} of {objects(r)}",
        "Background": lambda r: BACKGROUNDS[background(r)],
        "Recipe": recipe,
        "SBD inside the mask": lambda r: score(tuned(r, WITH_MASK), "sbd"),
        "SBD": lambda r: score(tuned(r, WHOLE_IMAGE), "sbd"),
        "AP": lambda r: score(tuned(r, WHOLE_IMAGE), "ap50"),
    }
    return markdown(frame((r for r in read_records(data) if tuned(r, WHOLE_IMAGE)), columns), none=NONE)


def all_scores(data: Path) -> pd.DataFrame:
    """One row per run and way of scoring it: means over the images of the split."""
    short = {WITH_MASK: "mask", WHOLE_IMAGE: "whole"}
    columns = {
        "on": lambda row: f"{row[0]['data']['dataset']}, split {scored_on(row[0], row[2])}",
        "Run": lambda row: f"`{row[0]['name']}`",
        "Where": lambda row: short.get(row[1].split(", ")[0], row[1]),
        "Decoder": lambda row: row[1].partition(", ")[2].removesuffix(" decoder"),
        **{title: lambda row, key=key: score(row[2], key) for key, (title, _) in METRICS.items()},
    }
    rows = [(record, way, scored) for record in read_records(data) for way, scored in record["scores"].items()]
    return frame(rows, columns)


def results(data: Path) -> str:
    """All scores, a table per data set and split. Columns for what older records lack appear where every row has it."""
    scores = all_scores(data)
    if not len(scores):
        return NONE
    groups = scores.groupby("on", sort=False)
    return "\n\n".join(f"**{on}**\n\n{markdown(group.drop(columns='on').dropna(axis=1))}" for on, group in groups)


def provenance(data: Path) -> str:
    """For each data set, one column per run: where its numbers come from. What no record has is left out."""
    columns = {
        "": "`{name}`",
        "Recipe": recipe,
        "Trained on": lambda r: f"split {r['data']['split']}, {count(r['data']['images'], picture(r))}",
        "Held out": lambda r: count(len(r["held_out"]), picture(r)) if r.get("held_out") else None,
        "Labelled": asked,
        "Objects labelled": lambda r: f"{r['data']['annotated_objects']} of {objects(r)}",
        "Objects to choose": labels_to_choose,
        "Background": lambda r: BACKGROUNDS[background(r)],
        "Brought to": lambda r: " x ".join(f"{share:g}" for share in r["config"].get("zoom") or ()) or None,
        "Image size": image_size,
        "Network": lambda r: " ".join(map(str, r["config"].get("widths", ()))) or None,
        "Embedding": lambda r: r["config"].get("embedding_dim"),
        "Steps": steps,
        "Kept": lambda r: f"those of step {r['kept']['step']}" if r.get("kept") else None,
        "Notes": lambda r: " ".join(r.get("notes", ())) or None,
        "Batch": lambda r: count(r["config"]["batch"], picture(r)),
        "Seed": lambda r: r["config"]["seed"],
        "Parameters": "{parameters:,}",
        "Device": "{device}",
        "Precision": lambda r: r.get("precision"),
        "Processes": lambda r: r.get("processes"),
        "Time": lambda r: f"{r['seconds'] / 60:.0f} min",
        "Peak memory": lambda r: gibibytes(r["peak_memory_mb"]),
        "Commit": lambda r: commit(r["commit"]),
        "Commit of the scores": lambda r: commit(r["scored_commit"]),
        "Versions": lambda r: ", ".join(f"{name} {version}" for name, version in r["versions"].items()),
        "Checksum of the data": lambda r: f"`{r['data']['checksum'][:12]}`",
    }

    def table(group: list[dict]) -> pd.DataFrame:
        across = frame(group, columns).set_index("").T.dropna(how="all")
        return across.rename_axis("").reset_index()

    groups = by_data_set(read_records(data))
    return "\n\n".join(f"**{name}**\n\n{markdown(table(group))}" for name, group in groups.items()) or NONE


def scored_whole(data: Path) -> str:
    """Which runs on windows were scored before images were standardised as these windows were."""
    names = [r["name"] for r in read_records(data) if r["config"].get("crop") and not r.get("scored_view")]
    return ", ".join(f"`{name}`" for name in names) or "none"


def budget(data: Path) -> str:
    """Runs with one share of the labels, each beside the paper's with the fewest labels on its background."""
    pairs = []
    for group in by_data_set(read_records(data)).values():
        for share in dict.fromkeys(r["config"]["fraction"] for r in group):
            first, *others = (r for r in group if r["config"]["fraction"] == share)
            pairs += [(record, first) for record in others if share < 1 or recipe(record) == "ours"]

    def less(pair: tuple[dict, dict], way: str) -> str | None:
        scores = [tuned(r, way) for r in pair]
        if None in scores:
            return None
        mean, error = difference(*({image["name"]: image["sbd"] for image in s["images"]} for s in scores))
        return f"{mean:+.3f} ± {error:.3f}"

    columns = {
        "Run": lambda pair: f"`{pair[0]['name']}`",
        "Recipe": lambda pair: recipe(pair[0]),
        "Beside": lambda pair: f"`{pair[1]['name']}`",
        "Inside the mask": lambda pair: less(pair, WITH_MASK),
        "Whole image": lambda pair: less(pair, WHOLE_IMAGE),
    }
    return markdown(frame(pairs, columns), none="There are no such runs yet.")


def left_over(data: Path) -> str:
    """What the loss had left at the end of each training, and how often an image was seen.

    The curve averages over all images, where one without labels counts as 0. Here it is the mean of those with labels.
    """

    def labelled(record: dict) -> float:
        """The share of images with labels among those that were drawn: in records with ``labels`` at least one half."""
        data = record["data"]
        share = data.get("annotated_images", data["images"]) / data["images"]
        return 0.5 if share < 1 and "labels" in data else share

    def passes(record: dict) -> float:
        data = record["data"]
        drawn = record["steps"] * record["config"]["batch"] * labelled(record)
        return drawn / data.get("annotated_images", data["images"])

    def left(record: dict, term: str) -> str:
        return f"{record['curve'][-1][term] / labelled(record):.2f}"

    columns = {
        "Run": "`{name}`",
        "Background": lambda r: BACKGROUNDS[background(r)],
        "Passes": lambda r: f"{passes(r):.0f}",
        **{term.capitalize(): lambda r, term=term: left(r, term) for term in ("pull", "push", "instance")},
        "SBD": lambda r: score(tuned(r, WHOLE_IMAGE), "sbd"),
    }
    return markdown(frame(read_records(data), columns), none=NONE)


def commands(data: Path) -> str:
    """What to type to have each run once more."""
    blocks = []
    for record in read_records(data):
        run = f"runs/{record['name']}"
        split = next(iter(record["scores"].values()))["split"]
        words = options_of(Config.from_record(record["config"]))
        train = wrapped(shlex.join(["python", "-m", "spoco_lite", "train", run, *words]))
        blocks.append(f"{train}\npython -m spoco_lite evaluate {run} --split {split}")
    return "```bash\n" + "\n\n".join(blocks) + "\n```" if blocks else NONE


def wrapped(command: str) -> str:
    """A command in lines that fit on the page; what follows an option stays with it.

    >>> print(wrapped("python " + 3 * "--a-long-option-of-the-command 5 "))
    python --a-long-option-of-the-command 5 --a-long-option-of-the-command 5 \\
        --a-long-option-of-the-command 5
    """
    together = re.sub(r" (?!--)", "\xa0", command.strip())  # a space at which no line is broken
    lines = textwrap.wrap(together, 90, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)
    return " \\\n".join(lines).replace("\xa0", " ")


MAKERS = (summary, results, provenance, scored_whole, budget, left_over, commands)
