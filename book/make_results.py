"""Write the tables of results between the markers of Markdown files: python book/make_results.py FILE...

`make book` fills the page of results, `make refresh` the README. The numbers come from the records in data/runs/
(fields: spoco_lite/results/runs.py); a record without scores yields no row.
"""

import json
import re
import shlex
import sys
import textwrap
from pathlib import Path

from spoco_lite.commands.train import options_of
from spoco_lite.prediction.decoders import WHOLE_IMAGE, WITH_MASK
from spoco_lite.training.config import Config

RUNS = Path(__file__).resolve().parents[1] / "data" / "runs"
METRICS = {
    "sbd": "SBD",
    "dic": "DiC",
    "abs_dic": "abs. DiC",
    "ap50": "AP",
    "ap": "mean AP",
    "are": "ARE",
    "vi_split": "VI split",
    "vi_merge": "VI merge",
}
FORMATS = {"dic": "+.1f", "abs_dic": ".1f"}
NONE = "No run has been recorded yet."
BACKGROUNDS = {
    "none": "unlabelled",
    "strokes": "a few strokes",
    "images": "all, in whole images",  # the rest of the images has no label at all
    "all": "all labelled",
}


def read_records(runs: Path) -> list[dict]:
    """The records of all runs that have been scored: by data set, the fewest labels first."""
    records = [json.loads(path.read_text()) for path in sorted(runs.glob("*/run.json"))]

    def order(record: dict) -> tuple:
        labelled = record["config"]["fraction"], list(BACKGROUNDS).index(background(record))
        return record["data"]["dataset"], *labelled, record["data"]["annotated_objects"], record["name"]

    return sorted((record for record in records if record["scores"]), key=order)


def background(record: dict) -> str:
    """A key of BACKGROUNDS. A network that saw whole images labelled is not on one curve with those that saw all."""
    config = record["config"]
    whole = config.get("annotate") == "images" and config["fraction"] < 1
    return "images" if whole else config.get("background", "none")


def by_data_set(records: list[dict]) -> dict[str, list[dict]]:
    groups = {}
    for record in records:
        groups.setdefault(record["data"]["dataset"], []).append(record)
    return groups


def tuned(record: dict, way: str) -> dict | None:
    """The scores of the tuned decoder, if there are any."""
    return record["scores"].get(f"{way}, tuned decoder")


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def summary(records: list[dict]) -> str:
    """One row per run: what was labelled, and the scores with the tuned decoder."""
    rows = []
    for record in records:
        inside, whole = (tuned(record, way) for way in (WITH_MASK, WHOLE_IMAGE))
        if whole is None:
            continue
        row = {
            "Run": f"`{record['name']}`",
            "Scored on": f"{whole['split']}, {count(len(whole['images']), picture(record))}",
            "Objects labelled": f"{record['data']['annotated_objects']} of {objects(record)}",
            "Background": BACKGROUNDS[background(record)],
            "SBD inside the mask": number("sbd", inside["mean"]) if inside else "",
        }
        rows.append([*row.values(), *(number(metric, whole["mean"]) for metric in ("sbd", "ap50"))])
    return table([*row, "SBD", "AP"], rows) if rows else NONE


def picture(record: dict) -> str:
    return "volume" if isinstance(record["config"]["size"], list) else "image"


def results(records: list[dict]) -> str:
    """A table per data set and split: one row per run and way of scoring it, means over the images of the split.

    Columns for what older records lack appear where every row has it.
    """
    groups = {}
    for record in records:
        for way, score in record["scores"].items():
            images = count(len(score["images"]), picture(record))
            where = f"{record['data']['dataset']}, split {score['split']}, {images}"
            groups.setdefault(where, []).append(cells(record, way, score["mean"]))
    return "\n\n".join(f"**{where}**\n\n{common_columns(rows)}" for where, rows in groups.items())


def cells(record: dict, way: str, mean: dict) -> dict[str, str]:
    """The row of a run and a way of scoring it: column name -> text."""
    where, _, decoder = way.partition(", ")
    row = {"Run": f"`{record['name']}`", "Where": {WITH_MASK: "mask", WHOLE_IMAGE: "whole"}.get(where, where)}
    row["Decoder"] = decoder.removesuffix(" decoder")
    return row | {title: number(metric, mean) for metric, title in METRICS.items() if metric in mean}


def labels_to_choose(record: dict) -> str:
    """How many objects, all with their labels, chose the weights; and how many the weights and the tuned decoder."""
    tuning = [t["objects"] for t in record.get("tuning", {}).values() if "objects" in t]
    if "held_out_objects" not in record["data"] or not tuning:
        return ""
    # The held-out images do both; without them, images of the training choose the decoder.
    weights = record["data"]["held_out_objects"]
    return f"{weights}; {max(weights, *tuning)} with the decoder"


def objects(record: dict) -> int:
    """All objects of the training split, those of the images held out included."""
    return record["data"]["objects"] + record["data"].get("held_out_objects", 0)


def common_columns(rows: list[dict[str, str]]) -> str:
    header = [name for name in rows[0] if all(name in row for row in rows)]
    return table(header, [[row[name] for name in header] for row in rows])


def count(number: int, thing: str) -> str:
    """
    >>> count(1, "image"), count(2, "image")
    ('1 image', '2 images')
    """
    return f"{number} {thing}" + "s" * (number != 1)


def number(metric: str, mean: dict) -> str:
    return f"{mean[metric]:{FORMATS.get(metric, '.3f')}}"


def steps(record: dict) -> str:
    """How many there were, and what had been planned at first if the plan was changed on the way."""
    changes = [f"; {c['steps_before']} were planned until step {c['at_step']}" for c in record["changes"]]
    return str(record["steps"]) + "".join(changes)


def asked(record: dict) -> str:
    """How much was to be labelled."""
    config = record["config"]
    whole = "of the images, all objects" if config.get("annotate") == "images" else ""
    number = config.get("number")
    return f"{config['fraction']:.0%} {whole}".strip() if number is None else f"{number} {whole}".strip()


def image_size(record: dict) -> str:
    size = record["config"]["size"]
    size = " x ".join(map(str, size)) + " voxels" if isinstance(size, list) else f"{size} px"
    return size + (", windows" if record["config"].get("crop") else "")


def zoom(record: dict) -> str:
    return " x ".join(f"{share:g}" for share in record["config"].get("zoom") or ())


def provenance(records: list[dict]) -> str:
    """For each data set, one column per run: where its numbers come from."""
    groups = by_data_set(records)
    return "\n\n".join(f"**{dataset}**\n\n{origin(group)}" for dataset, group in groups.items())


def origin(records: list[dict]) -> str:
    """A row that no record has anything for is left out."""
    rows = {
        "Trained on": lambda r: f"split {r['data']['split']}, {count(r['data']['images'], picture(r))}",
        "Held out": lambda r: count(len(r["held_out"]), picture(r)) if r.get("held_out") else "",
        "Labelled": asked,
        "Objects labelled": lambda r: f"{r['data']['annotated_objects']} of {objects(r)}",
        "Objects to choose": labels_to_choose,
        "Background": lambda r: BACKGROUNDS[background(r)],
        "Brought to": zoom,
        "Image size": image_size,
        "Network": lambda r: " ".join(map(str, r["config"].get("widths", ()))),
        "Embedding": lambda r: str(r["config"].get("embedding_dim", "")),
        "Steps": steps,
        "Kept": lambda r: f"those of step {r['kept']['step']}" if r.get("kept") else "",
        "Batch": lambda r: count(r["config"]["batch"], picture(r)),
        "Seed": lambda r: str(r["config"]["seed"]),
        "Parameters": lambda r: f"{r['parameters']:,}",
        "Device": lambda r: r["device"],
        "Precision": lambda r: r.get("precision", ""),
        "Processes": lambda r: str(r.get("processes", "")),
        "Time": lambda r: f"{r['seconds'] / 60:.0f} min",
        "Peak memory": lambda r: f"{r['peak_memory_mb'] / 1024:.1f} GiB",
        "Commit": lambda r: f"`{r['commit']}`" if r["commit"] else "not in a checkout",
        "Commit of the scores": lambda r: f"`{r['scored_commit']}`" if r["scored_commit"] else "not in a checkout",
        "Versions": lambda r: ", ".join(f"{name} {version}" for name, version in r["versions"].items()),
        "Checksum of the data": lambda r: f"`{r['data']['checksum'][:12]}`",
    }
    header = ["", *(f"`{record['name']}`" for record in records)]
    filled = [[name, *(value(record) for record in records)] for name, value in rows.items()]
    return table(header, [row for row in filled if any(row[1:])])


def commands(records: list[dict]) -> str:
    """What to type to have each run once more."""
    lines = []
    for record in records:
        run = f"runs/{record['name']}"
        split = next(iter(record["scores"].values()))["split"]
        words = options_of(Config.from_record(record["config"]))
        train = shlex.join(["python", "-m", "spoco_lite", "train", run, *words])
        lines += [wrapped(train), f"python -m spoco_lite evaluate {run} --split {split}", ""]
    return "\n".join(["```bash", *lines[:-1], "```"])


def wrapped(command: str) -> str:
    """A command in lines that fit on the page; what follows an option stays with it.

    >>> print(wrapped("python " + 3 * "--a-long-option-of-the-command 5 "))
    python --a-long-option-of-the-command 5 --a-long-option-of-the-command 5 \\
        --a-long-option-of-the-command 5
    """
    together = re.sub(r" (?!--)", "\xa0", command.strip())  # a space at which no line is broken
    lines = textwrap.wrap(together, 90, subsequent_indent="    ", break_on_hyphens=False, break_long_words=False)
    return " \\\n".join(lines).replace("\xa0", " ")


def fill(text: str, runs: Path = RUNS) -> str:
    """The text with the tables between their markers, whatever stood there before."""
    records = read_records(runs)
    tables = (summary, results, provenance, commands)
    return fill_markers(text, {f.__name__: f(records) if records else NONE for f in tables})


def fill_markers(text: str, contents: dict[str, str]) -> str:
    """Put each content between ``<!-- name:begin -->`` and ``<!-- name:end -->``, where the text has these."""
    for name, content in contents.items():
        region = re.compile(rf"(<!-- {name}:begin -->\n).*?(<!-- {name}:end -->)", re.DOTALL)
        text = region.sub(lambda match, content=content: f"{match[1]}\n{content}\n\n{match[2]}", text)
    return text


if __name__ == "__main__":
    for file in map(Path, sys.argv[1:]):
        file.write_text(fill(file.read_text()))
