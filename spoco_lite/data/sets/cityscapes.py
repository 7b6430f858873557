"""Cityscapes: street scenes with an instance map, 1024 x 2048 pixels as the owner publishes them.

Registration and terms: https://www.cityscapes-dataset.com (non-commercial use, no redistribution).
Cite Cordts et al. 2016.

A split is what lies in the folder of that name, in alphabetical order; whether that is the owner's whole
split, or the owner's split at all, is not known here. The labels of the owner's test images are not public.

Class numbers and their meaning: ``cityscapesscripts/helpers/labels.py`` in
https://github.com/mcordts/cityscapesScripts.
"""

from pathlib import Path

import numpy as np

from ..files import as_image, read_array
from ..paths import find
from ..sample import Sample, Samples

HOW = (
    "Cityscapes needs a registration: https://www.cityscapes-dataset.com/register. Unpack "
    "leftImg8bit_trainvaltest.zip and gtFine_trainvaltest.zip in a folder cityscapes/, and set SPOCO_DATA "
    "to the folder that holds it."
)

THINGS = {
    "person": 24,
    "rider": 25,
    "car": 26,
    "truck": 27,
    "bus": 28,
    "train": 31,
    "motorcycle": 32,
    "bicycle": 33,
}
"""The classes that the benchmark counts one by one, and their numbers in the instance maps."""

IGNORED = (*range(7), 9, 10, 14, 15, 16, 18, 29, 30)
"""The classes that the benchmark ignores: void (0 to 6: unlabelled, the own car, two kinds of image border,
static, dynamic, ground), parking, rail track, guard rail, bridge, tunnel, pole groups, caravans, trailers."""


def read(split: str, *, classes: str = "things") -> Samples:
    """The frames of a split, in the size of their files; ``size=(384, 768)`` of ``load`` makes them smaller.

    Labels, from what the owner's definitions say of a pixel:

    * k > 0: an object of the classes. The number is the owner's: ``k // 1000`` is the class number in
      ``THINGS``;
    * -1: a group of such objects that nobody told apart, or a class that the benchmark ignores (``IGNORED``);
    * 0: everything else. With one class chosen, that includes objects and groups of the other seven.

    A frame without any object of the classes stays in its split: the owner's splits are kept whole.

    Parameters
    ----------
    split
        ``"train"`` or ``"val"``.
    classes
        ``"things"``, all eight, or one of ``THINGS``.

    Raises
    ------
    ValueError
        another split or class; no frame; an image in two formats; a file that cannot be read, holds something
        else, or has another size than its partner.
    FileNotFoundError
        no folder, or a frame that lacks its image or its instance map.

    Example
    -------
    >>> try:
    ...     read("test")
    ... except ValueError as error:
    ...     print(error)
    split: found 'test'; give train or val (the labels of the test images are not public)
    """
    if classes != "things" and classes not in THINGS:
        raise ValueError(f"classes: found {classes!r}; give 'things' or one of {', '.join(THINGS)}")
    if split not in ("train", "val"):
        raise ValueError(f"split: found {split!r}; give train or val (the labels of the test images are not public)")
    folder = find("cityscapes", how=HOW)
    files = _frames(folder, split)

    def read_frame(name: str) -> Sample:
        image_path, ids_path = files[name]
        image = as_image(read_array(image_path, ndim=2), image_path, ndim=2)
        labels = labels_of(read_array(ids_path), ids_path, classes=classes)
        if image.shape[1:] != labels.shape:
            raise ValueError(
                f"{ids_path}: size {labels.shape} differs from the image's {image.shape[1:]}; "
                f"both must come from the same release ({image_path})"
            )
        return Sample(image, labels, name)

    return Samples(list(files), read_frame)


def labels_of(ids: np.ndarray, path: str | Path, *, classes: str = "things") -> np.ndarray:
    """An instance map (Y, X) of the owner as labels (Y, X), int64, as :func:`read` describes.

    In an instance map a single object is class * 1000 + n; a value below 1000 is the class alone. ``path`` is
    for the error: a ValueError if there are values that no instance map has.

    >>> labels_of(np.array([[7, 26000, 26, 24003, 24, 4]]), "car.png", classes="car")
    array([[    0, 26000,    -1,     0,     0,    -1]])
    >>> labels_of(np.array([[7, 26000, 26, 24003, 24, 4]]), "things.png")
    array([[    0, 26000,    -1, 24003,    -1,    -1]])
    """
    if ids.ndim != 2 or ids.dtype.kind not in "iu":
        raise ValueError(
            f"{path}: found shape {ids.shape} of type {ids.dtype}; an instance map has one number per pixel, "
            "give the file *_gtFine_instanceIds.png"
        )
    ids = ids.astype(np.int64)
    single = ids >= 1000
    kind = np.where(single, ids // 1000, ids)
    wrong = (kind < 0) | (kind > 33) | (single & (kind < 24))
    if wrong.any():
        raise ValueError(
            f"{path}: value {ids[wrong][0]} is neither a class (0 to 33) nor a single object "
            "(24000 to 33999); give the file *_gtFine_instanceIds.png as it was unpacked"
        )
    chosen = np.isin(kind, list(THINGS.values()) if classes == "things" else THINGS[classes])
    labels = np.where(chosen & single, ids, 0)
    labels[(chosen & ~single) | np.isin(kind, IGNORED)] = -1
    return labels


def _frames(folder: Path, split: str) -> dict[str, tuple[Path, Path]]:
    """Image and instance map of every frame of a split, by name (city_sequence_frame), in order."""
    images, maps = {}, {}
    for suffix in (".png", ".jpg"):
        ending = f"_leftImg8bit{suffix}"
        for path in (folder / "leftImg8bit" / split).glob(f"*/*{ending}"):
            other = images.setdefault(path.name.removesuffix(ending), path)
            if other != path:
                raise ValueError(f"{path}: the image is there twice, also as {other}; delete one of the two")
    ending = "_gtFine_instanceIds.png"
    for path in (folder / "gtFine" / split).glob(f"*/*{ending}"):
        maps[path.name.removesuffix(ending)] = path
    for found, missing, kind in (
        (images, maps, "gtFine/{}/{}/{}_gtFine_instanceIds.png"),
        (maps, images, "leftImg8bit/{}/{}/{}_leftImg8bit.png (or .jpg)"),
    ):
        alone = sorted(found.keys() - missing.keys())
        if alone:
            wanted = folder / kind.format(split, alone[0].split("_")[0], alone[0])
            raise FileNotFoundError(
                f"{wanted}: missing, as for {len(alone)} of {len(found)} frames of {split}; "
                "unpack both archives completely"
            )
    if not images:
        raise ValueError(f"{folder / 'leftImg8bit' / split}: no frame. {HOW}")
    return {name: (images[name], maps[name]) for name in sorted(images)}
