"""Synthetic nuclei in 3D, as a fluorescence microscope sees them in an embryo; no download needed.

A volume is drawn from its seed alone, in micrometres: clumps of nuclei that press against each other, some
dim, some dividing (small and bright), some cut by the edge of the volume; chromatin and nucleoli inside;
out-of-focus and autofluorescent light between them. Light is lost with depth, blurred more along z than in
the plane, and counted in photons. Voxels are those of BBBC050 (mouse embryos), 1.75 x 0.8 x 0.8 um; nuclei
are somewhat smaller than there, so that a small volume holds many.

What ships in ``data/cells3d``, 20 volumes, was written by :func:`write`.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import tifffile
from scipy import ndimage

from spoco_lite.data.files import read_array
from spoco_lite.data.paths import shipped
from spoco_lite.data.sample import Sample, Samples

SPLITS = {"train": range(0, 12), "val": range(12, 16), "test": range(16, 20)}
"""The seeds of each split; no seed is in two of them."""

SHAPE = 24, 64, 64  # voxels
VOXEL_SIZE = 1.75, 0.8, 0.8  # um

_SMALLEST = 60  # voxels of a nucleus that is worth a label
_PSF = 2.0, 0.6, 0.6  # um, standard deviation of the blur


class _Nucleus(NamedTuple):
    centre: np.ndarray  # (3,) um
    to_sphere: np.ndarray  # (3, 3) maps the ellipsoid to the unit ball
    radius: float  # um, of a ball of the same volume
    dividing: bool


def make_cells(seed: int) -> Sample:
    """Draw the volume number ``seed``.

    Parameters
    ----------
    seed
        Any integer >= 0; one seed, one volume.

    Returns
    -------
    Sample
        image float32 (1, 24, 64, 64) in [0, 1], in steps of 1/255; labels int64 (24, 64, 64), 0 background,
        1..K the nuclei (K from 15 to 40), each one 6-connected piece of at least 60 voxels; ``voxel_size`` in
        um.

    Raises
    ------
    ValueError
        If ``seed`` is negative or no integer.

    Examples
    --------
    >>> sample = make_cells(0)
    >>> sample.image.shape, sample.name, sample.voxel_size
    ((1, 24, 64, 64), 'cells3d000', (1.75, 0.8, 0.8))
    """
    if not isinstance(seed, (int, np.integer)) or seed < 0:
        raise ValueError(f"seed must be an integer >= 0, got {seed!r}")
    rng = np.random.default_rng([seed, 3])
    nuclei = _pack(rng)
    labels, kept, depth = _draw(rng, nuclei)
    light = _fluorescence(rng, labels, [nuclei[i] for i in kept], depth)
    image = _microscope(rng, light)
    return Sample(image[None], labels, f"cells3d{seed:03d}", labels > 0, VOXEL_SIZE)


def read(split: str, *, volumes: int = 12) -> Samples:
    """The volumes of one split, from ``data/cells3d``: ``"train"`` (12), ``"val"`` (4) or ``"test"`` (4).

    ``volumes`` is how many there are to train on. What is beyond the twelve that ship is drawn when it is read, a
    third of a second each, from seeds that are in no other split. ValueError if it is no positive integer.

    >>> read("val").names[:2], read("train", volumes=14).names[-3:]
    (['cells3d012', 'cells3d013'], ['cells3d011', 'cells3d020', 'cells3d021'])
    """
    if not isinstance(volumes, int) or volumes < 1:
        raise ValueError(f"volumes: found {volumes!r}; give how many there are to train on, 1 or more")
    folder, after = shipped() / "cells3d", max(map(max, SPLITS.values())) + 1
    seeds = list(SPLITS[split])
    if split == "train":
        seeds = [*seeds, *range(after, after + volumes - len(seeds))][:volumes]

    def one(name: str) -> Sample:
        seed = int(name.removeprefix("cells3d"))
        if seed >= after:
            return make_cells(seed)
        image, labels = (read_array(folder / kind / f"{name}.tif") for kind in ("images", "labels"))
        labels = labels.astype(np.int64)
        return Sample(image[None].astype(np.float32) / 255, labels, name, labels > 0, VOXEL_SIZE)

    return Samples([f"cells3d{seed:03d}" for seed in seeds], one)


def write(folder: Path | None = None) -> None:
    """Write ``images/<name>.tif`` and ``labels/<name>.tif``, by default to ``data/cells3d``."""
    for seed in (seed for seeds in SPLITS.values() for seed in seeds):
        sample = make_cells(seed)
        arrays = {"images": np.rint(sample.image[0] * 255), "labels": sample.labels}
        for kind, array in arrays.items():
            path = (folder or shipped() / "cells3d") / kind / f"{sample.name}.tif"
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(
                path,
                array.astype(np.uint8),
                compression="zlib",
                compressionargs={"level": 9},
                predictor=kind == "labels",
                photometric="minisblack",
                metadata={"axes": "ZYX"},
                resolution=(1 / VOXEL_SIZE[2], 1 / VOXEL_SIZE[1]),
            )


# ---------------------------------------------------------------------- nuclei


def _pack(rng: np.random.Generator) -> list[_Nucleus]:
    """Nuclei one after the other, most of them against one that is there; ellipsoids overlap a little."""
    size = np.multiply(SHAPE, VOXEL_SIZE)
    count, typical = rng.integers(18, 37), rng.uniform(5.2, 6.4)
    nuclei: list[_Nucleus] = []
    for _ in range(4000):
        if len(nuclei) == count:
            break
        dividing = rng.uniform() < 0.1
        radius = typical * (0.7 if dividing else 1) * np.exp(rng.normal(0, 0.14))
        centre = rng.uniform(0, 1, 3) * size
        if nuclei and rng.uniform() < 0.8:
            mate = nuclei[rng.integers(len(nuclei))]
            way = rng.normal(0, 1, 3)
            apart = (mate.radius + radius) * rng.uniform(0.78, 0.95)
            centre = mate.centre + way / np.linalg.norm(way) * apart
        outside = np.maximum(-centre, centre - size).max()
        crowded = any(np.linalg.norm(centre - n.centre) < 0.78 * (n.radius + radius) for n in nuclei)
        if outside > 0.3 * radius or crowded:
            continue
        rotation, _ = np.linalg.qr(rng.normal(0, 1, (3, 3)))
        axes = np.exp(rng.normal(0, 0.3 if dividing else 0.16, 3))
        axes *= radius / axes.prod() ** (1 / 3)
        nuclei.append(_Nucleus(centre, rotation / axes[:, None], radius, dividing))
    return nuclei


def _draw(rng: np.random.Generator, nuclei: list[_Nucleus]) -> tuple[np.ndarray, list[int], np.ndarray]:
    """Labels int64 (*SHAPE); which nuclei they are; how far out in its nucleus a voxel lies, 0 to 1."""
    places = np.stack(np.meshgrid(*_axes(), indexing="ij"), -1)
    nearest, owner = np.full(SHAPE, np.inf), np.full(SHAPE, -1)
    for i, nucleus in enumerate(nuclei):
        away = np.linalg.norm((places - nucleus.centre) @ nucleus.to_sphere.T, axis=-1)
        away *= 1 + 0.09 * _noise(rng, 3.0)  # no nucleus is an ellipsoid
        closer = away < nearest
        nearest[closer], owner[closer] = away[closer], i
    labels, kept = np.zeros(SHAPE, np.int64), []
    for i in range(len(nuclei)):
        pieces, _ = ndimage.label((owner == i) & (nearest < 1))
        volumes = np.bincount(pieces.ravel())[1:]
        if volumes.size and volumes.max() >= _SMALLEST:
            kept.append(i)
            labels[pieces == volumes.argmax() + 1] = len(kept)
    return labels, kept, nearest


def _axes() -> list[np.ndarray]:
    return [(np.arange(n) + 0.5) * step for n, step in zip(SHAPE, VOXEL_SIZE)]


def _noise(rng: np.random.Generator, grain: float) -> np.ndarray:
    """Smooth noise (*SHAPE) of mean 0 and variance 1; ``grain`` is the deviation of its smoothing in um."""
    smooth = ndimage.gaussian_filter(rng.standard_normal(SHAPE), np.divide(grain, VOXEL_SIZE), mode="wrap")
    return (smooth - smooth.mean()) / smooth.std()


# ---------------------------------------------------------------------- light


def _fluorescence(
    rng: np.random.Generator, labels: np.ndarray, nuclei: list[_Nucleus], depth: np.ndarray
) -> np.ndarray:
    """Light that each voxel gives off, 1 for a typical nucleus."""
    brightness = np.exp(rng.normal(0, 0.38, len(nuclei)))
    brightness *= np.where([n.dividing for n in nuclei], 1.9, 1)
    chromatin = np.clip(1 + 0.32 * _noise(rng, 0.7) + 0.16 * _noise(rng, 1.8), 0.15, None)
    nucleoli = 1 - 0.65 * (_noise(rng, 1.1) > 1.55)
    rim = 1 + 0.35 * np.clip(depth, 0, 1) ** 4  # heterochromatin lies below the envelope
    inside = chromatin * nucleoli * rim * np.concatenate([[0], brightness])[labels]
    tissue = np.clip(0.16 + 0.07 * _noise(rng, 5.0) + 0.04 * _noise(rng, 1.2), 0.03, None)
    specks = 1.5 * (_noise(rng, 0.5) > 3.9)  # autofluorescent granules
    haze = 0.2 * ndimage.gaussian_filter(inside, np.divide((7, 3.5, 3.5), VOXEL_SIZE))
    return np.where(labels > 0, inside, tissue + specks) + haze


def _microscope(rng: np.random.Generator, light: np.ndarray) -> np.ndarray:
    """A picture of it, float32 (*SHAPE) in [0, 1]: loss with depth, blur, photons, read-out noise, 8 bits."""
    depth = _axes()[0][:, None, None]
    light = light * np.exp(-depth / rng.uniform(40, 80)) * (1 + 0.1 * _noise(rng, 16.0))
    light = ndimage.gaussian_filter(np.clip(light, 0, None), np.divide(_PSF, VOXEL_SIZE), mode="nearest")
    photons = rng.uniform(16, 36) * light
    # The root of a Poisson count is nearly normal with deviation 1/2 (Anscombe 1948). Drawn so, a rounding
    # error in the light stays one, and the shipped files can be made again on another machine.
    counts = np.clip(np.sqrt(photons) + rng.normal(0, 0.5, SHAPE), 0, None) ** 2
    counts += 2 + rng.normal(0, 0.6, SHAPE)
    counts /= np.quantile(counts, 0.999)
    return (np.rint(np.clip(counts, 0, 1) * 255) / 255).astype(np.float32)
