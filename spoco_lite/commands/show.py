"""``python -m spoco_lite show IMAGE LABELS``: an image and its label map in napari."""

import argparse
from pathlib import Path

import numpy as np

from ..data.files import as_labels, read_array, with_channels
from ..data.voxels import voxel_size
from ..prediction.napari import segment


def add_arguments(commands: argparse._SubParsersAction) -> None:
    """Add ``show`` to the command line."""
    parser = commands.add_parser("show", help="an image and its label map in napari, to look at and to mend")
    parser.add_argument("image", metavar="IMAGE", type=Path, help="an image, or a volume")
    parser.add_argument("labels", metavar="LABELS", type=Path, help="its label map")
    parser.add_argument("--key", help="name of the image inside an HDF5 or zarr file that holds several arrays")
    parser.add_argument("--label-key", help="the same for the labels")


def run(parsed: argparse.Namespace) -> int:
    """Do what the command line says, until the window is closed; returns the exit code."""
    layers = layers_of(parsed.image, parsed.labels, key=parsed.key, label_key=parsed.label_key)
    try:
        import napari
    except ImportError as error:
        raise ValueError('show: looking at images needs one more package: pip install "napari[all]"') from error
    viewer = napari.Viewer(title=parsed.image.name)
    viewer.add_image(**layers["image"])
    viewer.add_labels(**layers["labels"])
    viewer.window.add_function_widget(segment, name="segment by a run")
    napari.run()
    return 0


def layers_of(image: Path, labels: Path, *, key: str | None = None, label_key: str | None = None) -> dict[str, dict]:
    """What napari's ``add_image`` and ``add_labels`` are given: numbers, names, and micrometres of a pixel if known.

    ValueError if the two have not the same size, and what ``read_array`` raises.
    """
    numbers = as_labels(read_array(labels, key=label_key), labels, unlabeled=-1)
    pixels = with_channels(read_array(image, key=key, ndim=numbers.ndim), image, ndim=numbers.ndim)
    if pixels.shape[1:] != numbers.shape:
        raise ValueError(f"{image}: found shape {pixels.shape[1:]}, that of {labels} is {numbers.shape}")
    voxel = voxel_size(image, ndim=numbers.ndim, key=key) or voxel_size(labels, ndim=numbers.ndim, key=label_key)
    scale = {"scale": voxel, "units": "um"} if voxel else {}
    if len(pixels) == 3:
        shown = {"data": np.moveaxis(pixels, 0, -1), "rgb": True, "name": image.name}
    elif len(pixels) == 1:
        shown = {"data": pixels[0], "name": image.name}
    else:
        shown = {"data": pixels, "channel_axis": 0}  # a layer for each
    return {"image": shown | scale, "labels": {"data": numbers, "name": labels.name} | scale}
