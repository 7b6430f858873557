"""``data export LABELS OUTPUT``: label maps as outlines, pictures and measurements for other tools."""

import csv
import json
import os
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.measure import find_contours, points_in_poly, regionprops_table

from ..data.files import as_image, as_labels, files_of, read_array
from ..data.label_files import checksum, write_labels
from ..data.names import by_image
from ..data.outlines import CENTRE
from ..data.voxels import voxel_size
from ..data.writing import whole
from ..show.plot import overlay
from ..training.pictures import stretched
from .each import each

MEASURED = {  # of an image, and of a volume
    2: ("label", "area", "centroid", "axis_major_length", "axis_minor_length", "eccentricity", "solidity"),
    3: ("label", "area", "centroid", "equivalent_diameter_area"),
}


def export_labels(labels: Path, output: Path, images: Path | None = None) -> int:
    """Write what other tools read of the label maps.

    * ``measurements.csv``: a row for each object, in micrometres where a file says what a pixel has, else in pixels;
    * NAME.geojson for QuPath, and NAME_rois.zip for Fiji where ``roifile`` is installed; not of volumes;
    * with the ``images``, found by name: NAME.tif, the label map with the pixel size of its image, and
      NAME_outlines.jpg, the rims of the objects on the image (of a volume, on its middle slice).

    What cannot be read is said, and the others are done. Returns the exit code, 1 if there was any, else 0.
    """
    files, pictures = files_of(labels), files_of(images) if images else {}
    files = by_image(files, pictures)
    if os.path.realpath(output) in {
        os.path.dirname(os.path.realpath(p)) for p in (*files.values(), *pictures.values())
    }:
        raise ValueError(f"{output}: holds label maps or images to be read; give another folder for the output")
    output.mkdir(parents=True, exist_ok=True)
    rows, rois, names = [], _roifile(), {path: name for name, path in files.items()}

    def one_map(path: Path) -> None:
        name, numbers = names[path], as_labels(read_array(path), path, unlabeled=-1)
        voxel = voxel_size(path, ndim=numbers.ndim)
        if images:
            if name not in pictures:
                raise FileNotFoundError(
                    f"{images}: no image named {name}; label maps and images belong together by name"
                )
            voxel = voxel or voxel_size(pictures[name], ndim=numbers.ndim)
            _write_with_image(numbers, pictures[name], output / name, voxel, made_from=checksum(path))
        if numbers.ndim == 2:
            rings = {number: outlines(numbers == number) for number in np.unique(numbers[numbers > 0]).tolist()}
            with whole(output / f"{name}.geojson") as temporary:
                temporary.write_text(json.dumps(_geojson(rings)))
            if rois:
                _write_rois(rings, output / f"{name}_rois.zip", rois)
        table = regionprops_table(
            np.maximum(numbers, 0), properties=MEASURED[numbers.ndim], spacing=voxel or (1,) * numbers.ndim
        )
        unit = {"unit": "um" if voxel else "pixel"}
        rows.extend({"image": name} | dict(zip(table, values)) | unit for values in zip(*table.values()))

    wrong = each(files.values(), one_map)
    with whole(output / "measurements.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(dict.fromkeys(name for row in rows for name in row)) or ["image"])
        writer.writeheader()
        writer.writerows(rows)
    without = "" if rois else "; ROIs of Fiji need one more package: pip install roifile"
    print(f"{len(rows)} objects of {len(files) - wrong} label maps are in {output}{without}")
    return 1 if wrong else 0


def _write_with_image(
    numbers: np.ndarray, image: Path, target: Path, voxel: tuple[float, ...] | None, *, made_from: str
) -> None:
    """The label map with the pixel size, and the rims of its objects on the image; ``target`` has no ending yet."""
    pixels = as_image(read_array(image, ndim=numbers.ndim), image, ndim=numbers.ndim)
    if pixels.shape[1:] != numbers.shape:
        raise ValueError(f"{image}: found shape {pixels.shape[1:]}, that of its label map is {numbers.shape}")
    kept = np.maximum(numbers, 0)
    kept = kept.astype(np.uint16 if kept.max() < 1 << 16 else np.uint32)
    write_labels(target.with_name(f"{target.name}.tif"), kept, made_from=made_from, voxel_size=voxel)
    middle = tuple(n // 2 for n in numbers.shape[:-2])
    plane = stretched(pixels[(slice(None), *middle)])
    drawn = overlay(numbers[middle], plane if len(plane) == 3 else plane[:1], outline=True)
    with whole(target.with_name(f"{target.name}_outlines.jpg")) as temporary:
        Image.fromarray(np.rint(255 * drawn).astype(np.uint8)).save(temporary, format="jpeg", quality=92, subsampling=0)


def _write_rois(rings: dict[int, list], path: Path, rois) -> None:
    named = [(f"{n}-{k}" if k else f"{n}", one[0]) for n, pieces in rings.items() for k, one in enumerate(pieces)]
    made = [rois.ImagejRoi.frompoints(ring[:-1, ::-1] + CENTRE, name=title) for title, ring in named]
    with whole(path) as temporary:
        rois.roiwrite(temporary.with_suffix(".zip"), made, mode="w")
        temporary.with_suffix(".zip").replace(temporary)


def outlines(mask: np.ndarray) -> list[list[np.ndarray]]:
    """Rings (P, 2) of (y, x) around each piece of a mask, the outer one first, then its holes.

    >>> [[len(ring) for ring in piece] for piece in outlines(np.array([[0, 1, 0, 1]], bool))]
    [[5], [5]]
    """
    rings = [ring - 1 for ring in find_contours(np.pad(mask, 1).astype(float), 0.5)]
    sizes = [float((np.roll(r[:, 0], 1) * r[:, 1] - r[:, 0] * np.roll(r[:, 1], 1)).sum()) for r in rings]
    sign = np.sign(max(sizes, key=abs)) if sizes else 1  # of the largest ring, which is an outer one
    pieces = [[ring] for ring, size in zip(rings, sizes) if size * sign > 0]
    for hole in (ring for ring, size in zip(rings, sizes) if size * sign < 0):
        owners = [piece for piece in pieces if points_in_poly(hole[:1], piece[0])[0]]
        min(owners, key=lambda piece: len(piece[0])).append(hole)
    return pieces


def _geojson(rings: dict[int, list]) -> dict:
    features = []
    for number, pieces in rings.items():
        places = [[(ring[:, ::-1] + CENTRE).tolist() for ring in piece] for piece in pieces]
        single = len(places) == 1
        shape = {"type": "Polygon" if single else "MultiPolygon", "coordinates": places[0] if single else places}
        about = {"objectType": "annotation", "name": str(number)}
        features.append({"type": "Feature", "geometry": shape, "properties": about})
    return {"type": "FeatureCollection", "features": features}


def _roifile():
    try:
        import roifile
    except ImportError:
        return None
    return roifile
