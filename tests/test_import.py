"""``data import``: outlines and masks of other tools become the label maps that they show."""

import importlib.util
import json

import numpy as np
import pytest
import tifffile
from PIL import Image

from spoco_lite.__main__ import main
from spoco_lite.data.outlines import Outline, draw

SQUARE = [[2, 3], [8, 3], [8, 9], [2, 9]]  # (x, y), as most tools write it: columns 2 to 7, rows 3 to 8
OTHER = [[10, 3], [14, 3], [14, 9], [10, 9]]
TRUE = np.zeros((20, 16), int)
TRUE[3:9, 2:8], TRUE[3:9, 10:14] = 1, 2


def geojson(*polygons, kinds=("cell", "cell")):
    features = [
        {
            "type": "Feature",
            "geometry": {"type": "Polygon", "coordinates": [[*ring, ring[0]] for ring in rings]},
            "properties": {"objectType": "annotation", "classification": {"name": kind}},
        }
        for rings, kind in zip(polygons, kinds)
    ]
    return {"type": "FeatureCollection", "features": features}


COCO = {
    "images": [{"id": 7, "file_name": "a.png", "height": 20, "width": 16}],
    "categories": [{"id": 1, "name": "cell"}],
    "annotations": [
        {"id": k, "image_id": 7, "category_id": 1, "segmentation": [sum(ring, [])]}
        for k, ring in enumerate((SQUARE, OTHER))
    ],
}
LABELME = {
    "imagePath": "..\\\\pictures\\\\a.png",
    "imageHeight": 20,
    "imageWidth": 16,
    "shapes": [
        {"label": "cell", "points": SQUARE, "shape_type": "polygon"},
        {"label": "cell", "points": [OTHER[0], OTHER[2]], "shape_type": "rectangle"},
    ],
}
NAPARI = "index,shape-type,vertex-index,axis-0,axis-1\n" + "".join(
    f"{k},polygon,{i},{y - 0.5},{x - 0.5}\n" for k, ring in enumerate((SQUARE, OTHER)) for i, (x, y) in enumerate(ring)
)


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "cells" / "images").mkdir(parents=True)
    Image.fromarray(np.zeros((20, 16), np.uint8)).save(tmp_path / "cells" / "images" / "a.png")
    return tmp_path / "cells"


def imported(folder, file):
    assert main(["data", "import", str(file), str(folder)]) == 0
    return tifffile.imread(folder / "labels" / "a.tif")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.geojson", json.dumps(geojson([SQUARE], [OTHER]))),
        ("a_labels.json", json.dumps(geojson([SQUARE], [OTHER])["features"])),
        ("all.json", json.dumps(COCO)),
        ("b.json", json.dumps(LABELME)),
        ("a.csv", NAPARI),
    ],
    ids=["geojson", "features", "coco", "labelme", "napari shapes"],
)
def test_outlines_become_exactly_the_pixels_inside(folder, tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert np.array_equal(imported(folder, tmp_path / name), TRUE)


def test_rois_of_imagej(folder, tmp_path):
    roifile = pytest.importorskip("roifile")
    rois = [roifile.ImagejRoi.frompoints(np.array(ring)) for ring in (SQUARE, OTHER)]
    roifile.roiwrite(tmp_path / "a.zip", rois)
    assert np.array_equal(imported(folder, tmp_path / "a.zip"), TRUE)


def test_masks_of_cellpose_keep_their_numbers(folder, tmp_path):
    tifffile.imwrite(tmp_path / "a_cp_masks.tif", (7 * TRUE).astype(np.uint16))
    assert np.array_equal(imported(folder, tmp_path / "a_cp_masks.tif"), 7 * TRUE)


def test_holes_overlaps_and_strokes_are_said(folder, tmp_path, capsys):
    hole, over = [[4, 5], [6, 5], [6, 7], [4, 7]], [[7, 3], [12, 3], [12, 9], [7, 9]]
    stroke = [[0, 15], [16, 15], [16, 17], [0, 17]]
    content = geojson([SQUARE, hole], [over], [stroke], kinds=("cell", "cell", "Background"))
    (tmp_path / "a.geojson").write_text(json.dumps(content))
    labels = imported(folder, tmp_path / "a.geojson")
    out = capsys.readouterr().out
    assert "2 objects, background strokes, as 255, 1 holes cut out, 6 pixels that two objects claim" in out
    assert (labels[5:7, 4:6] == 0).all() and (labels[3:9, 7] == 2).all() and (labels[15:17] == 255).all()


def test_no_object_has_the_number_of_strokes():
    ring = np.array([[0, 0], [0, 2], [2, 2], [2, 0]], float)
    objects = [Outline([ring + [4 * (k // 20), 4 * (k % 20)]], []) for k in range(300)]
    drawn = draw(objects, (64, 80))
    assert drawn.objects == 300 and drawn.lost == 0
    assert sorted(set(np.unique(drawn.labels).tolist()) - {0}) == [k for k in range(1, 302) if k != 255]


BAD = [
    ("b.geojson", json.dumps(geojson([SQUARE])), "belongs to image b"),
    ("a.geojson", "{", "cannot be read"),
    ("a.geojson", json.dumps({"type": "FeatureCollection", "features": []}), "no outline"),
    ("a.json", json.dumps({"images": [], "annotations": []}), "no outline"),
    ("a.json", json.dumps(COCO | {"annotations": [{"image_id": 7, "segmentation": {"counts": []}}]}), "run-length"),
    ("a.csv", "x,y\n1,2\n", "cannot be read"),
    ("a.zip", "no zip", "pip install roifile" if importlib.util.find_spec("roifile") is None else "cannot be read"),
    ("a.txt", "", "ending '.txt' is not known"),
]


@pytest.mark.parametrize(("name", "content", "words"), BAD)
def test_bad_outlines_are_answered_in_one_line(folder, tmp_path, capsys, name, content, words):
    (tmp_path / name).write_text(content)
    assert main(["data", "import", str(tmp_path / name), str(folder)]) == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1 and words in error and name in error
    assert not (folder / "labels").exists()


def test_a_pickle_is_never_run_and_nothing_is_replaced(folder, tmp_path, capsys):
    np.save(tmp_path / "a_seg.npy", np.array({"masks": TRUE}, dtype=object), allow_pickle=True)
    assert main(["data", "import", str(tmp_path / "a_seg.npy"), str(folder)]) == 1
    assert "Python objects" in capsys.readouterr().err
    tifffile.imwrite(tmp_path / "a.tif", TRUE.astype(np.uint16))
    before = imported(folder, tmp_path / "a.tif")
    assert main(["data", "import", str(tmp_path / "a.tif"), str(folder)]) == 1
    assert "is there already" in capsys.readouterr().err
    assert np.array_equal(tifffile.imread(folder / "labels" / "a.tif"), before)


def test_a_bad_file_does_not_end_the_import(folder, tmp_path, capsys):
    """Nor does one image of a file with many."""
    image = folder / "images" / "a.png"
    for name in ("b", "c", "cells[1]"):
        (folder / "images" / f"{name}.png").write_bytes(image.read_bytes())
    coco = COCO | {"images": [*COCO["images"], COCO["images"][0] | {"id": 1, "file_name": "gone.png"}]}
    coco["annotations"] = [*COCO["annotations"], COCO["annotations"][0] | {"image_id": 1}]
    (tmp_path / "all.json").write_text(json.dumps(coco))
    (tmp_path / "b.tif").write_bytes(b"II*")
    for name in ("c", "cells[1]"):
        tifffile.imwrite(tmp_path / f"{name}.tif", TRUE.astype(np.uint16))
    names = "all.json", "b.tif", "nowhere.tif", "c.tif", "cells[1].tif"
    files = [str(tmp_path / name) for name in names]
    assert main(["data", "import", *files, str(folder)]) == 1
    error = capsys.readouterr().err
    assert error.count("\n") == 3 and all(name in error for name in ("gone", "b.tif", "nowhere.tif"))
    assert sorted(path.name for path in (folder / "labels").iterdir()) == ["a.tif", "c.tif", "cells[1].tif"]
    assert main(["data", "import", files[-1], str(folder)]) == 1
    assert "is there already" in capsys.readouterr().err  # whatever its name would mean as a pattern


def test_a_bad_file_does_not_end_the_export(tmp_path, capsys):
    (tmp_path / "found").mkdir()
    (tmp_path / "found" / "a.tif").write_bytes(b"II*")
    np.save(tmp_path / "found" / "b.npy", np.ones((3, 4, 5)) / 2)
    tifffile.imwrite(tmp_path / "found" / "c.tif", TRUE.astype(np.uint16))
    assert main(["data", "export", str(tmp_path / "found"), str(tmp_path / "out")]) == 1
    out, error = capsys.readouterr()
    assert error.count("\n") == 2 and "a.tif" in error and "b.npy: label values are fractions" in error
    assert "2 objects of 1 label maps" in out and (tmp_path / "out" / "c.geojson").is_file()
    assert len((tmp_path / "out" / "measurements.csv").read_text().splitlines()) == 3


def test_what_is_exported_comes_back_the_same(folder, tmp_path, capsys):
    labels = TRUE.copy()
    labels[5:7, 4:6] = 0  # a hole
    labels[15:18, 2:5] = labels[15:18, 8:9] = 3  # an object of two pieces
    (tmp_path / "found").mkdir()
    tifffile.imwrite(tmp_path / "found" / "a.tif", labels.astype(np.uint16))
    assert main(["data", "export", str(tmp_path / "found"), str(tmp_path / "out")]) == 0
    assert "3 objects of 1 label maps" in capsys.readouterr().out
    assert np.array_equal(imported(folder, tmp_path / "out" / "a.geojson"), labels)
    header, *rows = (tmp_path / "out" / "measurements.csv").read_text().splitlines()
    assert header.startswith("image,label,area,centroid-0") and rows[1].startswith("a,2,24.0,5.5,11.5")
    if importlib.util.find_spec("roifile"):
        assert (tmp_path / "out" / "a_rois.zip").is_file()
