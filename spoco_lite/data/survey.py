"""What a folder of one's own images holds, before anybody has said what its numbers mean."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.ndimage import gaussian_filter
from skimage.filters import threshold_otsu
from skimage.measure import label, regionprops
from skimage.transform import resize

from .files import as_image, read_array
from .folder import pairs_of

DIM = 0.5  # of the range of 8 bits; pictures whose brightest pixels stay below are hard to see
STROKE = 50  # numbers from which a value far above all others may be that of strokes
MISSED = 0.35  # of what looks like an object in an image; if more is on 0, some objects are probably not outlined
ALIKE = 0.95  # correlation of two images, coarsely, from which they are probably of one scene


class Value(NamedTuple):
    """One number of a label map."""

    pixels: int
    bright: int  # of them, those above Otsu's threshold of the image
    pieces: int  # connected
    extent: tuple[int, ...]  # pixels of the largest piece's box along each axis


class Facts(NamedTuple):
    """What one image with its label map holds."""

    name: str
    split: str | None
    shape: tuple[int, ...]  # *S
    channels: int
    dtype: str
    high: float  # the 99.9th percentile as the network would get it, 0 to 1
    grey: bool  # several channels that are all the same
    values: dict[int, Value]
    touching: frozenset[tuple[int, int]]  # pairs of positive values with neighbouring pixels
    thumbnail: np.ndarray  # coarse, of mean 0 and length 1


@dataclass
class Survey:
    """All images of a folder, what could not be read, and what the numbers of the label maps probably mean."""

    path: Path
    images: list[Facts] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    background: dict[str, int] = field(default_factory=dict)  # the value in each split
    unlabeled: dict[str, int] = field(default_factory=dict)

    def splits(self) -> list[str | None]:
        return list(dict.fromkeys(facts.split for facts in self.images))

    def of(self, split: str | None) -> list[Facts]:
        return [facts for facts in self.images if facts.split == split]

    def objects(self, facts: Facts) -> dict[int, Value]:
        """The values of an image that are objects."""
        others = {meaning.get(str(facts.split)) for meaning in (self.background, self.unlabeled)}
        return {number: value for number, value in facts.values.items() if number > 0 and number not in others}

    def extents(self) -> np.ndarray:
        """Pixels of each object along each axis (K, D)."""
        return np.array([v.extent for facts in self.images for v in self.objects(facts).values()], float)

    def share(self, facts: Facts, meaning: dict[str, int]) -> float:
        """Of the pixels of an image, those with this meaning."""
        value = facts.values.get(meaning.get(str(facts.split), 0)) if str(facts.split) in meaning else None
        return value.pixels / np.prod(facts.shape) if value else 0.0


def survey(path: str | Path, *, background=None, unlabeled=None) -> Survey:
    """Read every image and label map of a folder once; what cannot be read is a line of ``errors``.

    ``background`` and ``unlabeled`` as :func:`spoco_lite.data.folder.read` takes them; where neither is given for a
    split, :func:`meaning_of` guesses. ValueError and FileNotFoundError as there, where the folder itself is wrong.

    >>> import tempfile
    >>> from .sets import dish
    >>> folder = tempfile.mkdtemp()
    >>> dish.write(folder, labelled=2, tested=1)
    >>> found = survey(folder)
    >>> found.unlabeled, found.background
    ({'train': 0}, {'train': 255, 'test': 0})
    """
    found = Survey(Path(path).expanduser())
    for split, name, image, labels in pairs_of(path):
        try:
            found.images.append(_facts(split, name, image, labels))
        except (ValueError, OSError) as error:
            found.errors.append(str(error))
    for split in found.splits():
        given = [value.get(split) if isinstance(value, dict) else value for value in (background, unlabeled)]
        if given == [None, None]:
            given = meaning_of(found.of(split))
        for meaning, value in zip((found.background, found.unlabeled), given):
            if value is not None:
                meaning[str(split)] = value
    return found


def meaning_of(images: Sequence[Facts]) -> tuple[int | None, int | None]:
    """The values that probably mean background and unlabelled, None for no such value.

    A number far above all others and in most label maps is that of strokes. 0 is unlabelled if much that looks like an
    object lies on it, and else background.
    """
    numbers = [sorted(number for number in facts.values if number > 0) for facts in images]
    top = max((n[-1] for n in numbers if n), default=0)
    rest = max((number for n in numbers for number in n if number < top), default=0)
    stroke = None
    if top >= max(STROKE, 2 * rest) and rest and sum(top in n for n in numbers) > len(images) / 2:
        stroke = top
    lowest = min((min(facts.values) for facts in images), default=0)
    if lowest < 0:
        return (0 if any(0 in facts.values for facts in images) else stroke), lowest
    if not any(0 in facts.values for facts in images):
        return stroke, None
    if missed(images, but=stroke) > MISSED:
        return stroke, 0
    return 0, stroke


def missed(images: Sequence[Facts], *, but: int | None = None) -> float:
    """Of the pixels on the objects' side of Otsu's threshold, the share that has the number 0; the median image's.

    ``but`` is the number of strokes, which are no object.
    """
    shares = []
    for facts in images:
        ours = [value for number, value in facts.values.items() if number > 0 and number != but]
        pixels, bright = sum(v.pixels for v in ours), sum(v.bright for v in ours)
        nothing = facts.values.get(0)
        if pixels and nothing:
            on, off = (
                (bright, nothing.bright) if bright > pixels / 2 else (pixels - bright, nothing.pixels - nothing.bright)
            )
            shares.append(off / (on + off))
    return float(np.median(shares)) if shares else 0.0


def alike(images: Sequence[Facts]) -> Iterator[tuple[Facts, Facts]]:
    """Pairs of images in different splits that resemble each other: frames of a film, or one image twice."""
    for one, other in combinations(images, 2):
        if one.split != other.split and one.thumbnail.shape == other.thumbnail.shape:
            if float((one.thumbnail * other.thumbnail).sum()) > ALIKE:
                yield one, other


def _facts(split: str | None, name: str, image_path: Path, label_path: Path) -> Facts:
    labels = read_array(label_path, key="label" if image_path == label_path else None)
    if labels.dtype.kind not in "bui" or labels.ndim not in (2, 3):
        raise ValueError(
            f"{label_path}: found shape {labels.shape} of type {labels.dtype}; a label map has 2 or 3 axes of integers"
        )
    labels = labels.astype(np.int64)
    raw = read_array(image_path, key="raw" if image_path == label_path else None, ndim=labels.ndim)
    image = as_image(raw, image_path, ndim=labels.ndim)
    if image.shape[1:] != labels.shape:
        raise ValueError(f"{image_path}: shape {image.shape[1:]}, its label map {label_path} {labels.shape}")
    grey = gaussian_filter(image.mean(0), 1)
    bright = grey > threshold_otsu(grey) if grey.max() > grey.min() else np.zeros(grey.shape, bool)
    small = resize(grey, tuple(min(n, 32) for n in grey.shape), anti_aliasing=True)
    small = small - small.mean()
    return Facts(
        name=name,
        split=split,
        shape=labels.shape,
        channels=len(image),
        dtype=str(raw.dtype),
        high=float(np.percentile(image, 99.9)),
        grey=len(image) > 1 and bool((image == image[:1]).all()),
        values=_values(labels, bright),
        touching=_touching(labels),
        thumbnail=small / max(float(np.linalg.norm(small)), 1e-6),
    )


def _values(labels: np.ndarray, bright: np.ndarray) -> dict[int, Value]:
    numbers, places, counts = np.unique(labels, return_inverse=True, return_counts=True)
    lit = np.bincount(places.ravel(), weights=bright.ravel())
    pieces: dict[int, list] = {}
    for piece in regionprops(label(labels, background=0, connectivity=1)):
        pieces.setdefault(int(labels[tuple(piece.coords[0])]), []).append(piece)
    found = {}
    for number, count, light in zip(numbers.tolist(), counts.tolist(), lit.tolist()):
        own = pieces.get(number, [])
        box = max(own, key=lambda piece: piece.area).bbox if own else (0,) * 2 * labels.ndim
        extent = tuple(end - start for start, end in zip(box[: labels.ndim], box[labels.ndim :]))
        found[number] = Value(count, round(light), len(own), extent)
    return found


def _touching(labels: np.ndarray) -> frozenset[tuple[int, int]]:
    pairs = set()
    for axis in range(labels.ndim):
        one, other = (np.moveaxis(labels, axis, 0)[part] for part in (slice(1, None), slice(None, -1)))
        meet = (one != other) & (one > 0) & (other > 0)
        pairs |= set(map(tuple, np.sort(np.stack([one[meet], other[meet]], 1)).tolist()))
    return frozenset(pairs)
