"""Segmentation by a run as a function that napari takes as it is; it works without napari as well.

``viewer.window.add_function_widget(segment)`` makes it a form: the annotations, which napari reads and Python does not,
say that the image is one of the viewer's layers, and that the result becomes a layer of labels.
"""

import numpy as np

from ..data import Sample
from ..data.files import as_image
from ..results.runs import load_model, load_run, prediction_size
from .decoders import decode, decoder_of
from .image import check_channels


def segment(image: "napari.types.ImageData", run: str = "") -> "napari.types.LabelsData":  # noqa: F821
    """Labels ``(*S)`` of an image, as the command ``predict`` makes them: 0 background, 1..K objects.

    Parameters
    ----------
    image
        as a viewer has it: (Y, X), colours last (Y, X, 3), or (Z, Y, X), of the types that files have. uint8 is 0 to
        255; of others each channel is scaled by its own percentiles.
    run
        name or folder of a trained run. It says how images are brought to the networks, and how objects are decoded.

    Raises
    ------
    ValueError, FileNotFoundError
        an image of other axes or channels than the run needs; a run that is not there or has no weights.

    Example
    -------
    >>> from spoco_lite import data
    >>> leaf = data.load("rosettes", "val")[0].image
    >>> labels = segment(np.uint8(255 * np.moveaxis(leaf, 0, -1)), "cvppp-10")
    >>> labels.shape == leaf.shape[1:], labels.max() > 0
    (True, np.True_)
    """
    pair, config = load_model(run), load_run(run)["config"]
    stretch = bool(config.get("data_options", {}).get("stretch"))
    pixels = as_image(np.asarray(image), "image", ndim=pair.g.ndim, stretch=stretch)
    check_channels(len(pixels), pair.g.in_channels, "image")
    sample = Sample(pixels, np.full(pixels.shape[1:], -1), "image")
    return decode(pair, sample, decoder_of(config, masked=False), size=prediction_size(config), masked=False)
