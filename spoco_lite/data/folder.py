"""Images and label maps of your own, in a folder. ``book/own_images.md`` is a worked example.

::

    cells/
    ├── images/ a.png b.png ...     PNG, JPEG, TIFF (several pages: a volume), HDF5, npy, zarr
    ├── labels/ a.png b.tif ...     the same, but no JPEG; paired by the name without its ending;
    │                               a_cp_masks.tif, a_labels.tif and the like belong to a
    └── train.txt val.txt test.txt  the names in each split, one on each line: write_splits makes them

Instead of the text files, there may be a folder for each split: ``cells/train/images``,
``cells/train/labels``. Instead of ``images`` and ``labels``, there may be ``volumes``: HDF5 or zarr files
that hold ``raw`` and ``label``.
"""

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from numbers import Real
from pathlib import Path

import numpy as np

from .files import as_image, as_labels, files_of, read_array
from .formats import OtherAxes
from .names import by_image
from .sample import Sample, Samples
from .splits import SPLITS

Meaning = int | dict[str, int] | None  # a value in label maps, in all splits or in each


def read(
    split: str,
    *,
    path: str | Path,
    background: Meaning = None,
    unlabeled: Meaning = None,
    voxel_size: Sequence[float] | None = None,
    image_key: str | None = None,
    label_key: str | None = None,
    stretch: bool = False,
) -> Samples:
    """The images of a split in their own size, each read when it is asked for.

    The label map decides what is an axis: it is (Y, X) or (Z, Y, X), and the image has the same axes and
    perhaps one more for channels, first or last. Images become float32 in [0, 1] by the rules of
    :func:`spoco_lite.data.files.as_image`: 8 bits are divided by 255, all else is scaled image by image.
    Objects keep their numbers. One object may fill the whole image, as in a crop from inside a cell.

    Parameters
    ----------
    split
        ``"train"``, ``"val"`` or ``"test"``.
    path
        the folder; the module's description shows how it is laid out.
    background
        the value in the label maps that means: looked at, and no object.
    unlabeled
        the value that means: not looked at. Every value below 1 that occurs must be one of the two. There is
        no default: 0 is background in some label maps, unlabelled in others, and no program can see which. Where the
        splits differ, give either as a dictionary: ``unlabeled={"train": 0}, background={"val": 0, "test": 0}``.
    voxel_size
        micrometres along each axis, (y, x) or (z, y, x), the same for all images, if it is known.
    image_key, label_key
        of HDF5 or zarr files that hold several data sets, the names of those to read; in ``volumes``, ``raw``
        and ``label`` if nothing else is given.
    stretch
        scale images of 8 bits as all others, by the percentiles of each channel: for images that are dark as a whole.

    Raises
    ------
    ValueError
        it is not said which image is in which split, or a name is in two; two files have the same name; a
        file cannot be read or does not fit its partner; a label map has no object; an option is wrong.
    FileNotFoundError
        no such folder, or a name without image or label map.

    Example
    -------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for kind, array in (("images", np.eye(8)), ("labels", 5 * np.eye(8, dtype=int))):
    ...     (root / "train" / kind).mkdir(parents=True)
    ...     np.save(root / "train" / kind / "cell.npy", array)
    >>> samples = read("train", path=root, background=0)
    >>> samples.names, samples[0].image.shape, np.unique(samples[0].labels).tolist()
    (['cell'], (1, 8, 8), [0, 5])
    """
    if voxel_size is not None:
        axes = voxel_size if isinstance(voxel_size, Sequence | np.ndarray) else ()
        if len(axes) not in (2, 3) or not all(isinstance(v, Real) and 0 < v < math.inf for v in axes):
            raise ValueError(f"voxel_size: found {voxel_size!r}; give micrometres along each axis, (y, x) or (z, y, x)")
        voxel_size = tuple(map(float, axes))
    if not isinstance(stretch, bool):
        raise ValueError(f"stretch: found {stretch!r}; give true or false")
    background, unlabeled = _meaning("background", background, split), _meaning("unlabeled", unlabeled, split)
    pairs = _pairs_of_split(_folder(path), split)

    def read_pair(name: str) -> Sample:
        image_path, label_path = pairs[name]
        raw, label = ("raw", "label") if image_path == label_path else (None, None)
        labels = read_array(label_path, key=label_key or label)
        labels = as_labels(labels, label_path, background=background, unlabeled=unlabeled)
        if not (labels > 0).any():
            raise ValueError(f"{label_path}: no object is labelled; label one, or leave the image out of the split")
        try:
            image = read_array(image_path, key=image_key or raw, ndim=labels.ndim)
        except OtherAxes as error:
            raise ValueError(f"{error} (its label map, {label_path}, has shape {labels.shape})") from error
        if image.ndim in (labels.ndim, labels.ndim + 1):
            image = as_image(image, image_path, ndim=labels.ndim, stretch=stretch)
        if image.shape[1:] != labels.shape:
            raise ValueError(
                f"{image_path}: shape {image.shape} does not fit {labels.shape} of its label map, "
                f"{label_path}; give both the same size"
            )
        if voxel_size and len(voxel_size) != labels.ndim:
            raise ValueError(f"voxel_size: found {voxel_size}, but {label_path} has {labels.ndim} axes")
        return Sample(image, labels, name, voxel_size=voxel_size)

    return Samples(list(pairs), read_pair)


def write_splits(
    path: str | Path, *, fractions: Sequence[float] = (0.7, 0.15, 0.15), seed: int = 0
) -> dict[str, list[str]]:
    """Draw which images train, validate and test, and write it to train.txt, val.txt and test.txt, once.

    Images that resemble each other (tiles of one image, frames of one film, sections of one animal) belong in
    the same split, or the scores are too good. This function does not know which do: then write the files
    yourself.

    Parameters
    ----------
    path
        the folder, as for :func:`read`. Every image needs its label map.
    fractions
        of the images that go to train, val and test, in this order; together 1. A fraction above 0 gets at
        least one image; an empty split cannot be read.
    seed
        the same seed and the same names give the same splits.

    Returns
    -------
    dict
        the names in each split.

    Raises
    ------
    ValueError, FileNotFoundError
        as :func:`read`, and a ValueError if one of the files is there already.

    Example
    -------
    >>> import tempfile
    >>> root = Path(tempfile.mkdtemp())
    >>> for kind in ("images", "labels"):
    ...     (root / kind).mkdir()
    ...     for name in "abcd":
    ...         np.save(root / kind / f"{name}.npy", np.eye(8, dtype=int))
    >>> write_splits(root, fractions=(0.5, 0.25, 0.25))
    {'train': ['a', 'c'], 'val': ['b'], 'test': ['d']}
    """
    if len(fractions) != 3 or not all(f >= 0 for f in fractions) or not math.isclose(sum(fractions), 1):
        raise ValueError(f"fractions: found {fractions}; give three for train, val and test that add up to 1")
    root = _folder(path)
    there = _lists(root)
    if there:
        listed = ", ".join(file.name for file in there.values())
        raise ValueError(f"{root}: has {listed} already; delete the old splits to draw new ones")
    names = sorted(_pairs(root))
    val, test = (max(1, round(f * len(names))) if f else 0 for f in fractions[1:])
    train = len(names) - val - test
    if train < 1:
        raise ValueError(f"{root}: {len(names)} images are too few for {fractions}; none is left to train")
    drawn = np.random.default_rng(seed).permutation(names).tolist()
    parts = drawn[:train], drawn[train : train + val], drawn[train + val :]
    splits = {split: sorted(part) for split, part in zip(SPLITS, parts)}
    for split, part in splits.items():
        (root / f"{split}.txt").write_text("".join(f"{name}\n" for name in part), encoding="utf-8")
    return splits


def pairs_of(path: str | Path) -> Iterator[tuple[str | None, str, Path, Path]]:
    """Split, name, image file and label file of all pairs of a folder; where no split is said, it is None.

    Errors as of :func:`read`, but a list of names may be empty.
    """
    root = _folder(path)
    lists = _lists(root)
    folders = [split for split in SPLITS if (root / split).is_dir()]
    if not lists and not folders:
        yield from ((None, name, *pair) for name, pair in _pairs(root).items())
    for split in lists or folders:
        if not lists or lists[split].read_text(encoding="utf-8-sig").strip():
            yield from ((split, name, *pair) for name, pair in _pairs_of_split(root, split).items())


def splits_of(path: str | Path) -> list[str]:
    """The splits that a folder has, and that list an image."""
    return list(dict.fromkeys(str(split) for split, *_ in pairs_of(path) if split))


def empty_lists(path: str | Path) -> list[Path]:
    """The text files of splits that list no image."""
    return [file for file in _lists(_folder(path)).values() if not file.read_text(encoding="utf-8-sig").strip()]


def _meaning(name: str, value: Meaning, split: str) -> int | None:
    """The value that has this meaning in the label maps of a split."""
    given = value if isinstance(value, dict) else {split: value}
    for key, number in given.items():
        if key not in SPLITS or not (number is None or type(number) is int):
            raise ValueError(
                f"{name}: found {value!r}; give the whole number that means it in the label maps, or a dictionary of "
                f"the splits: {', '.join(SPLITS)}"
            )
    return given.get(split)


def _folder(path: str | Path) -> Path:
    root = Path(path).expanduser()
    if not root.is_dir():
        raise FileNotFoundError(f"path: no folder {root} (looked from {Path.cwd()})")
    return root


def _lists(root: Path) -> dict[str, Path]:
    """The text files that say which image is in which split."""
    return {split: root / f"{split}.txt" for split in SPLITS if (root / f"{split}.txt").is_file()}


def _pairs_of_split(root: Path, split: str) -> dict[str, tuple[Path, Path]]:
    lists = _lists(root)
    folders = [s for s in SPLITS if (root / s).is_dir()]
    if split not in (lists or folders):
        if lists or folders:
            there = ", ".join(file.name for file in lists.values()) or ", ".join(folders)
            raise ValueError(f"split: found {split!r}; {root} has {there}")
        raise ValueError(
            f"{root}: which image is in which split? Write the names into train.txt, val.txt and test.txt, "
            f"one on each line, or let spoco_lite.data.folder.write_splits({str(root)!r}, seed=0) draw them"
        )
    if not lists:
        return _pairs(root / split)
    names = {s: file.read_text(encoding="utf-8-sig").splitlines() for s, file in lists.items()}
    names = {s: [line.strip() for line in lines if line.strip()] for s, lines in names.items()}
    for name, count in Counter(name for part in names.values() for name in part).items():
        if count > 1:
            files = " and ".join(str(lists[s]) for s, part in names.items() if name in part)
            raise ValueError(f"{files}: {name} is listed {count} times; an image belongs to one split")
    if not names[split]:
        raise ValueError(f"{lists[split]}: lists no image; write one name on each line")
    return _pairs(root, only=names[split], listed=lists[split])


def _pairs(
    folder: Path, *, only: Sequence[str] | None = None, listed: Path | None = None
) -> dict[str, tuple[Path, Path]]:
    """Image file and label file of every name, or ``only`` of those that a file has ``listed``."""
    kinds = ("volumes",) if (folder / "volumes").is_dir() else ("images", "labels")
    for missing in (folder / kind for kind in kinds if not (folder / kind).is_dir()):
        raise FileNotFoundError(
            f"{missing}: no such folder; images belong in images/, label maps of the same names in labels/"
        )
    found = [files_of(folder / kind) for kind in kinds]
    found[-1] = by_image(found[-1], found[0])
    names = sorted(set().union(*found)) if only is None else only
    for kind, files in zip(kinds, found):
        alone = [name for name in names if name not in files]
        if alone:
            some = ", ".join(alone[:10]) + (", ..." if len(alone) > 10 else "")
            advice = "images and label maps belong together by name; add what is missing, or move its partner away"
            if listed:
                advice = f"{listed} lists it; it takes one name on each line, without the ending"
            raise FileNotFoundError(f"{folder / kind}: no file for {some} ({len(alone)} of {len(names)}); {advice}")
    return {name: (found[0][name], found[-1][name]) for name in names}
