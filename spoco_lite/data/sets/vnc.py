"""Mitochondria in the ventral nerve cord of a Drosophila larva, 3D electron microscopy (ssTEM), anisotropic.

Source: https://doi.org/10.6084/m9.figshare.856713, CC BY-NC-SA 3.0. Cite Gerhard et al. 2013. Layout:
``stack1/raw/NN.tif`` and ``stack1/mitochondria/NN.png``, 20 slices of 1024 x 1024 pixels of 4.6 nm. The owner gives
45 to 50 nm between slices; the voxel size here has the middle, 47.5 nm. Intensities are 8 bits / 255.

The owner marks mitochondria without telling them apart, and slices differ in the grey level that marks one: every value
above 0 is mitochondrion. Objects are the components of voxels that share a face, 48 in the whole stack. Touching
mitochondria are one object, and one that seems interrupted from slice to slice is two.

``train`` is the volume of slices 0 to 15, ``test`` that of slices 16 to 19; there is no ``val``. Components are
computed within each part, so a mitochondrion that crosses the border is an object in both. Four slices next to the
training slices, of the same animal and tissue, are a weak test: they say little about another stack.
"""

from pathlib import Path

import numpy as np
from scipy import ndimage

from ..files import as_image, read_array
from ..paths import find
from ..sample import Sample, Samples
from ..splits import split_names

VOXEL_SIZE = (0.0475, 0.0046, 0.0046)
"""Micrometres along z, y, x."""

HOW = (
    "Fetch it: python -m spoco_lite data fetch vnc. Or download it from https://doi.org/10.6084/m9.figshare.856713 "
    "and set SPOCO_DATA to the folder that holds vnc/stack1/raw/00.tif and vnc/stack1/mitochondria/00.png."
)


def read(split: str) -> Samples:
    """The one volume of a split. Labels: 1..K the mitochondria, 0 the background (dense annotation)."""
    folder = find("vnc", how=HOW)
    return Samples(split_names("vnc", split), lambda name: read_slab(folder, name))


def read_slab(folder: Path, name: str) -> Sample:
    """The slices first to last, named as in ``z00-15``; image float32 (1, Z, Y, X).

    Raises FileNotFoundError for a missing slice, and ValueError for a damaged one, sizes that differ, and a slab
    without mitochondria, which this set does not have.
    """
    stack = Path(folder) / "stack1"
    first, last = map(int, name[1:].split("-"))
    slices = range(first, last + 1)
    raw = _stack([stack / "raw" / f"{z:02d}.tif" for z in slices])
    marked = _stack([stack / "mitochondria" / f"{z:02d}.png" for z in slices])
    if raw.shape != marked.shape:
        raise ValueError(f"{stack}: raw has the size {raw.shape}, mitochondria {marked.shape}; {HOW}")
    labels, count = ndimage.label(marked > 0, output=np.int64)
    if not count:
        raise ValueError(f"{stack / 'mitochondria'}: none in slices {first} to {last}. {HOW}")
    return Sample(as_image(raw, stack / "raw", ndim=3), labels, name, voxel_size=VOXEL_SIZE)


def _stack(paths: list[Path]) -> np.ndarray:
    """Slices of one size (Z, Y, X)."""
    slices = [read_array(path) for path in paths]
    for path, one in zip(paths, slices):
        if one.ndim != 2 or one.shape != slices[0].shape:
            raise ValueError(f"{path}: size {one.shape}, but the first slice has {slices[0].shape}; {HOW}")
    return np.stack(slices)
