"""Volumes at once against slices linked afterwards: mitochondria, the same U-Net in 3D and in 2D, for equal minutes.

``python book/bench/slices.py FOLDER`` trains both with three seeds on slices 0 to 15 of ``vnc`` and scores slices 16 to
19, on which nothing was chosen: steps and decoders are fixed. FOLDER keeps the trainings; entries go to
``data/bench/mitochondria.jsonl`` as they are done, and none that is there is made again. One thread, some minutes
each.
"""

import sys
import time
from pathlib import Path

import ledger
import numpy as np
import tifffile
import torch
from rows import SEEDS
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from skimage.measure import label
from skimage.morphology import remove_small_objects
from skimage.segmentation import relabel_sequential

from spoco_lite import data
from spoco_lite.data import Sample, resize
from spoco_lite.data.paths import shipped
from spoco_lite.metrics import evaluate
from spoco_lite.prediction.decoders import Decoding, split_pieces
from spoco_lite.prediction.image import resize_labels
from spoco_lite.results.bench import INSIDE, WHOLE
from spoco_lite.results.runs import load_model, provenance
from spoco_lite.sums.overlaps import overlaps
from spoco_lite.training.config import Config
from spoco_lite.training.loop import train

LEDGER = shipped() / "bench" / "mitochondria.jsonl"
ZOOM = 0.125  # in the plane: voxels that are nearly cubes, and windows that show a seventh of a slice
SPECKS = {3: 20, 2: 6}  # pixels of the network; a smaller object is none
SHOWN = (1.0, 0.25, 0.25)  # shares of the size in which what was found is kept
LINK = 0.5  # share of the smaller piece that the larger one of the next slice must cover
PIECES = "connected pieces of the foreground"  # a way to decode that needs no embedding
COMMON = {
    "in_channels": 1,
    "crop": True,
    "photometry": "microscopy",
    "widths": (16, 32, 64),
    "batch": 2,
    "held_out": 0,
    "background": "all",
    "consistency": 0.0,
    "unlabeled_push": 0.0,
    "foreground": 10.0,
    "learning_rate": 4e-3,
    "log_every": 100,
}
# A step sees as many pixels in both. In 2D it is cheaper, so that there are more of them: about as many minutes.
ROWS = {
    "mitochondria-volumes": {"size": (8, 48, 48), "zoom": (1.0, ZOOM, ZOOM), "unit": (1.5, 2.0, 2.0), "steps": 1000},
    "mitochondria-slices": {"size": (48, 48), "zoom": (ZOOM, ZOOM), "unit": (2.0, 2.0), "batch": 16, "steps": 1700},
}
DECODER = {"cluster": "mean_shift", "bandwidth": 1.25, "merge": 1.25, "consistent": False}  # that of vnc-100-ours


def slices_of(sample: Sample) -> list[Sample]:
    """The slices of a volume as images; pieces of an object that do not touch in a slice are two, as an eye sees it."""
    return [
        Sample(sample.image[:, z], label(sample.labels[z], background=0, connectivity=1), f"z{z:02d}")
        for z in range(len(sample.labels))
    ]


def write_slices(samples: list[Sample], folder: Path) -> None:
    """Images and label maps as a folder of one's own, all for training; those without an object are left out."""
    names = [s.name for s in samples if s.labels.any()]
    for sample in samples:
        arrays = {"images": np.rint(sample.image[0] * 255).astype(np.uint8), "labels": sample.labels.astype(np.uint16)}
        for kind, array in arrays.items():
            (folder / kind).mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(folder / kind / f"{sample.name}.tif", array)
    (folder / "train.txt").write_text("".join(f"{name}\n" for name in names))


def link(slices: np.ndarray, *, share: float = LINK) -> np.ndarray:
    """Labels ``(Z, Y, X)`` of slices labelled one by one -> objects through the slices.

    Pieces of neighbouring slices are one object if they share so much of the smaller one. What is joined, directly or
    not, is one: so an object may branch.

    >>> found = np.array([[[1, 1, 0, 2]], [[1, 0, 0, 0]], [[0, 0, 1, 1]]])
    >>> link(found).tolist()
    [[[1, 1, 0, 2]], [[1, 0, 0, 0]], [[0, 0, 3, 3]]]
    """
    counts = [int(one.max()) for one in slices]
    first = np.cumsum([0, *counts])
    pairs = [np.zeros((2, 0), np.int64)]
    for z in range(len(slices) - 1):
        table = overlaps(slices[z], slices[z + 1])
        smaller = np.minimum(table.truth_sizes[table.row], table.prediction_sizes[table.column])
        same = table.shared >= share * smaller
        ids = np.stack([table.truth_ids[table.row[same]], table.prediction_ids[table.column[same]]])
        pairs.append(ids - 1 + first[[[z], [z + 1]]])
    edges = np.concatenate(pairs, axis=1)
    graph = coo_array((np.ones(edges.shape[1]), tuple(edges)), shape=(first[-1],) * 2)
    _, objects = connected_components(graph, directed=False)
    shifted = np.where(slices > 0, slices + first[:-1, None, None], 0)
    return relabel_sequential(np.concatenate([[0], objects + 1])[shifted])[0]


def pieces(mask: np.ndarray, min_size: int) -> np.ndarray:
    """Connected pieces of a foreground: the labels of whoever has no embedding."""
    return split_pieces(mask.astype(np.int64), min_size)


def decode_volume(pair, sample: Sample) -> dict[str, np.ndarray]:
    """Labels of each way to decode, all slices at once."""
    decoding = Decoding(pair, sample, size=ROWS["mitochondria-volumes"]["zoom"])
    decoder = DECODER | {"specks": SPECKS[3]}
    found = pieces(decoding.seen_by_g[1].numpy(), SPECKS[3])
    return {
        WHOLE: decoding.labels(decoder, masked=False),
        INSIDE: decoding.labels(decoder, masked=True),
        PIECES: resize_labels(torch.from_numpy(found), sample.labels.shape).numpy(),
    }


def decode_slices(pair, sample: Sample) -> dict[str, np.ndarray]:
    """The same, slice by slice, and linked."""
    decoder, whole_slices, inside, masks = DECODER | {"specks": SPECKS[2]}, [], [], []
    for z in range(len(sample.labels)):
        one = Sample(sample.image[:, z], sample.labels[z], f"z{z}", sample.foreground[z])
        decoding = Decoding(pair, one, size=(ZOOM, ZOOM))
        whole_slices.append(decoding.labels(decoder, masked=False))
        empty = not one.foreground.any()
        inside.append(np.zeros_like(one.labels) if empty else decoding.labels(decoder, masked=True))
        masks.append(decoding.seen_by_g[1].numpy())
    found = pieces(np.stack(masks), SPECKS[3])
    linked = (without_small(link(np.stack(one)), round(SPECKS[3] / ZOOM**2)) for one in (whole_slices, inside))
    return dict(zip((WHOLE, INSIDE), linked)) | {
        PIECES: resize_labels(torch.from_numpy(found), sample.labels.shape).numpy()
    }


def without_small(labels: np.ndarray, min_size: int) -> np.ndarray:
    """Labels without objects of fewer than ``min_size`` voxels."""
    return relabel_sequential(remove_small_objects(labels, max_size=min_size - 1))[0]


def scores_of(truth: np.ndarray, found: np.ndarray) -> list[float]:
    """SBD, AP50 and difference in count, as entries of the bench hold them."""
    result = evaluate(truth, found)
    return [round(float(v), 4) for v in (result.symmetric_best_dice, result.ap50, result.difference_in_count)]


def make(name: str, seed: int, folder: Path) -> dict:
    """The entry of a row with a seed; what was found is left in the folder, for pictures."""
    settings = ROWS[name]
    if "slices" in name:
        write_slices(slices_of(data.load("vnc", "train")[0]), folder / "slices")
        source = {"dataset": "folder", "data_options": {"path": str(folder / "slices"), "background": 0}}
    else:
        source = {"dataset": "vnc"}
    start = time.process_time()
    record = train(Config(**COMMON | settings | source | {"seed": seed}), folder / "run", progress=False)
    minutes = (time.process_time() - start) / 60
    test = data.load("vnc", "test")[0]
    test = test._replace(foreground=test.labels > 0)
    found = (decode_slices if "slices" in name else decode_volume)(load_model(folder / "run"), test)
    small = {way: resize(test._replace(labels=labels), SHOWN).labels for way, labels in found.items()}
    np.savez_compressed(folder / "found.npz", **{way: one.astype(np.uint16) for way, one in small.items()})
    entry = {"row": name, "seed": seed, "base": "mitochondria", "settings": settings, "peer": None, "patch": None}
    entry |= {"steps": settings["steps"], "cpu_minutes": round(minutes, 2), "parameters": record["parameters"]}
    entry |= {"objects": record["data"]["annotated_objects"], "of": record["data"]["objects"]}
    scores = {way: {test.name: scores_of(test.labels, labels)} for way, labels in found.items()}
    return entry | {"scores": scores, "why": {}, "device": record["device"], "commit": record["commit"]}


def linked_truth() -> dict:
    """What linking alone loses: the true pieces of each slice, linked, against the true objects. It trains nothing.

    ``why`` says how many objects of the test slices go on from the last slice of the training.
    """
    volumes = [data.load("vnc", split)[0] for split in ("train", "test")]
    scores = {}
    for sample in volumes:
        found = link(np.stack([one.labels for one in slices_of(sample)]))
        scores[sample.name] = scores_of(sample.labels, found)
    before, after = volumes[0].labels[-1], volumes[1].labels
    objects = [one.labels == k for one in volumes for k in np.unique(one.labels)[1:]]
    why = {
        "test objects": int(after.max()),
        "go on from training": len(np.unique(after[0][(before > 0) & (after[0] > 0)])),
        "objects": len(objects),
        "in pieces in some slice": sum(any(label(z, connectivity=1).max() > 1 for z in one) for one in objects),
    }
    entry = {"row": "mitochondria-true-slices-linked", "seed": 0, "base": "mitochondria", "settings": {"link": LINK}}
    entry |= {"peer": "linking", "patch": None, "steps": 0, "cpu_minutes": 0.0, "why": why}
    about = {name: provenance()[name] for name in ("device", "commit")}
    return entry | {"scores": {WHOLE: scores, INSIDE: scores}} | about


if __name__ == "__main__":
    torch.set_num_threads(1)
    folder = Path(sys.argv[1])
    entries = ledger.read(LEDGER)
    jobs = [("mitochondria-true-slices-linked", 0), *((name, seed) for seed in SEEDS for name in ROWS)]
    for name, seed in jobs:
        if not any((e["row"], e["seed"]) == (name, seed) for e in entries):
            entries.append(make(name, seed, folder / f"{name}-{seed}") if name in ROWS else linked_truth())
            print(name, seed, entries[-1]["scores"], entries[-1]["cpu_minutes"], flush=True)
            ledger.write(entries, LEDGER)
