"""How large a pixel is: what the files of microscopes and of Fiji say about it."""

from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import tifffile

from .formats import named, open_hdf5

UNITS = {  # micrometres
    **dict.fromkeys(("um", "µm", "μm", "\\u00B5m", "micron", "microns", "micrometer"), 1.0),
    **dict.fromkeys(("nm", "nanometer"), 1e-3),
    **dict.fromkeys(("mm", "millimeter"), 1e3),
    **dict.fromkeys(("cm", "centimeter"), 1e4),
    **dict.fromkeys(("m", "meter"), 1e6),
    **dict.fromkeys(("Å", "angstrom"), 1e-4),
}


def voxel_size(path: str | Path, *, ndim: int, key: str | None = None) -> tuple[float, ...] | None:
    """Micrometres of a pixel along the ``ndim`` axes of an image, (y, x) or (z, y, x); None if the file does not say.

    TIFF as ImageJ and Fiji write it, OME-TIFF, and other TIFF with pixels per centimetre; dots per inch are a
    printer's, and no size. HDF5 with ``element_size_um``, as ilastik and PlantSeg write it. ValueError names a damaged
    file.

    >>> import tempfile
    >>> path, image = Path(tempfile.mkdtemp()) / "cell.tif", np.zeros((4, 8, 8), np.uint8)
    >>> about = {"unit": "um", "spacing": 3, "axes": "ZYX"}
    >>> tifffile.imwrite(path, image, imagej=True, resolution=(4, 2), metadata=about)
    >>> voxel_size(path, ndim=3), voxel_size(path, ndim=2)
    ((3.0, 0.5, 0.25), (0.5, 0.25))
    """
    kind, found = Path(path).suffix.lower(), None
    with named(Path(path)):
        if kind in (".tif", ".tiff"):
            with tifffile.TiffFile(path) as file:
                found = _of_ome(file) if file.is_ome else _of_tiff(file)
        elif kind in (".h5", ".hdf5"):
            found = open_hdf5(Path(path), key).attrs.get("element_size_um")
    sizes = () if found is None else tuple(np.ravel(found))[-ndim:]
    known = len(sizes) == ndim and all(size is not None and 0 < size < float("inf") for size in sizes)
    return tuple(map(float, sizes)) if known else None


def _of_ome(file: tifffile.TiffFile) -> list[float | None]:
    pixels = next(item for item in ElementTree.fromstring(file.ome_metadata).iter() if item.tag.endswith("}Pixels"))
    sizes = []
    for axis in "ZYX":
        size, unit = pixels.get(f"PhysicalSize{axis}"), UNITS.get(pixels.get(f"PhysicalSize{axis}Unit", "µm"))
        sizes.append(float(size) * unit if size and unit else None)
    return sizes


def _of_tiff(file: tifffile.TiffFile) -> list[float | None]:
    tags, about = file.pages.first.tags, {}
    if file.is_imagej:
        about = file.imagej_metadata or {}
        unit = UNITS.get(str(about.get("unit", "")))
    else:
        about = (file.shaped_metadata or [{}])[0]
        unit = UNITS["cm"] if tags.valueof("ResolutionUnit") == tifffile.RESUNIT.CENTIMETER else None
    if unit is None:
        return []
    depth = about.get("spacing", 1.0 if file.is_imagej else None)  # where ImageJ says nothing it means 1
    depth_unit = unit if file.is_imagej else 1.0  # label maps of ours have it in micrometres
    plane = [tags.valueof(f"{axis}Resolution") for axis in "YX"]
    sizes = [per[1] / per[0] * unit if per and per[0] else None for per in plane]
    return [None if depth is None else abs(float(depth)) * depth_unit, *sizes]
