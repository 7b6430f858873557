"""``python -m spoco_lite predict RUN INPUT OUTPUT``: label maps of a folder of images, with pictures and scores."""

import argparse
import csv
import hashlib
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from skimage.segmentation import relabel_sequential
from tqdm import tqdm

from ..data.files import SUFFIXES, as_labels, files_of, open_array, read_array
from ..data.label_files import checksum, made_from, write_labels
from ..data.names import by_image
from ..data.sample import Size
from ..data.voxels import voxel_size
from ..data.writing import InUse, alone, new_memmap, same_settings, whole
from ..metrics import evaluate
from ..prediction.decoders import arguments, decoder_of, split_pieces
from ..prediction.evaluate import SCORES, tuned_decoder
from ..prediction.image import check_channels, segment_image
from ..prediction.stream import LazyImage
from ..prediction.tiles import TILE, segment_tiles
from ..results.runs import WEIGHTS, load_model, load_run, prediction_size, run_folder
from ..show.plot import match_colours, panels
from ..training.processes import device_of
from ..unet import MomentumPair
from .each import in_words

BIG = 1 << 22
"""Pixels from which an image goes through tiles: 2048 x 2048, or 161 x 161 x 161."""

PICTURE = 1024  # pixels: the longest side that a picture shows


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add ``predict`` to the command line."""
    parser = commands.add_parser(
        "predict",
        help="label maps of your images by a trained run",
        description="Writes NAME.tif (labels: 0 background, 1..K objects; the pixel size is kept) and NAME.jpg (a "
        "picture of them) for each image. Stopped at any moment, the same command goes on with what is missing.",
    )
    parser.add_argument("run", metavar="RUN", help="folder or name of a trained run")
    kinds = ", ".join(SUFFIXES)
    parser.add_argument("input", metavar="INPUT", type=Path, help=f"an image or a folder of them: {kinds}")
    parser.add_argument("output", metavar="OUTPUT", type=Path, help="folder for what is written")
    parser.add_argument("--labels", type=Path, help="folder of true label maps of the same names, for scores.csv")
    parser.add_argument("--mask", type=Path, help="folder of masks of the same names; objects are where they are not 0")
    parser.add_argument("--key", help="name of the image inside HDF5 and zarr files that hold several arrays")
    parser.add_argument("--label-key", help="the same for the labels")
    parser.add_argument(
        "--decoder",
        choices=("default", "tuned"),
        default="default",
        help="tuned: the one that is best on the images of the training, chosen now if `evaluate` has not",
    )
    parser.add_argument(
        "--tile",
        type=int,
        help=f"pixels along an axis; by default {TILE[2]} in images and {TILE[3]} in volumes, if they have more than "
        f"{BIG} pixels",
    )
    parser.add_argument("--device", help="cpu or cuda; by default a GPU if there is one")


def run(parsed: argparse.Namespace) -> int:
    """Do what the command line says; returns the exit code, 0 or 1, or 130 after Ctrl-C."""
    try:
        return _predict(parsed)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"\nstopped; the same command goes on with what {parsed.output} lacks", file=sys.stderr)
        return 130


def _predict(parsed: argparse.Namespace) -> int:
    images, output = files_of(parsed.input), parsed.output
    labels, masks = (by_image(files_of(f), images) if f else {} for f in (parsed.labels, parsed.mask))
    read = (path for files in (images, labels, masks) for path in files.values())
    if os.path.realpath(output) in {os.path.dirname(os.path.realpath(path)) for path in read}:
        raise ValueError(f"{output}: holds images, labels or masks to be read; give another folder for the output")
    record, pair = load_run(parsed.run), load_model(parsed.run)
    pair.to(device_of(parsed.device))
    masked = bool(parsed.mask)
    if parsed.decoder == "tuned":
        decoder = tuned_decoder(parsed.run, masked=masked)
    else:
        decoder = decoder_of(record["config"], masked=masked)
    size = prediction_size(record["config"])
    stretch = bool(record["config"].get("data_options", {}).get("stretch"))
    opened = partial(LazyImage, ndim=pair.f.ndim, key=parsed.key, stretch=stretch)
    if parsed.tile is not None and size is not None:
        raise ValueError(
            f"--tile: {parsed.run} brings images to {size}; only runs with crop and without zoom take tiles"
        )
    if not (output / "predict.json").is_file():
        for other in [*(output / f"{name}.jpg" for name in images), *([output / "scores.csv"] if labels else [])]:
            if other.exists():
                raise ValueError(
                    f"{other}: not written by this command; move it away, or give another folder for output"
                )
    output.mkdir(parents=True, exist_ok=True)
    weights = hashlib.sha256((run_folder(parsed.run) / WEIGHTS).read_bytes()).hexdigest()
    settings = {"weights": weights, "decoder": decoder, "mask": bool(parsed.mask), "tile": parsed.tile}
    with alone(output / ".predict.lock", wait=True):
        same_settings(output / "predict.json", settings | {"key": parsed.key}, "labels")
    rows, wrong, there = [], 0, 0

    def one_image(name: str, path: Path) -> None:
        nonlocal there
        target, picture = output / f"{name}.tif", output / f"{name}.jpg"
        mask = _partner(masks, name, parsed.mask, "mask") if parsed.mask else None
        origin = checksum(path) + (f", {checksum(mask)}" if mask else "")
        image = None
        if made_from(target) == origin:
            there += 1
        else:
            image = opened(path)
            check_channels(image.shape[0], pair.f.in_channels, path)
            picture.unlink(missing_ok=True)
            voxel = voxel_size(path, ndim=pair.f.ndim, key=parsed.key)
            _segment(pair, image, mask, target, decoder, size=size, tile=parsed.tile, origin=origin, voxel=voxel)
        truth = None
        if parsed.labels:
            file = _partner(labels, name, parsed.labels, "label map")
            truth = as_labels(read_array(file, key=parsed.label_key), file, unlabeled=-1)
            found = read_array(target).astype(np.int64)
            if truth.shape != found.shape:
                raise ValueError(f"{file}: found shape {truth.shape}, expected {found.shape}, that of {path}")
            result = evaluate(truth, found)
            rows.append({"image": name} | {k: round(getattr(result, field), 4) for k, field in SCORES.items()})
        if not picture.is_file():
            image = image or opened(path)
            _draw(image, target, truth, picture)

    busy = []  # images that another process works at: they come last
    for name, path in tqdm(_and_then(images.items(), busy), "images", len(images), unit="image", disable=None):
        try:
            with alone(output / f".{name}.lock", wait=(name, path) in busy):
                one_image(name, path)
        except InUse:
            busy.append((name, path))
        except Exception as error:  # of whatever kind: one image must not keep the others from being done
            wrong += 1
            tqdm.write(f"error: {in_words(error, path)}", file=sys.stderr)
    if there:
        print(f"{there} of {len(images)} label maps were there already, and were kept")
    if rows:
        with alone(output / ".predict.lock", wait=True):
            _tabulate(rows, output / "scores.csv")
    print(f"{len(images) - wrong} of {len(images)} images are done, in {output}")
    return 1 if wrong else 0


def _and_then(first: Iterable, more: list) -> Iterator:
    """All of the first, and then what was added to the others meanwhile."""
    yield from first
    yield from list(more)


def _segment(
    pair: MomentumPair,
    image: LazyImage,
    mask: Path | None,
    target: Path,
    decoder: dict,
    *,
    size: Size | None,
    tile: int | None,
    origin: str,
    voxel: tuple[float, ...] | None,
) -> None:
    """Write the label map of an image, whole or not at all; uint16, or uint32 in tiles and from 65,536 objects on."""
    shape, options, pieces = image.shape[1:], arguments(decoder), decoder.get("pieces")
    foreground = None if mask is None else open_array(mask)
    if foreground is not None and foreground.shape != shape:
        raise ValueError(f"{mask}: found shape {foreground.shape}, expected {shape}, that of the image")
    folder = target.with_suffix(".tiles")
    if size is None and np.prod(shape) > (BIG if tile is None else tile ** len(shape)):
        if pieces:
            raise ValueError("--decoder tuned: looks at connected pieces, which tiles cannot; take the default")
        folder.mkdir(exist_ok=True)
        labels = new_memmap(folder / "labels.npy", shape, np.uint32)
        segment_tiles(pair, image, out=labels, folder=folder, foreground=foreground, tile=tile, **options)
    else:
        foreground = None if foreground is None else np.asarray(foreground[...]) != 0
        labels = segment_image(pair, image[...], size=size, foreground=foreground, **options).cpu().numpy()
        labels = relabel_sequential(labels)[0]  # the mask may have taken an object away
        labels = split_pieces(labels, pieces) if pieces else labels
        labels = labels.astype(np.uint16 if labels.max() < 1 << 16 else np.uint32)
    write_labels(target, labels, made_from=origin, voxel_size=voxel)
    shutil.rmtree(folder, ignore_errors=True)


def _draw(image: LazyImage, target: Path, truth: np.ndarray | None, path: Path) -> None:
    """The image beside its labels, and beside the true ones if there are any; of a volume the middle slice."""
    labels = read_array(target)
    shape = image.shape[1:]
    step = max(1, max(shape) // PICTURE)
    view = (*(slice(s // 2, s // 2 + 1) for s in shape[:-2]), *(slice(0, s, step) for s in shape[-2:]))
    plane = image[(slice(None), *view)]
    plane = plane.reshape(len(plane), *plane.shape[-2:])
    pictures = [plane if len(plane) in (1, 3) else plane[:1]]
    titles, count = [path.stem.replace("$", r"\$")], labels.max()  # labels are consecutive
    labels = labels[view].reshape(plane.shape[1:]).astype(np.int64)
    if truth is not None:
        pictures.append(truth[view].reshape(plane.shape[1:]))
        titles.append("annotated")
        labels = match_colours(pictures[-1], labels)
    pictures.append(labels)
    titles.append(f"{count} objects")
    figure = panels(pictures, titles, width=4)[0].figure
    with whole(path) as temporary:
        figure.savefig(temporary, format="jpeg", dpi=100, pil_kwargs={"quality": 85})
    plt.close(figure)


def _tabulate(rows: list[dict], path: Path) -> None:
    """Write the scores, a row for each image and one with their means; and print the means."""
    mean = {key: round(float(np.mean([row[key] for row in rows])), 4) for key in SCORES}
    with whole(path) as temporary, temporary.open("w", newline="") as file:
        table = csv.DictWriter(file, fieldnames=["image", *SCORES])
        table.writeheader()
        table.writerows([*rows, {"image": "mean", **mean}])
    print(f"means over {len(rows)} images:", ", ".join(f"{key} {value:.4f}" for key, value in mean.items()))


def _partner(files: dict[str, Path], name: str, folder: Path, what: str) -> Path:
    if name not in files:
        raise FileNotFoundError(f"{folder}: no {what} named {name}; images and {what}s belong together by name")
    return files[name]
