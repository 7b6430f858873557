"""Scores of a trained run, per image, with and without the foreground mask; the decoder chosen on training images."""

import csv
import warnings
from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from .. import data
from ..data import Sample, Size
from ..data.folder import splits_of
from ..data.paths import shipped
from ..data.writing import alone, whole, write_json
from ..metrics import evaluate
from ..results.runs import LOCK, load_model, load_run, prediction_size, provenance, run_folder
from ..show.plot import match_colours, panels
from ..show.progress import progress_of
from ..unet import MomentumPair
from .decoders import CANDIDATES, OF_OBJECTS, WHOLE_IMAGE, WITH_MASK, Decoding, decoder_of, way_of, with_own

TUNING_WINDOW = 1 << 20  # pixels; of a larger one, its centre is enough to choose a decoder
SCORES = {
    "sbd": "symmetric_best_dice",
    "dic": "difference_in_count",
    "ap50": "ap50",
    "ap": "ap",
    "are": "adapted_rand_error",
    "vi_split": "vi_split",
    "vi_merge": "vi_merge",
}  # as records name them: as metrics.Evaluation does


def score(
    pair: MomentumPair,
    samples: Sequence[Sample],
    decoder: dict,
    *,
    size: Size | None,
    masked: bool,
    progress: bool = True,
) -> dict:
    """Scores of each image in its own size, and means: ``{decoder, mean {sbd, ..., abs_dic}, images [...]}``.

    >>> pair, samples = load_model("cvppp-10"), data.load("rosettes", "val", size=32)[:1]
    >>> decoder = {"cluster": "mean_shift", "consistent": False}
    >>> score(pair, samples, decoder, size=32, masked=True, progress=False)["images"][0]["name"]
    'rosette040'
    """
    return score_all(pair, samples, [(decoder, masked)], size=size, progress=progress)[0]


def score_all(
    pair: MomentumPair,
    samples: Sequence[Sample],
    decoders: Sequence[tuple[dict, bool]],
    *,
    size: Size | None,
    progress: bool = True,
) -> list[dict]:
    """As :func:`score` for each ``(decoder, masked)``; an image is read and embedded once."""
    images = [[] for _ in decoders]
    with progress_of(total=len(samples), desc="scoring", unit="image", shown=progress) as bar:
        for sample in samples:
            decoding = Decoding(pair, sample, size=size)
            for (decoder, masked), scored in zip(decoders, images):
                result = evaluate(sample.labels, decoding.labels(decoder, masked=masked))
                numbers = {k: round(getattr(result, name), 4) for k, name in SCORES.items()}
                scored.append({"name": sample.name} | numbers)
            bar.update()
    return [
        {"decoder": decoder, "mean": _mean(scored), "images": scored} for (decoder, _), scored in zip(decoders, images)
    ]


def _mean(images: list[dict]) -> dict:
    mean = {key: round(float(np.mean([i[key] for i in images])), 4) for key in SCORES}
    return mean | {"abs_dic": round(float(np.mean([abs(i["dic"]) for i in images])), 4)}


def tune(
    pair: MomentumPair,
    samples: Sequence[Sample],
    *,
    size: Size | None,
    masked: bool,
    own: dict | None = None,
    progress: bool = True,
) -> dict:
    """Try the candidate decoders on *training* images, best first: ``{images, objects, tried [{decoder, sbd, ...}]}``.

    Of a large volume only the centre is taken. ``objects``: how many are in what is taken, all with their labels.
    ``own`` are options that every candidate has: what the run says of the size of objects.

    >>> pair, samples = load_model("cvppp-10"), data.load("rosettes", "train", size=32)[:1]
    >>> tuning = tune(pair, samples, size=32, masked=True, progress=False)
    >>> len(tuning["tried"]), sorted(tuning["tried"][0])
    (8, ['ap50', 'decoder', 'dic', 'sbd'])
    """
    if not isinstance(size, int):  # windows of volumes, which can be large
        samples = [centre(s, TUNING_WINDOW) for s in samples]
    candidates = []
    for decoder in (with_own(candidate, own) for candidate in CANDIDATES[way_of(pair, masked=masked)]):
        if decoder not in candidates:
            candidates.append(decoder)
    decoders = [(decoder, masked) for decoder in candidates]
    tried = [
        {"decoder": scored["decoder"]} | {key: scored["mean"][key] for key in ("sbd", "dic", "ap50")}
        for scored in score_all(pair, samples, decoders, size=size, progress=progress)
    ]
    tried.sort(key=lambda t: -t["sbd"])
    objects = sum(len(np.unique(s.labels[s.labels > 0])) for s in samples)
    return {"images": [s.name for s in samples], "objects": objects, "tried": tried}


def centre(sample: Sample, pixels: int) -> Sample:
    """The middle of a sample, at most so many pixels of it: the longest axes are cut to one length.

    >>> volume = Sample(np.zeros((1, 4, 90, 80), np.float32), np.zeros((4, 90, 80), np.int64), "a")
    >>> centre(volume, 10_000).image.shape
    (1, 4, 50, 50)
    """
    shape, side = sample.labels.shape, max(sample.labels.shape)
    while np.minimum(shape, side).prod() > pixels:
        side -= 1
    middle = tuple(slice((n - min(n, side)) // 2, (n + min(n, side)) // 2) for n in shape)
    mask = sample.foreground
    return sample._replace(
        image=sample.image[:, *middle],
        labels=sample.labels[middle],
        foreground=None if mask is None else mask[middle],
    )


def default_split(dataset: str, options: dict | None = None) -> str:
    """The split to score: ``"val"``, or ``"test"`` of a data set, or a folder of one's own, that has no ``val``.

    >>> default_split("cvppp"), default_split("ovules")
    ('val', 'test')
    """
    if dataset == "folder":
        return "val" if "val" in splits_of((options or {})["path"]) else "test"
    folder = shipped() / "splits" / dataset
    return "test" if folder.is_dir() and not (folder / "val.txt").is_file() else "val"


def evaluate_run(name: str | Path, *, split: str | None = None, tuning_images: int = 12, progress: bool = True) -> dict:
    """Score a run's weights on a split and write the scores into its ``run.json``; returns the record.

    Each way of scoring is done twice: with the default decoder, and with the one that is best on ``tuning_images``
    *training* images, for which all labels are used: of those that the run held out, if it did, else the first.
    Nothing is chosen on the split that is scored, by default that of :func:`default_split`.

    Raises ValueError for the training split, while another process trains or scores the run, and for the mere name of a
    recorded run, whose record stays as it ships.
    """
    folder = run_folder(name)
    if not (Path(name) / "run.json").is_file():
        raise ValueError(f"{name}: a recorded run, whose scores are in its record; to score it again, copy {folder}")
    if tuning_images < 1:
        raise ValueError(f"tuning_images: found {tuning_images}; give 1 or more, to choose a decoder on")
    with alone(folder / LOCK):
        return _evaluate(folder, split, tuning_images, progress)


def _evaluate(folder: Path, split: str | None, tuning_images: int, progress: bool) -> dict:
    record, pair = load_run(folder), load_model(folder)
    pair = pair.to("cuda" if torch.cuda.is_available() else "cpu")
    dataset, size = record["config"]["dataset"], prediction_size(record["config"])
    options = record["config"].get("data_options", {})
    split = split or default_split(dataset, options)
    if split == "train":
        raise ValueError("split: found 'train', which chooses the decoder; give val or test")
    samples = list(data.load(dataset, split, **options))
    unlabelled = float(np.mean([(s.labels < 0).mean() for s in samples]))
    if unlabelled > 0.5:
        warnings.warn(
            f"{unlabelled:.0%} of the pixels of {dataset} {split} are unlabelled, and scores look at the others only; "
            "if these label maps are complete, say what 0 means there: data_options background and unlabeled, by split",
            stacklevel=2,
        )
    training = _tuning_images(record, tuning_images)
    ways = [WHOLE_IMAGE] if samples[0].foreground is None else [WITH_MASK, WHOLE_IMAGE]
    common = {"size": size, "progress": progress}
    decoders = {}
    record["tuning"] = {}
    for way in ways:
        masked = way == WITH_MASK
        record["tuning"][way] = tune(pair, training, masked=masked, own=_own(record), **common)
        decoders[f"{way}, default decoder"] = decoder_of(record["config"], masked=masked), masked
        decoders[f"{way}, tuned decoder"] = record["tuning"][way]["tried"][0]["decoder"], masked
    scored = score_all(pair, samples, list(decoders.values()), **common)
    record["scores"] = {label: {"split": split} | one for label, one in zip(decoders, scored)}
    record["scored_commit"] = provenance()["commit"]  # decoders change; the weights stay those of the training
    record["scored_view"] = pair.g.view
    write_json(folder / "run.json", record)
    _tabulate(record["scores"], folder / "scores.csv")
    draw_examples(pair, samples, record, folder / "examples.jpg")
    return record


def tuned_decoder(name: str | Path, *, masked: bool, tuning_images: int = 12, progress: bool = True) -> dict:
    """The decoder of a run that is best on its training images: from its record, or else it is chosen now.

    >>> tuned_decoder("cvppp-10", masked=True)["cluster"]
    'mean_shift'
    """
    record, way = load_run(name), WITH_MASK if masked else WHOLE_IMAGE
    if way not in record.get("tuning", {}):
        training = _tuning_images(record, tuning_images)
        options = {"size": prediction_size(record["config"]), "masked": masked, "progress": progress}
        record.setdefault("tuning", {})[way] = tune(load_model(name), training, own=_own(record), **options)
        if (Path(name) / "run.json").is_file():  # the record of a shipped run stays as it is
            write_json(Path(name) / "run.json", record)
    return record["tuning"][way]["tried"][0]["decoder"]


def _tuning_images(record: dict, count: int) -> list[Sample]:
    """Training images that choose a decoder: of those that the run held out, if it did, else the first."""
    config = record["config"]
    training = data.load(config["dataset"], "train", **config.get("data_options", {}))
    held_out = record.get("held_out")
    return [s for s in training if not held_out or s.name in held_out][:count]


def _own(record: dict) -> dict:
    """What the run says of objects: it holds for every decoder that is tried."""
    own = record["config"].get("decoder") or {}
    return {name: own[name] for name in OF_OBJECTS if name in own}


def _tabulate(scores: dict, path: Path) -> None:
    """Each image's scores, a row for each way of scoring."""
    with whole(path) as temporary, temporary.open("w", newline="") as file:
        table = csv.DictWriter(file, fieldnames=["way", "name", *SCORES])
        table.writeheader()
        for way, one in scores.items():
            table.writerows({"way": way, **image} for image in one["images"])


def draw_examples(pair: MomentumPair, samples: Sequence[Sample], record: dict, path: Path) -> None:
    """A picture of the best, the median and the worst image of a scored run, by the SBD of the last way of scoring.

    Of volumes, the slices in the middle.
    """
    *_, label = record["scores"]
    images = sorted(record["scores"][label]["images"], key=lambda image: -image["sbd"])
    ranks = {"best": images[0], "median": images[len(images) // 2], "worst": images[-1]}
    chosen = {image["name"]: f"{rank}: " for rank, image in ranks.items()}  # of few images, each but once
    by_name = {s.name: s for s in samples}
    pictures, titles = [], []
    for name, rank in chosen.items():
        sample = by_name[name]
        truth = _middle_slice(sample.labels)
        pictures += [_middle_slice(sample.image, channels=1), truth]
        short = (name if len(name) < 20 else f"{name[:8]}...").replace("$", r"\$")  # of bbbc038, 64 digits
        titles += [f"{rank if len(images) > 1 else ''}{short}", "annotated"]
        decoding = Decoding(pair, sample, size=prediction_size(record["config"]))
        for way in record["tuning"]:
            scored = record["scores"][f"{way}, tuned decoder"]
            labels = decoding.labels(scored["decoder"], masked=way == WITH_MASK)
            sbd = next(i["sbd"] for i in scored["images"] if i["name"] == name)
            pictures.append(match_colours(truth, _middle_slice(labels)))
            titles.append(f"{way}\nSBD {sbd:.2f}")
    figure = panels(pictures, titles, columns=len(pictures) // len(chosen))[0].figure
    with whole(path) as temporary:
        figure.savefig(temporary, format="jpeg", dpi=80, bbox_inches="tight", pil_kwargs={"quality": 75})
    plt.close(figure)


def _middle_slice(array: np.ndarray, *, channels: int = 0) -> np.ndarray:
    """The slice in the middle of a volume; an image as it is."""
    return array if array.ndim == 2 + channels else array[..., array.shape[-3] // 2, :, :]
