"""Outlines of objects as other tools save them: read, and drawn as label maps. Nothing here runs code from a file."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from skimage.draw import polygon2mask

STROKE = 255  # the number of what is called background; objects leave it out
CENTRE = 0.5  # most tools count from the corner of the first pixel, label maps from its centre


class Outline(NamedTuple):
    """One object: its rings (P, 2) of (y, x) in pixels of a label map, outer ones and holes, and what it is called."""

    outer: list[np.ndarray]
    holes: list[np.ndarray]
    kind: str = ""


class Outlines(NamedTuple):
    """All objects of one image; ``shape`` is (y, x) where the file says it."""

    image: str
    objects: list[Outline]
    shape: tuple[int, int] | None = None


class Drawn(NamedTuple):
    """A label map, and what became of the outlines."""

    labels: np.ndarray
    objects: int
    overlap: int  # pixels that two objects claim; the later one has them
    holes: int  # that were cut out
    lost: int  # objects of which no pixel is left


def draw(objects: Sequence[Outline], shape: tuple[int, int]) -> Drawn:
    """Outlines as a label map uint16: objects 1, 2, ... without 255, which is what is called background, and 0.

    >>> square = np.array([[1, 1], [1, 4], [4, 4], [4, 1]])
    >>> drawn = draw([Outline([square], []), Outline([square + 2], [])], (8, 8))
    >>> drawn.objects, drawn.overlap > 0, drawn.labels.max()
    (2, True, np.uint16(2))
    """
    labels, overlap, holes, number, numbers = np.zeros(shape, np.uint16), 0, 0, 0, []
    for one in sorted(objects, key=lambda outline: not is_background(outline)):  # strokes lie below objects
        mask = np.zeros(shape, bool)
        for ring in one.outer:
            mask |= polygon2mask(shape, ring)
        for ring in one.holes:
            mask &= ~polygon2mask(shape, ring)
        holes += len(one.holes)
        if is_background(one):
            labels[mask] = STROKE
            continue
        number += 1 + (number + 1 == STROKE)
        overlap += int((mask & (labels > 0) & (labels != STROKE)).sum())
        labels[mask] = number
        numbers.append(number)
    lost = sum(not (labels == number).any() for number in numbers)
    return Drawn(labels, len(numbers), overlap, holes, lost)


def is_background(outline: Outline) -> bool:
    """
    >>> is_background(Outline([], [], "Background 2")), is_background(Outline([], [], "cell"))
    (True, False)
    """
    return outline.kind.strip().lower().startswith(("background", "stroke"))


def outlines_of(path: Path) -> list[Outlines]:
    """The outlines in a file, by image: ImageJ ROIs (zip, roi), GeoJSON, COCO, LabelMe, napari shapes (csv).

    ValueError, which names the file, for any other, and for one that cannot be read.
    """
    reader = READERS.get(path.suffix.lower())
    if reader is None:
        raise ValueError(f"{path}: ending {path.suffix!r} is not known; outlines come as {', '.join(READERS)}")
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such file")
    try:
        found = list(reader(path))
    except ImportError as error:
        raise ValueError(f"{path}: reading ROIs of ImageJ needs one more package: pip install roifile") from error
    except Exception as error:  # whatever a damaged file makes a reader raise
        if str(path) in str(error):
            raise
        reason = f"cannot be read ({type(error).__name__}: {error})"
        raise ValueError(f"{path}: {reason}; is it complete? Export it again") from error
    if not any(one.objects for one in found):
        raise ValueError(f"{path}: holds no outline of an area")
    return found


def _of_imagej(path: Path) -> Iterator[Outlines]:
    import roifile

    read = roifile.roiread(path)
    objects = []
    for roi in read if isinstance(read, list) else [read]:
        rings = [ring[:, ::-1] - CENTRE for ring in roi.coordinates(multi=True) if len(ring) > 2]
        if rings:
            objects.append(Outline(rings, [], roi.name or ""))
    yield Outlines(path.stem, objects)


def _of_json(path: Path) -> Iterator[Outlines]:
    content = json.loads(path.read_text(encoding="utf-8-sig"))
    if isinstance(content, dict) and "shapes" in content:
        yield _of_labelme(path, content)
    elif isinstance(content, dict) and "annotations" in content:
        yield from _of_coco(path, content)
    else:
        yield _of_geojson(path, content)


def _of_geojson(path: Path, content) -> Outlines:
    features = content["features"] if isinstance(content, dict) and "features" in content else content
    objects = []
    for feature in features if isinstance(features, list) else [features]:
        shape, about = feature["geometry"], feature.get("properties") or {}
        polygons = {"Polygon": [shape["coordinates"]], "MultiPolygon": shape["coordinates"]}.get(shape["type"], [])
        if polygons:
            rings = [[np.array(ring, float)[:, 1::-1] - CENTRE for ring in polygon] for polygon in polygons]
            kind = (about.get("classification") or {}).get("name") or about.get("name") or ""
            objects.append(Outline([r[0] for r in rings], [hole for r in rings for hole in r[1:]], kind))
    return Outlines(path.stem, objects)


def _of_labelme(path: Path, content: dict) -> Outlines:
    objects = []
    for shape in content["shapes"]:
        points, kind = np.array(shape["points"], float)[:, ::-1] - CENTRE, shape.get("shape_type") or "polygon"
        if kind == "rectangle":
            (top, left), (bottom, right) = points
            points = np.array([[top, left], [top, right], [bottom, right], [bottom, left]])
        elif kind == "circle":
            turn = np.linspace(0, 2 * np.pi, 64, endpoint=False)
            points = points[0] + np.linalg.norm(points[1] - points[0]) * np.stack([np.sin(turn), np.cos(turn)], 1)
        elif kind != "polygon":
            continue
        objects.append(Outline([points], [], str(shape.get("label") or "")))
    image = Path(str(content.get("imagePath") or path.name).replace("\\", "/")).stem
    return Outlines(image, objects, (int(content["imageHeight"]), int(content["imageWidth"])))


def _of_coco(path: Path, content: dict) -> Iterator[Outlines]:
    kinds = {kind["id"]: str(kind.get("name", "")) for kind in content.get("categories", [])}
    for image in content["images"]:
        objects = []
        for one in (a for a in content["annotations"] if a["image_id"] == image["id"]):
            if isinstance(one["segmentation"], dict):
                raise ValueError(f"{path}: object {one.get('id')} is a run-length mask; export polygons, or label maps")
            rings = [np.array(ring, float).reshape(-1, 2)[:, ::-1] - CENTRE for ring in one["segmentation"]]
            objects.append(
                Outline([ring for ring in rings if len(ring) > 2], [], kinds.get(one.get("category_id"), ""))
            )
        yield Outlines(Path(image["file_name"]).stem, objects, (int(image["height"]), int(image["width"])))


def _of_napari(path: Path) -> Iterator[Outlines]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    rings: dict[str, list] = {}
    for row in rows:
        if row["shape-type"] in ("polygon", "rectangle"):
            rings.setdefault(row["index"], []).append((float(row["axis-0"]), float(row["axis-1"])))
    yield Outlines(path.stem, [Outline([np.array(ring)], []) for ring in rings.values()])


READERS: dict[str, Callable[[Path], Iterator[Outlines]]] = {
    ".zip": _of_imagej,
    ".roi": _of_imagej,
    ".json": _of_json,
    ".geojson": _of_json,
    ".csv": _of_napari,
}
