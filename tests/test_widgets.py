"""The live explorers: what a slider changes is what the static picture shows."""

import math

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch

from spoco_lite.show import widgets
from spoco_lite.show.clusters import show_bandwidth
from spoco_lite.show.widgets import bandwidth_explorer, kernel_explorer, show_kernel


@pytest.fixture
def embedding():
    return torch.randn(2, 5, 7, generator=torch.Generator().manual_seed(0))


@pytest.fixture
def axes():
    figure, axes = plt.subplots(1, 2)
    yield axes
    plt.close(figure)


@pytest.mark.parametrize(("delta_var", "threshold"), [(0.5, 0.5), (0.5, 0.9), (1.25, 0.1)])
def test_show_kernel_draws_the_equation(axes, embedding, delta_var, threshold):
    anchor = embedding[:, 2, 3]
    curve, picture = show_kernel(axes, embedding, anchor, delta_var=delta_var, threshold=threshold)
    line, pixels, point, reach = curve.get_lines()
    x, y = line.get_data()
    assert y == pytest.approx([threshold ** ((d / delta_var) ** 2) for d in np.asarray(x)], abs=1e-5)
    assert [float(v[0]) for v in point.get_data()] == [delta_var, threshold]
    (at, _) = reach.get_xdata()
    assert threshold ** ((at / delta_var) ** 2) == pytest.approx(widgets.NEGLIGIBLE)
    mask = [
        [threshold ** ((math.dist(embedding[:, r, c], anchor) / delta_var) ** 2) for c in range(7)] for r in range(5)
    ]
    shown = np.asarray(picture.images[0].get_array())
    assert shown == pytest.approx(np.array(mask), abs=1e-5)
    assert np.asarray(pixels.get_ydata()) == pytest.approx(shown.ravel(), abs=1e-6)


@pytest.mark.parametrize("shape", [(2, 5), (1, 2, 5, 7), (3, 5, 7)])
def test_show_kernel_names_a_wrong_shape(axes, shape):
    with pytest.raises(ValueError, match=r"expected embedding \(E, Y, X\)"):
        show_kernel(axes, torch.zeros(shape), torch.zeros(2))


def test_explorer_redraws_the_static_picture(monkeypatch, embedding):
    drawn = []

    def spy(axes, emb, anchor, **values):
        drawn.append((emb, values))
        return show_kernel(axes, emb, anchor, **values)

    monkeypatch.setattr(widgets, "show_kernel", spy)
    before = plt.get_fignums()
    picture, delta_var, threshold = kernel_explorer(embedding, embedding[:, 0, 0]).children
    pictures = [bytes(picture.value)]
    delta_var.value = 1.0
    pictures.append(bytes(picture.value))
    threshold.value = 0.9
    pictures.append(bytes(picture.value))
    assert [values for _, values in drawn] == [
        {"delta_var": 0.5, "threshold": 0.5},
        {"delta_var": 1.0, "threshold": 0.5},
        {"delta_var": 1.0, "threshold": 0.9},
    ]
    assert all(emb is embedding for emb, _ in drawn)
    assert all(png.startswith(b"\x89PNG") for png in pictures) and len(set(pictures)) == 3
    assert plt.get_fignums() == before  # a slider that is moved a lot does not fill the memory


TRUTH = torch.tensor([[1, 1, 0, 2, 2]]).repeat_interleave(10, dim=0)


@pytest.mark.parametrize(("bandwidth", "found", "sbd"), [(1.0, 2, 1.0), (6.0, 1, 2 / 3)])
def test_show_bandwidth_draws_what_mean_shift_finds(axes, bandwidth, found, sbd):
    """Two objects four apart: a bandwidth that sees both makes one of them, whose Dice with each is 2 / 3."""
    embedding = torch.stack([torch.zeros(TRUTH.shape), 4.0 * (TRUTH == 2)])
    points, picture = show_bandwidth(axes, embedding, TRUTH > 0, TRUTH, bandwidth=bandwidth)
    assert picture.get_title() == f"{found} found, SBD {sbd:.2f}"
    (circle,) = points.patches
    assert circle.radius == bandwidth
    drawn = points.collections[1]
    assert len(drawn.get_offsets()) == (TRUTH > 0).sum() and len(np.unique(drawn.get_facecolors(), axis=0)) == found
    y = [float(row[1]) for row in drawn.get_offsets()]
    assert set(y) == {0.0} and points.yaxis.get_inverted()  # the first component runs down


def test_bandwidth_explorer_redraws_the_static_picture(monkeypatch):
    drawn = []

    def spy(axes, *given, bandwidth):
        drawn.append((given, bandwidth))
        return show_bandwidth(axes, *given, bandwidth=bandwidth)

    monkeypatch.setattr(widgets, "show_bandwidth", spy)
    given = torch.stack([torch.zeros(TRUTH.shape), 4.0 * (TRUTH == 2)]), TRUTH > 0, TRUTH
    picture, bandwidth = bandwidth_explorer(*given).children
    first = bytes(picture.value)
    bandwidth.value = 3.95
    assert [value for _, value in drawn] == [1.0, 3.95] and all(a is b for a, b in zip(drawn[1][0], given))
    assert bytes(picture.value) != first
