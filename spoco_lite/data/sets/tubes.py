"""Drawn mitochondria: tubes that branch, in a stack of thick slices of electron microscopy.

A stack is drawn from its seed alone, in micrometres, so that a tube is as thick along z as in the plane, however thick
the slices are. Like :mod:`spoco_lite.data.sets.dish` it is an example and not a data set: :func:`write` leaves a folder
as a user has it, in which training and test are slices of one stack.
"""

from pathlib import Path

import numpy as np
import tifffile
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage.measure import label
from skimage.morphology import remove_small_objects
from skimage.segmentation import relabel_sequential

from ..sample import Sample

VOXEL_SIZE = 0.05, 0.0125, 0.0125  # um along z, y, x: slices are four pixels thick
SHAPE = 24, 128, 128  # voxels
_RADIUS, _STEP = 0.09, 0.03  # um: of a tube, between points of its middle line
_TRIES = 80  # tubes that are begun in a cubic um; most cross another one
_SMALLEST = 60  # voxels of a tube that is worth a label


def make_tubes(seed: int, *, shape: tuple[int, int, int] = SHAPE, stain: float = 1.0) -> Sample:
    """Draw the stack number ``seed``; one seed, one stack.

    Image float32 (1, Z, Y, X) in steps of 1/255; labels int64 (Z, Y, X), 0 background, 1..K the tubes, each one
    6-connected piece. ``stain`` is the contrast of the tubes, which another preparation may have less of. ValueError if
    the seed is negative or no integer.

    >>> stack = make_tubes(0, shape=(6, 64, 64))
    >>> stack.image.shape, stack.name, stack.voxel_size
    ((1, 6, 64, 64), 'tubes000', (0.05, 0.0125, 0.0125))
    """
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed: found {seed!r}; give a whole number, 0 or more")
    rng = np.random.default_rng([seed, 15])
    labels, depth = _fill(shape, _lines(rng, np.multiply(shape, VOXEL_SIZE)))
    return Sample(_microscope(rng, labels, depth, stain)[None], labels, f"tubes{seed:03d}", None, VOXEL_SIZE)


def write(folder: str | Path, *, trained: int = 16, seed: int = 0) -> Sample:
    """Write a stack as a folder of volumes: ``train`` holds its first ``trained`` slices, ``test`` the others.

    Returns the stack. Objects are numbered as in the whole, so that one may be in both parts.

    >>> import tempfile
    >>> stack, folder = write(root := tempfile.mkdtemp()), Path(root)
    >>> sorted(str(path.relative_to(folder)) for path in folder.rglob("*.tif"))[:2]
    ['test/images/z16-23.tif', 'test/labels/z16-23.tif']
    """
    stack = make_tubes(seed)
    for split, part in (("train", slice(0, trained)), ("test", slice(trained, len(stack.labels)))):
        arrays = {"images": np.rint(stack.image[0, part] * 255).astype(np.uint8), "labels": stack.labels[part]}
        for kind, array in arrays.items():
            path = Path(folder) / split / kind / f"z{part.start:02d}-{part.stop - 1:02d}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, array.astype(np.uint8), photometric="minisblack", metadata={"axes": "ZYX"})
    return stack


def _lines(rng: np.random.Generator, size: np.ndarray) -> list[np.ndarray]:
    """Middle lines (P, 3) of tubes in um: each may branch; where two cross, the later is left out."""
    tubes: list[np.ndarray] = []
    for _ in range(int(_TRIES * size.prod())):
        tube = _wander(rng, rng.uniform(0, 1, 3) * size, rng.uniform(0.3, 0.7))
        for _ in range(rng.integers(0, 3)):
            tube = np.concatenate([tube, _wander(rng, tube[rng.integers(len(tube))], rng.uniform(0.2, 0.4))])
        tubes.append(tube)
    owner = np.repeat(np.arange(len(tubes)), [len(tube) for tube in tubes])
    near = owner[cKDTree(np.concatenate(tubes)).query_pairs(2 * _RADIUS, output_type="ndarray")]
    crossing = np.zeros((len(tubes), len(tubes)), bool)
    crossing[near.max(1), near.min(1)] = True
    np.fill_diagonal(crossing, False)
    kept = np.zeros(len(tubes), bool)
    for number, earlier in enumerate(crossing):
        kept[number] = not (earlier & kept).any()
    return [tube for tube, stays in zip(tubes, kept) if stays]


def _wander(rng: np.random.Generator, start: np.ndarray, length: float) -> np.ndarray:
    """A walk (P, 3) of that many um whose direction turns slowly."""
    points, way = [start], rng.normal(0, 1, 3)
    for _ in range(int(length / _STEP)):
        way = way / np.linalg.norm(way) + rng.normal(0, 0.18, 3)
        points.append(points[-1] + _STEP * way / np.linalg.norm(way))
    return np.array(points)


def _fill(shape: tuple[int, ...], tubes: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Labels int64 (Z, Y, X), and how far from the middle line a voxel lies, 1 at the membrane, at most 2."""
    axes = [(np.arange(n) + 0.5) * step for n, step in zip(shape, VOXEL_SIZE)]
    places = np.stack(np.meshgrid(*axes, indexing="ij"), -1)
    away, nearest = cKDTree(np.concatenate(tubes)).query(places, distance_upper_bound=2 * _RADIUS)
    owner = np.append(np.repeat(np.arange(len(tubes)), [len(tube) for tube in tubes]), -1)[nearest]
    pieces = label(np.where(away < _RADIUS, owner, -1), background=-1, connectivity=1)
    labels = relabel_sequential(remove_small_objects(pieces, max_size=_SMALLEST - 1))[0].astype(np.int64)
    return labels, np.minimum(away / _RADIUS, 2)


def _microscope(rng: np.random.Generator, labels: np.ndarray, depth: np.ndarray, stain: float) -> np.ndarray:
    """A picture (Z, Y, X) in [0, 1] in steps of 1/255: dark tubes with a rim and folds, in cytoplasm with membranes."""
    flat = _noise(rng, labels.shape, (0.08, 0.08, 0.08))
    membranes = np.exp(-((flat / 0.12) ** 2))  # where smooth noise crosses zero there are sheets, as between cells
    folds = np.sin(9 * _noise(rng, labels.shape, (0.05, 0.03, 0.03)))
    grey = 0.68 + 0.05 * _noise(rng, labels.shape, (0.03, 0.02, 0.02)) - 0.3 * membranes
    inside = 0.42 + 0.07 * folds
    rim = np.exp(-(((depth - 0.93) / 0.14) ** 2))
    tube = inside - 0.2 * rim
    grey = np.where(labels > 0, grey + stain * (tube - grey), grey)
    light = 1 + 0.05 * rng.normal(0, 1, (len(labels), 1, 1))  # slices differ in thickness, hence in brightness
    grey = ndimage.gaussian_filter(grey * light, (0, 0.7, 0.7)) + rng.normal(0, 0.04, labels.shape)
    return (np.rint(grey.clip(0, 1) * 255) / 255).astype(np.float32)


def _noise(rng: np.random.Generator, shape: tuple[int, ...], grain: tuple[float, float, float]) -> np.ndarray:
    """Smooth noise (Z, Y, X) of mean 0 and variance 1; ``grain`` is the deviation of its smoothing in um."""
    smooth = ndimage.gaussian_filter(rng.standard_normal(shape), np.divide(grain, VOXEL_SIZE), mode="wrap")
    return (smooth - smooth.mean()) / smooth.std()
