"""From what a folder of images holds to a configuration to train with: our recipe, fitted to the objects."""

import tempfile
import time

import numpy as np

from ..data.survey import DIM, Survey
from ..prediction.decoders import DEFAULTS, OWN_MASK
from .config import Config
from .loop import Training

WIDTH = 12, 40  # pixels of the network, between which the width of an object is left as it is
AIM = 24  # else images are brought to a size in which a typical object is so wide
UNITS = 4  # a typical object is so many units of the embedding wide
FOREGROUND = {"colour": 1.0, "microscopy": 10.0}  # its weight: what paid on leaves and on nuclei, as the bench says
WINDOW = {2: 128, 3: 48}  # pixels along an axis, if the images have so many
CELL = 16  # the deepest level of the network sees one pixel for so many
LEAST = 0.5  # what an object must have of the smallest one's pixels (5th percentile), if that is less than by default
SEEN = 4  # and in any case so many of what the network sees


def propose(found: Survey, *, stretch: bool | None = None) -> Config:
    """The configuration that we would take for these images; the steps are not decided (:func:`steps_in`).

    ``stretch``: bring dim images of 8 bits to the full range; by default if they are dim. ValueError where there is
    nothing to go by: no image, no object, or images that do not go together.

    >>> from ..data.sets import dish
    >>> from ..data.survey import survey
    >>> folder = tempfile.mkdtemp()
    >>> dish.write(folder, labelled=4, tested=1)
    >>> config = propose(survey(folder))
    >>> config.size, config.unit, config.in_channels, config.background, config.held_out, config.zoom
    ((128, 128), (4.0, 4.0), 1, 'all', 1, None)
    """
    images = found.of("train") or found.images
    axes, channels = {len(facts.shape) for facts in images}, {facts.channels for facts in images}
    if not images or not len(found.extents()):
        raise ValueError(f"{found.path}: no object can be read, so there is nothing to go by; see above")
    if len(axes) > 1 or len(channels) > 1:
        raise ValueError(
            f"{found.path}: images of {sorted(axes)} axes and {sorted(channels)} channels; bring all to one kind"
        )
    ndim = axes.pop()
    extents = found.extents()
    if ndim == 2:  # objects lie in all directions
        extents = np.repeat(extents.mean(1, keepdims=True), 2, 1)
    typical = np.median(extents, 0)
    zoom = np.array([1.0 if WIDTH[0] / (ndim - 1) <= d <= WIDTH[1] else min(4.0, AIM / d) for d in typical])
    smallest = np.min([facts.shape for facts in images], 0) * zoom
    size = [int(max(CELL, min(WINDOW[ndim], n // CELL * CELL))) for n in smallest]
    seen = typical * zoom
    pixels = [v.pixels for facts in images for v in found.objects(facts).values()]
    least = int(max(LEAST * np.percentile(pixels, 5), SEEN / np.prod(zoom)))
    dim = any(facts.dtype == "uint8" and facts.high < DIM for facts in images)
    options: dict = {"path": str(found.path)}
    for name, meaning in (("background", found.background), ("unlabeled", found.unlabeled)):
        if meaning:
            values = set(meaning.values())
            everywhere = len(values) == 1 and len(meaning) == len(found.splits())
            options[name] = values.pop() if everywhere else dict(meaning)
    if dim if stretch is None else stretch:
        options["stretch"] = True
    colours = images[0].channels == 3 and not all(facts.grey for facts in images)
    photometry = "colour" if colours else "microscopy"
    return Config(
        dataset="folder",
        data_options=options,
        background="all" if any(found.share(facts, found.background) for facts in images) else "none",
        held_out=0 if len(images) < 4 else min(8, max(1, round(len(images) / 8))),
        size=tuple(size),
        crop=True,
        zoom=None if (zoom == 1).all() else tuple(float(f"{z:.2g}") for z in zoom),
        photometry=photometry,
        in_channels=images[0].channels,
        widths=(16, 32, 64, 128, 256)[: 7 - ndim],
        unit=tuple(max(0.5, round(2 * d / UNITS) / 2) for d in seen.tolist()),
        foreground=FOREGROUND[photometry],
        loss_stride=2,
        batch=2,
        decoder={"min_size": least} if least * np.prod(zoom) < DEFAULTS[OWN_MASK]["specks"] else {},
    )


def steps_in(config: Config, minutes: float, *, seconds: float = 10, device=None) -> int:
    """How many steps of a training this machine takes in so many minutes; it tries, for so many seconds.

    >>> config = Config(size=32, batch=2, widths=(4, 8))
    >>> 10 < steps_in(config, 1, seconds=0.1) < 1_000_000
    True
    """
    if not 0 < minutes < float("inf"):
        raise ValueError(f"minutes: found {minutes}; give how long the training may take, above 0")
    with tempfile.TemporaryDirectory() as folder:
        training = Training(config, folder, device=device)
        for _ in range(2):  # the first steps prepare what the others use
            training.train_step(training.draw(training.step))
        start, first = time.perf_counter(), training.step
        while time.perf_counter() - start < seconds or training.step == first:
            float(training.train_step(training.draw(training.step)).total)
        pace = (time.perf_counter() - start) / (training.step - first)
    steps = max(10, 60 * minutes / pace)
    return int(float(f"{steps:.2g}"))
