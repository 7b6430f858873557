"""Pictures of a run: its learning curve, and the images held out as they are segmented by now."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np

from ..data import Sample, Size
from ..data.writing import whole
from ..prediction.decoders import decode
from ..show.plot import learning_curve, match_colours, panels
from ..unet import MomentumPair

SHOWN = 3  # images that are held out, at most


def draw_curve(curve: Sequence[dict], path: Path) -> None:
    """The loss over the steps, and below it the score of the images held out, if there are any; a PNG.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "curve.png"
    >>> draw_curve([{"step": 10, "total": 2.0}, {"step": 20, "total": 1.0, "score_g": 0.5}], path)
    >>> path.stat().st_size > 1000
    True
    """
    scored = [entry for entry in curve if "score_g" in entry]
    figure, axes = plt.subplots(1 + bool(scored), figsize=(6, 2.6 * (1 + bool(scored))), squeeze=False, sharex=True)
    loss, *score = axes[:, 0]
    learning_curve(loss, [e["step"] for e in curve], {"loss": [e["total"] for e in curve]}).set_yscale("log")
    for ax in score:
        values = {name: [e.get(f"score_{name}", float("nan")) for e in scored] for name in ("g", "f")}
        learning_curve(ax, [e["step"] for e in scored], values).set(ylim=(0, 1), ylabel="score of images held out")
    figure.set_layout_engine("constrained")
    with whole(path) as temporary:
        figure.savefig(temporary, format="png", dpi=90, facecolor="white")
    plt.close(figure)


def draw_held_out(
    pair: MomentumPair, samples: Sequence[Sample], path: Path, *, decoder: dict, size: Size | None, step: int
) -> None:
    """Some images held out, their labels, and what the networks of this step find there; of volumes the middle slice.

    >>> import tempfile
    >>> from .. import data
    >>> from ..results.runs import load_model
    >>> path, sample = Path(tempfile.mkdtemp()) / "held_out.jpg", data.load("rosettes", "train", size=32)[0]
    >>> decoder = {"cluster": "mean_shift", "consistent": False}
    >>> draw_held_out(load_model("cvppp-10"), [sample], path, decoder=decoder, size=32, step=5)
    >>> path.stat().st_size > 1000
    True
    """
    pictures, titles = [], []
    for sample in samples[:SHOWN]:
        found = decode(pair, sample, decoder, size=size, masked=False)
        place = () if found.ndim == 2 else (found.shape[0] // 2,)
        truth, image = sample.labels[place], sample.image[(slice(None), *place)]
        image = image if len(image) in (1, 3) else image[:1]
        pictures += [stretched(image), truth, match_colours(truth, found[place])]
        titles += [sample.name[:20].replace("$", r"\$"), "labels", f"step {step}"]
    figure = panels(pictures, titles, columns=3)[0].figure
    with whole(path) as temporary:
        figure.savefig(temporary, format="jpeg", dpi=90, pil_kwargs={"quality": 80})
    plt.close(figure)


def stretched(image: np.ndarray) -> np.ndarray:
    """An image in [0, 1] for the eye: its 99.9th percentile becomes white, if it is darker.

    >>> stretched(np.array([[[0.0, 0.25]]])).round(2).tolist()
    [[[0.0, 1.0]]]
    """
    high = np.percentile(image, 99.9)
    return (image / high).clip(0, 1) if 0 < high < 1 else image
