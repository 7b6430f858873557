"""Live explorers: sliders that redraw a picture of the book. Each calls the function that drew the static figure."""

import io
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
from ipywidgets import FloatSlider, Image, VBox
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ..selection import GaussianKernel, soft_masks
from .clusters import show_bandwidth

NEGLIGIBLE = 0.01  # below this membership a pixel hardly feels the kernel


def show_kernel(
    axes: Sequence[Axes], embedding: Any, anchor: Any, *, delta_var: float = 0.5, threshold: float = 0.5
) -> Sequence[Axes]:
    """Draw the Gaussian kernel, and the soft mask that it selects around an anchor.

    Parameters
    ----------
    axes
        two axes. On the first the membership over the distance, with a dot for each pixel; on the second the
        mask.
    embedding
        (E, Y, X), a tensor.
    anchor
        (E,), the embedding around which to select.
    delta_var, threshold
        as in :class:`spoco_lite.selection.GaussianKernel`.

    Returns
    -------
    Sequence[Axes]
        the axes.

    Raises
    ------
    ValueError
        the shapes do not fit.

    Example
    -------
    >>> axes = show_kernel(Figure().subplots(1, 2), torch.zeros(2, 4, 4), torch.zeros(2))
    >>> axes[1].get_title()
    'soft mask, t = 0.5'
    """
    if embedding.ndim != 3 or anchor.shape != embedding.shape[:1]:
        raise ValueError(
            f"show_kernel: expected embedding (E, Y, X) and anchor (E,), "
            f"found {tuple(embedding.shape)} and {tuple(anchor.shape)}"
        )
    kernel = GaussianKernel(delta_var, threshold)
    curve, picture = axes
    distance = torch.linspace(0, 4, 201)
    curve.plot(distance, kernel(distance.square()), color="#0072b2")
    distance = torch.linalg.vector_norm(embedding.flatten(1) - anchor[:, None], dim=0)
    curve.plot(distance, kernel(distance.square()), ".", color="#444444", ms=3, alpha=0.4, label="pixels")
    curve.plot(delta_var, threshold, "o", color="#d55e00", label=f"{threshold:g} at distance {delta_var:g}")
    reach = delta_var * math.sqrt(math.log(NEGLIGIBLE) / math.log(threshold))
    curve.axvline(reach, color="#999999", ls=":", label=f"{NEGLIGIBLE:g} at {reach:.2f}")
    curve.set(xlim=(0, 4), ylim=(-0.03, 1.05), xlabel="distance to the anchor", ylabel="membership")
    curve.spines[["top", "right"]].set_visible(False)
    curve.legend(fontsize=8, loc="upper right", edgecolor="none", framealpha=1)
    mask = soft_masks(embedding[None], anchor[None, None], kernel)[0, 0]
    picture.imshow(mask.numpy(), cmap="magma", vmin=0, vmax=1)
    picture.set(xticks=[], yticks=[], title=f"soft mask, t = {threshold:g}")
    picture.title.set_fontsize(10)
    return axes


def kernel_explorer(embedding: Any, anchor: Any) -> VBox:
    """Sliders for ``delta_var`` and the threshold below the picture of :func:`show_kernel`. It needs a running kernel.

    >>> explorer = kernel_explorer(torch.zeros(2, 4, 4), torch.zeros(2))
    >>> [slider.description for slider in explorer.children[1:]]
    ['delta_var', 'threshold']
    """

    def draw(figure: Figure, delta_var: float, threshold: float) -> None:
        show_kernel(figure.subplots(1, 2), embedding, anchor, delta_var=delta_var, threshold=threshold)

    return _explorer(draw, delta_var=(0.5, 0.1, 2), threshold=(0.5, 0.05, 0.95))


def bandwidth_explorer(embedding: Any, foreground: Any, truth: Any) -> VBox:
    """A slider for the bandwidth below the picture of :func:`~spoco_lite.show.clusters.show_bandwidth`.

    It needs a running kernel.

    >>> mask = torch.ones(4, 4, dtype=torch.bool)
    >>> bandwidth_explorer(torch.zeros(2, 4, 4), mask, mask.long()).children[1].description
    'bandwidth'
    """

    def draw(figure: Figure, bandwidth: float) -> None:
        show_bandwidth(figure.subplots(1, 2), embedding, foreground, truth, bandwidth=bandwidth)

    return _explorer(draw, bandwidth=(1, 0.1, 4))


def _explorer(draw: Callable[..., None], **ranges: tuple[float, float, float]) -> VBox:
    """A picture, and below it a slider for each of the ranges (value, least, most), by whose values it is drawn.

    The picture is an image widget, not captured output: it works where no front end collects output.
    """
    picture = Image(format="png")
    sliders = {
        name: FloatSlider(value, min=least, max=most, step=0.05, description=name, continuous_update=False)
        for name, (value, least, most) in ranges.items()
    }

    def redraw(_: Any = None) -> None:
        figure = Figure(figsize=(7.2, 2.8), layout="constrained", facecolor="white")  # pyplot keeps no hold of it
        draw(figure, **{name: slider.value for name, slider in sliders.items()})
        png = io.BytesIO()
        figure.savefig(png, format="png", dpi=90)
        picture.value = png.getvalue()

    for slider in sliders.values():
        slider.observe(redraw, "value")
    redraw()
    return VBox([picture, *sliders.values()])
