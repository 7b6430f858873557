"""Pictures in notebooks get smaller, and stay what they are."""

import base64
import doctest
import io
import sys
from pathlib import Path

import nbformat
import numpy as np
from matplotlib.figure import Figure
from nbformat.v4 import new_code_cell, new_notebook, new_output
from PIL import Image

sys.path.append(str(Path(__file__).resolve().parents[1] / "book"))

import shrink  # noqa: E402


def pixels(png: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))


def as_png(figure: Figure, **how) -> bytes:
    file = io.BytesIO()
    figure.savefig(file, format="png", **how)
    return file.getvalue()


def test_example():
    assert doctest.testmod(shrink).failed == 0


def test_a_notebook_keeps_everything_but_bytes(tmp_path):
    drawing, noise = Figure(facecolor="white"), Figure(facecolor="white")
    drawing.subplots().plot([0, 1, 0])
    noise.subplots().imshow(np.random.default_rng(0).random((60, 60, 3)))
    pngs = [as_png(drawing), as_png(noise), as_png(drawing, transparent=True)]
    outputs = [new_output("display_data", {"image/png": base64.b64encode(png).decode() + "\n"}) for png in pngs]
    outputs.append(new_output("stream", text="words\n"))
    path = tmp_path / "a.ipynb"
    nbformat.write(new_notebook(cells=[new_code_cell("1", outputs=outputs)]), path)
    before = path.stat().st_size
    shrink.shrink(str(path))
    after = nbformat.read(path, as_version=4).cells[0].outputs
    found = [base64.b64decode(output["data"]["image/png"]) for output in after[:3]]
    assert all((pixels(a) == pixels(b)).all() for a, b in zip(pngs, found))
    assert len(found[0]) < 0.9 * len(pngs[0]) and len(found[1]) <= len(pngs[1]) and found[2] == pngs[2]
    assert path.stat().st_size < before and after[3] == outputs[3]
