"""Arabidopsis ovules, 3D light microscopy: nuclei, or cells by their walls. Small crops of larger sets.

Source: the example files of PlantSeg, https://github.com/kreshuklab/plant-seg (MIT). Cite Vijayan et al. 2024 (nuclei)
and Wolny et al. 2020 (cells); the full sets are BioImage Archive S-BIAD1026 and https://osf.io/uzq3w. Layout: HDF5
files with ``raw`` (uint8, divided by 255) and ``label``, each with the attribute ``element_size_um`` (z, y, x), from
which the voxel size is taken.

* ``target="nuclei"``: ovules of 100 x 100 x 100 voxels, densely annotated. 1135 is ``train``, 1136 ``test``; there is
  no ``val``. A third crop, 1137, is left out: in the file at hand its ``raw`` is noise, in which neighbouring voxels
  do not correlate and nuclei are as bright as the rest.
* ``target="cells"``: one ovule of 32 x 128 x 128 voxels, ``test`` only, for a look at a model trained elsewhere. Cells
  fill the volume and nothing is background; 13 voxels without a cell's number, on a wall, are unlabelled.

A test of one volume shows that something works, not how well.
"""

from pathlib import Path

from ..files import as_image, as_labels, open_array, read_array
from ..paths import find
from ..sample import Sample, Samples
from ..splits import split_names

TARGETS = ("nuclei", "cells")

HOW = (
    "Fetch it: python -m spoco_lite data fetch ovules. Or set SPOCO_DATA to the folder that holds "
    "ovules/1135_mini.h5, 1136_mini.h5 and sample_ovule.h5 from https://github.com/kreshuklab/plant-seg."
)


def read(split: str, *, target: str = "nuclei") -> Samples:
    """The volumes of a split, for one of the ``TARGETS``. Labels: k > 0 an object, 0 background, -1 unlabelled."""
    if target not in TARGETS:
        raise ValueError(f"target: found {target!r}; give one of {', '.join(TARGETS)}")
    folder = find("ovules", how=HOW)
    names = split_names("ovules" if target == "nuclei" else "ovules-cells", split)
    return Samples(names, lambda name: read_crop(folder, name, target=target))


def read_crop(folder: Path, name: str, *, target: str) -> Sample:
    """One volume; image float32 (1, Z, Y, X).

    Raises FileNotFoundError for a missing file, and ValueError for a damaged one, sizes that differ, a missing voxel
    size, and a volume without objects, which this set does not have.
    """
    path = Path(folder) / f"{name}.h5"
    meaning = {"nuclei": {"background": 0}, "cells": {"background": None, "unlabeled": 0}}[target]
    image = as_image(read_array(path, key="raw"), path, ndim=3)
    labels = as_labels(read_array(path, key="label"), path, **meaning)
    if labels.shape != image.shape[1:]:
        raise ValueError(f"{path}: size of label {labels.shape}, but of raw {image.shape[1:]}; {HOW}")
    if not (labels > 0).any():
        raise ValueError(f"{path}: label has no object; every volume of this set has some. {HOW}")
    voxel_size = open_array(path, key="raw").attrs.get("element_size_um", ())
    if len(voxel_size) != 3:
        raise ValueError(f"{path}: raw has no attribute element_size_um of three numbers (z, y, x); {HOW}")
    return Sample(image, labels, name, voxel_size=tuple(map(float, voxel_size)))
