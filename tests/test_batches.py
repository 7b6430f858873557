"""Which images a step sees, and how volumes of unequal size become one batch."""

import dataclasses

import numpy as np
import pytest
import torch

from spoco_lite import data
from spoco_lite.data import Sample
from spoco_lite.training import batches
from spoco_lite.training import loop as train
from spoco_lite.training.batches import Batches
from spoco_lite.training.config import Config

CPU = torch.device("cpu")
CONFIG = Config(size=32, batch=2)


def samples(n, shape=(40, 40), channels=3):
    rng = np.random.default_rng(0)
    return [
        Sample(rng.random((channels, *shape), np.float32), rng.integers(-1, 5, shape), f"image{i}") for i in range(n)
    ]


def test_an_epoch_shows_every_image_once_and_the_next_in_another_order():
    drawn = Batches(samples(10), CONFIG, CPU)
    epochs = [[i for step in range(5 * e, 5 * e + 5) for i in drawn.numbers(step)] for e in range(2)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == list(range(10))
    assert epochs[0] != epochs[1]


def test_the_images_of_a_step_are_those_that_its_numbers_name(monkeypatch):
    monkeypatch.setattr(batches, "two_views", lambda images, labels, **_: (images, images, labels))
    given = samples(5)
    drawn = Batches(given, CONFIG, CPU)
    for step in range(4):
        for number, image in zip(drawn.numbers(step), drawn.draw(step).view_f):
            assert np.array_equal(image, given[number].image)


@pytest.mark.parametrize("shapes", [[(40, 40)] * 2, [(40, 40), (48, 40)]], ids=["one size", "two sizes"])
def test_a_pixel_takes_four_bytes_a_channel_and_four_for_its_label(shapes, monkeypatch):
    monkeypatch.setattr(batches, "two_views", lambda images, labels, **_: (images, images, labels[:, :32, :32]))
    given = [samples(1, shape)[0] for shape in shapes]
    drawn = Batches(given, dataclasses.replace(CONFIG, batch=1), CPU)
    held = [tensor.nbytes for part in (drawn.images, drawn.labels) for tensor in part]
    assert sum(held) == sum(4 * (s.image.size + s.labels.size) for s in given)
    assert drawn.draw(0).labels.dtype == torch.int64


@pytest.mark.parametrize("processes", [2, 4])
def test_processes_share_the_batch_of_one(processes):
    drawn = Batches(samples(10), dataclasses.replace(CONFIG, batch=4), CPU)
    for step in range(5):
        shared = [i for rank in range(processes) for i in drawn.numbers(step, rank=rank, processes=processes)]
        assert shared == drawn.numbers(step)


@pytest.mark.parametrize("batch", [1, 2, 3])
def test_every_second_image_is_annotated_where_few_are(batch):
    given = samples(12)
    silent = [s._replace(labels=np.full_like(s.labels, -1)) for s in given[3:]]
    strokes = silent[0]._replace(labels=np.where(np.eye(*silent[0].labels.shape) > 0, 0, -1))  # background alone
    drawn = Batches(given[:3] + silent[1:] + [strokes], dataclasses.replace(CONFIG, batch=batch), CPU)
    numbers = [i for step in range(48 // batch) for i in drawn.numbers(step)]
    annotated = {0, 1, 2, 11}
    assert [i in annotated for i in numbers] == [True, False] * 24
    counts = np.bincount(numbers, minlength=12)
    assert set(counts[[0, 1, 2, 11]]) == {6} and set(counts[3:11]) == {3}  # each as often as its kind


def test_two_processes_do_not_augment_alike():
    drawn = Batches(samples(1), CONFIG, CPU)  # one image, so that both see the same
    first, second = (drawn.draw(0, rank=rank, processes=2).view_f for rank in range(2))
    assert not torch.equal(first, second)


VOLUME = Config(
    size=(8, 16, 16), crop=True, in_channels=1, batch=3, photometry="microscopy", widths=(4, 8), embedding_dim=4
)


def test_volumes_of_unequal_size_make_one_batch_of_different_views():
    shapes = [(10, 20, 24), (14, 18, 16), (8, 30, 20)]
    volumes = [samples(1, shape, 1)[0]._replace(name=str(shape)) for shape in shapes]
    batch = Batches(volumes, VOLUME, CPU).draw(0)
    assert batch.view_f.shape == batch.view_g.shape == (3, 1, 8, 16, 16)
    assert batch.labels.shape == (3, 8, 16, 16)
    assert not torch.equal(batch.view_f, batch.view_g)
    again = Batches(volumes, VOLUME, CPU).draw(0)
    assert all(torch.equal(a, b) for a, b in zip(batch, again))


def test_one_volume_twice_in_a_batch_gives_two_windows():
    batch = Batches(samples(1, (10, 20, 24), 1), VOLUME, CPU).draw(0)
    assert not torch.equal(batch.labels[0], batch.labels[1])


@pytest.mark.parametrize("dataset", ["cells3d"])
def test_a_volume_trains(dataset, tmp_path):
    config = dataclasses.replace(VOLUME, dataset=dataset, steps=30, held_out=1, log_every=10, validate_every=30)
    record = train.train(config, tmp_path, progress=False)
    first, *_, last = record["curve"]
    assert last["total"] < first["total"]
    assert record["held_out"] == [data.load(dataset, "train").names[-1]]
    assert "score_g" in last


@pytest.mark.parametrize("scale", [None, (0.9, 1.0)])
def test_the_scale_reaches_the_views(monkeypatch, scale):
    asked = []

    def two_views(images, labels, **options):
        asked.append(options["scale"])
        return images, images, labels

    monkeypatch.setattr(batches, "two_views", two_views)
    for config in (CONFIG, VOLUME):
        given = samples(3, (40, 40)) if config is CONFIG else samples(3, (8, 16, 16), 1)
        Batches(given, dataclasses.replace(config, scale=scale), CPU).draw(0)
    assert asked == ([scale, scale] if scale else [(1.05, 1.25), (0.8, 1.25)])


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([[-1, 0, 7], [3, 7, 900]], [[-1, 0, 2], [1, 2, 3]]),
        ([[-1, -1, 7], [3, 7, 900]], [[-1, -1, 2], [1, 2, 3]]),
        ([[5, 5], [5, 5]], [[1, 1], [1, 1]]),  # no background: the object must not become 0
        ([[-1, 0], [0, -1]], [[-1, 0], [0, -1]]),
    ],
)
def test_renumbering(labels, expected):
    assert batches.renumbered(np.array(labels)).tolist() == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"size": 32, "crop": False}, r"image0: an image of shape \(1, 10, 20, 24\).*size of three numbers and crop"),
        ({"in_channels": 3}, r"image0: the image has 1 channels, in_channels is 3"),
    ],
)
def test_a_volume_that_does_not_fit_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        Batches(samples(1, (10, 20, 24), 1), dataclasses.replace(VOLUME, **change), CPU)
