"""Drawn cells in a dish, of two sizes, dim and noisy, some touching: the example of the chapter *Your own images*.

Unlike the other sets this one is a folder as a user has it: pictures, and label maps in which a few objects are
outlined. :func:`write` makes it, in a moment and from seeds alone.
"""

from pathlib import Path

import numpy as np
from PIL import Image
from scipy import ndimage

from ..annotation import plan_annotation
from ..sample import Sample

SIZE = 192  # pixels along an axis
STROKE = 255  # the value of background strokes in the label maps of the training images
_RADII = 7.0, 13.0  # pixels, of a small and of a large cell
_SMALLEST = 40  # pixels of a cell that is worth a label


def make_dish(seed: int) -> Sample:
    """Draw the picture number ``seed``, with all its cells labelled; one seed, one picture.

    Image float32 (1, 192, 192) in steps of 1/255, of which the brightest pixel has about a third; labels int64, 0
    background, 1..K the cells, each one 4-connected piece. ValueError if the seed is negative or no integer.

    >>> dish = make_dish(0)
    >>> dish.image.shape, dish.name, bool(dish.image.max() < 0.5)
    ((1, 192, 192), 'dish000', True)
    """
    if not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed: found {seed!r}; give a whole number, 0 or more")
    rng = np.random.default_rng([seed, 16])
    labels, depth = _cells(rng)
    light = np.exp(rng.normal(-0.3, 0.4, labels.max() + 1))  # a few cells are three times as bright as others
    light[0] = 0
    texture = np.clip(1 + 0.2 * _noise(rng, 2.0), 0.2, None) * (1.1 - 0.5 * depth**2)
    y, x = np.mgrid[-1 : 1 : SIZE * 1j, -1 : 1 : SIZE * 1j]
    lean = rng.normal(0, 0.3, 2)
    haze = np.clip(0.3 + 0.1 * (lean[0] * y + lean[1] * x) + 0.04 * _noise(rng, 12.0), 0.05, None)
    picture = ndimage.gaussian_filter(light[labels] * texture + haze, 1.2)
    photons = 30 * np.clip(picture, 0, None)
    # The root of a Poisson count is nearly normal with deviation 1/2 (Anscombe 1948).
    counts = np.clip(np.sqrt(photons) + rng.normal(0, 0.5, picture.shape), 0, None) ** 2 + rng.normal(
        0, 1, picture.shape
    )
    grey = np.rint(np.clip(8 + 1.2 * counts, 0, 255)) / 255
    return Sample(grey[None].astype(np.float32), labels, f"dish{seed:03d}")


def write(folder: str | Path, *, labelled: int = 8, tested: int = 8, objects: int = 10, seed: int = 0) -> None:
    """Write the folder of a user: in ``labelled`` images some objects are outlined, in ``tested`` ones all.

    In a training label map 0 is unlabelled, 255 is background (three strokes), and ``objects`` cells have their number;
    in a label map to test on 0 is background. ``train.txt`` and ``test.txt`` say which is which. Two seeds share no
    picture as long as each needs fewer than 1000.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write(folder, labelled=1, tested=1)
    >>> sorted(path.name for path in folder.glob("*/*"))
    ['dish000.png', 'dish000.png', 'dish001.png', 'dish001.png']
    >>> labels = np.array(Image.open(folder / "labels" / "dish000.png"))
    >>> np.unique(labels)[[0, -1]].tolist(), len(np.unique(labels))
    ([0, 255], 12)
    """
    folder = Path(folder)
    dishes = [make_dish(1000 * seed + number) for number in range(labelled + tested)]
    train, test = dishes[:labelled], dishes[labelled:]
    plan = plan_annotation(train, number=objects, seed=seed, background="strokes")
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
    for dish in [*(painted(plan.apply(dish)) for dish in train), *test]:
        Image.fromarray(np.rint(dish.image[0] * 255).astype(np.uint8)).save(folder / "images" / f"{dish.name}.png")
        Image.fromarray(dish.labels.astype(np.uint8)).save(folder / "labels" / f"{dish.name}.png")
    for split, part in (("train", train), ("test", test)):
        (folder / f"{split}.txt").write_text("".join(f"{dish.name}\n" for dish in part), encoding="utf-8")


def painted(sample: Sample) -> Sample:
    """The labels as a user paints them: 0 where nobody looked, 255 on strokes over the background.

    >>> painted(Sample(np.zeros((1, 1, 3)), np.array([[-1, 0, 7]]), "")).labels.tolist()
    [[0, 255, 7]]
    """
    return sample._replace(labels=np.where(sample.labels == 0, STROKE, np.maximum(sample.labels, 0)))


def _cells(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Labels int64 (Y, X), and how far out in its cell a pixel lies, 0 to 1; many cells lie against another one."""
    places = np.stack(np.mgrid[:SIZE, :SIZE], -1) + 0.5
    cells: list[tuple[np.ndarray, float]] = []
    nearest, owner = np.full((SIZE, SIZE), np.inf), np.zeros((SIZE, SIZE), np.int64)
    count = rng.integers(22, 34)
    for _ in range(2000):
        if len(cells) == count:
            break
        radius = _RADII[rng.random() < 0.4] * np.exp(rng.normal(0, 0.1))
        centre = rng.uniform(0, SIZE, 2)
        if cells and rng.random() < 0.6:
            mate, its = cells[rng.integers(len(cells))]
            angle = rng.uniform(0, 2 * np.pi)
            centre = mate + 0.95 * (its + radius) * np.array([np.sin(angle), np.cos(angle)])
        crowded = any(np.linalg.norm(centre - other) < 0.9 * (radius + its) for other, its in cells)
        if crowded or not (0 <= centre.min() <= centre.max() < SIZE):
            continue
        cells.append((centre, radius))
        angle, stretch = rng.uniform(0, np.pi), np.exp(rng.normal(0, 0.15))
        turned = (places - centre) @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        away = np.hypot(turned[..., 0] * stretch, turned[..., 1] / stretch) / radius
        away *= 1 + 0.08 * _noise(rng, 5.0)  # no cell is an ellipse
        closer = away < nearest
        nearest[closer], owner[closer] = away[closer], len(cells)
    labels, kept = np.zeros((SIZE, SIZE), np.int64), 0
    for cell in range(1, len(cells) + 1):
        pieces, _ = ndimage.label((owner == cell) & (nearest < 1))
        sizes = np.bincount(pieces.ravel())[1:]
        if sizes.size and sizes.max() >= _SMALLEST:
            kept += 1
            labels[pieces == sizes.argmax() + 1] = kept
    return labels, np.minimum(nearest, 1)


def _noise(rng: np.random.Generator, grain: float) -> np.ndarray:
    """Smooth noise (Y, X) of mean 0 and variance 1; ``grain`` is the deviation of its smoothing in pixels."""
    smooth = ndimage.gaussian_filter(rng.standard_normal((SIZE, SIZE)), grain, mode="wrap")
    return (smooth - smooth.mean()) / smooth.std()
