"""What chapter 7 shows of real volumes: an embryo of BBBC050, and the nuclei that recorded networks find in all six.

python book/make_embryo.py RUN... writes data/embryo/. It needs the data sets, and the folders of the runs with weights:
those on embryos count nuclei there, one on ovules is tried on their cells. Of a run that is not named, what is written
already stays.
"""

import json
import sys
from pathlib import Path

import numpy as np
import tifffile
from skimage.measure import regionprops_table

from spoco_lite import data
from spoco_lite.data.paths import shipped
from spoco_lite.metrics import evaluate
from spoco_lite.prediction.decoders import decode, decoder_of
from spoco_lite.prediction.evaluate import score
from spoco_lite.results.runs import load_model, load_run, prediction_size

SHOWN = "test/Emb1_t401"


def volumes(labels: np.ndarray, spacing: tuple[float, ...]) -> list[int]:
    """Of each object, in cubic micrometres."""
    return regionprops_table(labels, properties=("area",), spacing=spacing)["area"].round().astype(int).tolist()


def found(run: str, smallest: float) -> tuple[dict, dict]:
    """Volumes of what a run finds in each test embryo; mean scores once what is below ``smallest`` um3 is left out."""
    pair, config = load_model(run), load_run(run)["config"]
    by_volume, scores = {}, []
    for sample in data.load("bbbc050", "test"):
        labels = decode(pair, sample, decoder_of(config, masked=False), size=prediction_size(config), masked=False)
        by_volume[sample.name] = volumes(labels, sample.voxel_size)
        large = np.array([0, *(v >= smallest for v in by_volume[sample.name])])[labels] * labels
        result = evaluate(sample.labels, large)
        scores.append([result.symmetric_best_dice, result.ap50])
        print(run, sample.name, len(by_volume[sample.name]), scores[-1], flush=True)
    return by_volume, dict(zip(("sbd", "ap50"), np.mean(scores, 0).round(4).tolist()))


if __name__ == "__main__":
    sets = {run: load_run(run)["config"]["dataset"] for run in sys.argv[1:]}
    embryos, ovules = ([run for run, its in sets.items() if its == name] for name in ("bbbc050", "ovules"))
    folder = shipped() / "embryo"
    folder.mkdir(exist_ok=True)
    split = data.load("bbbc050", "test")
    sample = split[split.names.index(SHOWN)]
    arrays = {"image": np.rint(sample.image[0] * 255), "labels": sample.labels}
    for kind, array in arrays.items():
        tifffile.imwrite(
            folder / f"{kind}.tif", array.astype(np.uint8), compression="zlib", compressionargs={"level": 9},
            predictor=kind == "labels", photometric="minisblack", metadata={"axes": "ZYX"},
        )  # fmt: skip
    train = [v for s in data.load("bbbc050", "train") for v in volumes(s.labels, s.voxel_size)]
    smallest = np.percentile(train, 10)  # one in ten is smaller
    runs = {Path(run).name: found(run, smallest) for run in embryos}
    path = folder / "nuclei.json"
    before = json.loads(path.read_text()) if path.is_file() else {"found": {}, "without the small": {}}
    nuclei = before | {
        "voxel_size": sample.voxel_size,
        "shown": SHOWN,
        "smallest": round(smallest, 1),
        "true": {s.name: volumes(s.labels, s.voxel_size) for s in split},
        "found": before["found"] | {name: by_volume for name, (by_volume, _) in runs.items()},
        "without the small": before["without the small"] | {name: scores for name, (_, scores) in runs.items()},
    }
    for run in ovules:
        pair, config = load_model(run), load_run(run)["config"]
        cells = data.load("ovules", "test", target="cells")
        decoder = decoder_of(config, masked=False)
        nuclei["transfer"] = score(pair, cells, decoder, size=prediction_size(config), masked=False)["mean"]
    path.write_text(json.dumps(nuclei) + "\n")
