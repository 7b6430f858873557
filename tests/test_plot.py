"""The pictures: colours that keep their meaning, and errors instead of wrong pictures."""

import itertools

import matplotlib

matplotlib.use("Agg")

import hdbscan
import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb
from matplotlib.patches import Ellipse
from skimage.color import rgb2lab

from spoco_lite.show.clusters import show_tree
from spoco_lite.show.plot import (
    BACKGROUND,
    PALETTE,
    UNLABELLED,
    embedding_rgb,
    label_colours,
    learning_curve,
    match_colours,
    panels,
    show_labels,
)


@pytest.fixture
def ax():
    figure, axes = plt.subplots()
    yield axes
    plt.close(figure)


def _lab(*colours):
    return rgb2lab(np.array([[to_rgb(colour) for colour in colours]]))[0]


def test_palette_colours_are_well_apart():
    lab = _lab(*PALETTE, BACKGROUND, UNLABELLED)
    apart = [np.linalg.norm(a - b) for a, b in itertools.combinations(lab, 2)]
    assert min(apart) > 20
    assert min(np.linalg.norm(np.diff(lab[: len(PALETTE)], axis=0), axis=1)) > 50  # consecutive ids


def test_an_id_has_one_colour_in_every_map():
    few, many = label_colours(np.array([[4]])), label_colours(np.arange(12).reshape(3, 4))
    assert np.array_equal(few[0, 0], many[1, 0]) and np.allclose(few[0, 0], to_rgb(PALETTE[3]))


def test_background_and_unlabelled_look_like_no_object():
    labels = np.zeros((40, 40), int)
    labels[:, 20:] = -1
    colours = label_colours(labels)
    assert np.allclose(colours[:, :20], BACKGROUND)
    grey = colours[:, 20:].reshape(-1, 3)
    assert (np.ptp(grey, axis=1) == 0).all() and grey.min() > 0.6  # light and without hue
    assert len(np.unique(grey, axis=0)) == 2  # stripes
    assert 0.6 < np.isclose(grey[:, 0], UNLABELLED[0]).mean() < 0.9


def test_tensors_and_arrays_and_small_integer_types_give_the_same():
    labels = np.array([[-1, 0, 1], [2, 18, 19]])
    assert np.array_equal(label_colours(labels), label_colours(torch.from_numpy(labels)))
    assert np.array_equal(label_colours(labels.clip(0)), label_colours(labels.clip(0).astype(np.uint8)))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((4, 4)), "labels: expected integers"),
        (np.zeros((2, 4, 4), int), r"one slice.*\(2, 4, 4\)"),
        (np.full((4, 4), -2), "labels: found -2"),
    ],
)
def test_bad_label_maps(ax, labels, message):
    with pytest.raises(ValueError, match=message):
        show_labels(ax, labels)


def test_show_labels_alone(ax):
    labels = np.array([[0, 1], [2, -1]])
    assert show_labels(ax, labels) is ax
    assert np.array_equal(ax.images[0].get_array(), label_colours(labels))
    assert len(ax.get_xticks()) == len(ax.get_yticks()) == 0


def test_labels_over_an_image_leave_the_background_and_tint_the_object(ax):
    image = torch.rand(3, 12, 12, generator=torch.Generator().manual_seed(0))
    labels = np.zeros((12, 12), int)
    labels[2:9, 2:9] = 4
    labels[10:] = -1
    shown = show_labels(ax, labels, image).images[0].get_array()
    picture = image.permute(1, 2, 0).double().numpy()
    assert np.allclose(shown[labels == 0], picture[labels == 0])
    inside = shown[labels == 4]
    assert (inside.argmax(1) == np.argmax(to_rgb(PALETTE[3]))).all()  # the object's hue wins everywhere
    assert np.abs(shown[10:] - picture[10:]).max() > 0.1


def test_outlines_are_drawn_on_the_rim_only(ax):
    labels = np.zeros((12, 12), int)
    labels[2:9, 2:9] = 1
    image = np.full((3, 12, 12), 0.5)
    shown = show_labels(ax, labels, image, outline=True).images[0].get_array()
    rim = labels == 1
    rim[3:8, 3:8] = False
    assert np.allclose(shown[rim], to_rgb(PALETTE[0]))
    assert np.allclose(shown[~rim], 0.5)


def test_bad_images(ax):
    labels = np.zeros((4, 4), int)
    with pytest.raises(ValueError, match=r"image: its size \(5, 4\) differs from the labels' \(4, 4\)"):
        show_labels(ax, labels, np.zeros((3, 5, 4)))
    with pytest.raises(ValueError, match=r"outline: .*give image="):
        show_labels(ax, labels, outline=True)
    with pytest.raises(ValueError, match="image: expected floats"):
        show_labels(ax, labels, np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(ValueError, match=r"image: expected floats .*\(2, 4, 4\)"):
        show_labels(ax, labels, np.zeros((2, 4, 4)))


def _match_naive(truth, prediction):
    """The rule, one sentence after the other."""
    best = {}
    for found in sorted(set(prediction[prediction > 0].tolist())):
        overlap = {t: int(((truth == t) & (prediction == found)).sum()) for t in set(truth[truth > 0].tolist())}
        overlap = {t: n for t, n in overlap.items() if n}
        best[found] = max(overlap.items(), key=lambda item: item[1]) if overlap else None
    result, fresh = prediction.copy(), max(0, truth.max())
    for found, wish in best.items():
        rivals = [other[1] for other in best.values() if other and wish and other[0] == wish[0]]
        if wish and wish[1] == max(rivals):
            result[prediction == found] = wish[0]
        else:
            fresh += 1
            result[prediction == found] = fresh
    return result


def _tied(truth, prediction):
    """Whether the rule leaves a choice, because two overlaps are equal."""
    both = (truth > 0) & (prediction > 0)
    _, counts = np.unique(np.stack([truth[both], prediction[both]]), axis=1, return_counts=True)
    return len(set(counts.tolist())) < len(counts)


def test_match_colours_agrees_with_the_rule():
    rng = np.random.default_rng(0)
    checked = 0
    for _ in range(30):
        truth = rng.integers(-1, 4, (150, 200))
        prediction = np.where(rng.random(truth.shape) < 0.6, truth.clip(0) * 3 % 7, rng.integers(0, 5, truth.shape))
        if not _tied(truth, prediction):
            checked += 1
            assert np.array_equal(match_colours(truth, prediction), _match_naive(truth, prediction))
    assert checked > 15


def test_a_permuted_truth_gets_its_colours_back():
    truth = np.random.default_rng(1).integers(0, 9, (20, 20))
    permuted = np.array([0, 5, 3, 8, 1, 2, 7, 4, 6])[truth]
    assert np.array_equal(match_colours(truth, permuted), truth)
    assert np.array_equal(match_colours(torch.from_numpy(truth), torch.from_numpy(permuted)), truth)


def test_a_split_leaf_shows_two_colours_and_a_merge_one():
    truth = np.array([[3, 3, 3, 3, 5, 5]])
    assert match_colours(truth, np.array([[1, 2, 2, 2, 4, 4]])).tolist() == [[6, 3, 3, 3, 5, 5]]
    assert match_colours(truth, np.array([[9, 9, 9, 9, 9, 9]])).tolist() == [[3] * 6]


def test_match_colours_keeps_0_and_unlabelled_and_wants_one_shape():
    truth = np.array([[1, -1, 0]])
    assert match_colours(truth, np.array([[0, 4, -1]])).tolist() == [[0, 2, -1]]
    assert match_colours(truth * 0, truth * 0).tolist() == [[0, 0, 0]]
    with pytest.raises(ValueError, match=r"prediction: its shape \(3,\) differs from the truth's \(1, 3\)"):
        match_colours(truth, truth[0])


def _two_leaves():
    """Embeddings (4, 10, 10): two objects and background, well apart, with a little noise."""
    labels = np.zeros((10, 10), int)
    labels[1:5, 1:9], labels[5:9, 1:9] = 1, 2
    centres = np.array([[0.0, 0, 0, 0], [3, 0, 1, 0], [0, 3, 0, 1]])
    noise = np.random.default_rng(0).normal(0, 0.05, (4, 10, 10))
    return labels, np.moveaxis(centres[labels], -1, 0) + noise


def test_embedding_colours_tell_objects_apart():
    labels, embedding = _two_leaves()
    colours = embedding_rgb(embedding)
    assert colours.shape == (10, 10, 3) and colours.min() >= 0 and colours.max() <= 1
    means = [colours[labels == k].mean(0) for k in range(3)]
    assert all(np.linalg.norm(a - b) > 0.5 for a, b in itertools.combinations(means, 2))
    assert np.array_equal(colours, embedding_rgb(torch.from_numpy(embedding).requires_grad_()))


def test_embedding_colours_are_the_components_of_an_svd():
    _, embedding = _two_leaves()
    points = embedding.reshape(4, -1)
    points = points - points.mean(1, keepdims=True)
    left = np.linalg.svd(points)[0][:, :3].T
    for k, axis in enumerate(left):
        axis = axis * np.sign(axis[np.abs(axis).argmax()])
        low, high = np.percentile(axis @ points, [1, 99])
        expected = ((axis @ points - low) / (high - low)).clip(0, 1)
        assert np.allclose(embedding_rgb(embedding)[..., k].ravel(), expected)


def test_a_basis_is_shared():
    _, embedding = _two_leaves()
    assert np.array_equal(embedding_rgb(embedding, embedding), embedding_rgb(embedding))
    patch = embedding[:, 2:4, 2:7]  # the same pixels have the same colours, whatever else is shown
    assert np.allclose(embedding_rgb(patch, embedding), embedding_rgb(embedding)[2:4, 2:7])
    assert not np.allclose(embedding_rgb(patch), embedding_rgb(embedding)[2:4, 2:7])


def test_embeddings_of_few_dimensions_flat_ones_and_volumes():
    rng = np.random.default_rng(0)
    plane = embedding_rgb(rng.normal(size=(2, 5, 6)))
    assert plane.shape == (5, 6, 3) and (plane[..., 2] == 0.5).all() and np.ptp(plane[..., 1]) == 1
    assert (embedding_rgb(np.ones((8, 4, 4))) == 0.5).all()
    assert embedding_rgb(rng.normal(size=(8, 3, 4, 5))).shape == (3, 4, 5, 3)


def test_bad_embeddings():
    with pytest.raises(ValueError, match=r"basis: expected \(4, \*S\), not empty, found shape \(3, 9\)"):
        embedding_rgb(np.zeros((4, 2, 2)), np.zeros((3, 9)))
    with pytest.raises(ValueError, match=r"basis: .* found shape \(4, 0\)"):
        embedding_rgb(np.zeros((4, 2, 2)), np.zeros((4, 0)))
    with pytest.raises(ValueError, match="embedding: expected"):
        embedding_rgb(np.zeros(4))


def test_learning_curve(ax):
    values = {"train": [1.0, 0.5, 0.2], "val": [1.0, np.nan, 0.4]}
    assert learning_curve(ax, [0, 10, 20], values) is ax
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["train", "val"]
    assert ax.lines[1].get_xdata().tolist() == [0, 10, 20]
    assert np.array_equal(ax.lines[1].get_ydata(), values["val"], equal_nan=True)
    with pytest.raises(ValueError, match=r"values\['train'\]: has 3 numbers for 2 steps"):
        learning_curve(ax, [0, 10], values)


def test_nine_lines_look_different(ax):
    learning_curve(ax, [0, 1], {str(k): [k, k] for k in range(9)})
    assert len({(line.get_color(), line.get_linestyle()) for line in ax.lines}) == 9


def test_panels_take_every_kind_of_picture():
    labels = np.array([[0, 1, 1, -1]] * 5)
    grey = np.linspace(0, 1, 20).reshape(5, 4)
    colour = np.random.default_rng(0).random((3, 5, 4))
    titles = ["labels", "grey", "channel", "first", "last"]
    axes = panels([labels, grey, grey[None], colour, np.moveaxis(colour, 0, -1)], titles, columns=3)
    shown = [ax.images[0].get_array() for ax in axes]
    assert [ax.get_title() for ax in axes] == titles
    assert np.array_equal(shown[0], label_colours(labels))
    assert np.array_equal(shown[1], np.stack([grey] * 3, -1)) and np.array_equal(shown[1], shown[2])
    assert np.array_equal(shown[3], np.moveaxis(colour, 0, -1)) and np.array_equal(shown[3], shown[4])
    figure = axes[0].figure
    assert figure.get_facecolor() == (1, 1, 1, 1) and len(figure.axes) == 5
    assert figure.get_size_inches()[0] == pytest.approx(3 * 2.4)
    plt.close(figure)


def test_panels_on_a_dark_style_stay_readable():
    with plt.style.context("dark_background"):
        (ax,) = panels([np.zeros((4, 4))], ["title"])
        assert ax.figure.get_facecolor() == (1, 1, 1, 1) and ax.title.get_color() == "black"
        plt.close(ax.figure)


@pytest.mark.parametrize(("images", "titles"), [([np.eye(3)], []), ([], [])])
def test_panels_want_a_title_for_each(images, titles):
    with pytest.raises(ValueError, match=f"titles: found {len(titles)} for {len(images)} images"):
        panels(images, titles)


def test_a_tree_with_a_flat_cluster_is_drawn(ax):
    """hdbscan circles a cluster that ends almost where it begins with an oval whose height is an array."""
    rng = np.random.default_rng(0)
    points = np.concatenate([rng.normal(mean, spread, (30, 2)) for mean, spread in ((0, 0.01), (3, 1), (6, 1))])
    show_tree(ax, hdbscan.HDBSCAN(min_cluster_size=8, min_samples=3).fit(points), ["red", "blue", "green"])
    ovals = [patch for patch in ax.patches if isinstance(patch, Ellipse)]
    assert len(ovals) == 2 and all(np.ndim(oval.height) == 0 for oval in ovals)
    ax.figure.canvas.draw()
