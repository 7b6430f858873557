"""``data export LABELS OUTPUT``: label maps as outlines and measurements for other tools."""

import csv
import json
from pathlib import Path

import numpy as np
from skimage.measure import find_contours, points_in_poly, regionprops_table

from ..data.files import as_labels, files_of, read_array
from ..data.outlines import CENTRE
from ..data.writing import whole
from .each import each

MEASURED = "label", "area", "centroid", "axis_major_length", "axis_minor_length", "eccentricity", "solidity"


def export_labels(labels: Path, output: Path) -> int:
    """Write NAME.geojson for QuPath, NAME_rois.zip for Fiji where ``roifile`` is installed, and measurements.csv.

    Lengths and areas are in pixels. What cannot be read is said, and the others are done. Returns the exit code, 1
    if there was any, else 0.
    """
    files = files_of(labels)
    output.mkdir(parents=True, exist_ok=True)
    rows, rois, names = [], _roifile(), {path: name for name, path in files.items()}

    def one_map(path: Path) -> None:
        image = as_labels(read_array(path), path, unlabeled=-1)
        if image.ndim != 2:
            raise ValueError(f"{path}: found {image.ndim} axes; outlines are of images of 2, export slices")
        name = names[path]
        rings = {number: outlines(image == number) for number in np.unique(image[image > 0]).tolist()}
        with whole(output / f"{name}.geojson") as temporary:
            temporary.write_text(json.dumps(_geojson(rings)))
        if rois:
            named = [(f"{n}-{k}" if k else f"{n}", one[0]) for n, ps in rings.items() for k, one in enumerate(ps)]
            made = [rois.ImagejRoi.frompoints(ring[:-1, ::-1] + CENTRE, name=title) for title, ring in named]
            with whole(output / f"{name}_rois.zip") as temporary:
                rois.roiwrite(temporary.with_suffix(".zip"), made, mode="w")
                temporary.with_suffix(".zip").replace(temporary)
        table = regionprops_table(np.maximum(image, 0), properties=MEASURED)
        rows.extend({"image": name, **dict(zip(table, values))} for values in zip(*table.values()))

    wrong = each(files.values(), one_map)
    with whole(output / "measurements.csv") as temporary, temporary.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]) if rows else ["image"])
        writer.writeheader()
        writer.writerows(rows)
    without = "" if rois else "; ROIs of Fiji need one more package: pip install roifile"
    print(f"{len(rows)} objects of {len(files) - wrong} label maps are in {output}{without}")
    return 1 if wrong else 0


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
