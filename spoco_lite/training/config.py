"""Everything that decides a run, in one dataclass; what each field is stands with it, and ``train --help`` says it."""

import dataclasses
import functools
import json
import math
import sys
from dataclasses import dataclass, field
from pathlib import Path

from ..augment import PHOTOMETRY, SYMMETRIES
from ..data.annotation import BACKGROUND, HOW
from .typed import typed


def option(group: str, default, about: str, *, choices=()):
    """A field of :class:`Config`: its default (or what makes it), what it is about, in which unit, and its choices.

    >>> dict(option("speed", 5, "in pixels a step").metadata)
    {'group': 'speed', 'about': 'in pixels a step', 'choices': ()}
    """
    given = {"default_factory": default} if callable(default) else {"default": default}
    return field(**given, metadata={"group": group, "about": about, "choices": tuple(choices)})


_data, _views, _network, _loss, _optimiser, _watch = (
    functools.partial(option, group)
    for group in (
        "the data, and what of it is annotated",
        "the views",
        "the network and its momentum average",
        "the loss",
        "the optimiser",
        "how often the run looks at itself",
    )
)


_TINY = sys.float_info.min  # the least number above 0
_LIMITS = {
    (1, math.inf): (
        *("steps", "batch", "log_every", "validate_every", "in_channels", "embedding_dim", "max_anchors"),
        *("loss_stride", "number"),
    ),
    (0, math.inf): ("held_out",),
    (0, 2**63 - 1): ("seed",),
    (0.0, sys.float_info.max): ("consistency", "unlabeled_push", "foreground", "weight_decay"),
    (_TINY, sys.float_info.max): ("learning_rate", "clip_norm", "delta_var", "delta_dist"),
    (_TINY, 1.0): ("fraction",),
    (_TINY, 1 - sys.float_info.epsilon): ("kernel_threshold",),
    (0.0, 1.0): ("momentum",),
}


def _range(least: float, most: float) -> str:
    """
    >>> _range(1, math.inf), _range(_TINY, 1.0), _range(_TINY, 1 - sys.float_info.epsilon)
    ('1 or more', 'a number above 0, at most 1', 'a number above 0, below 1')
    """
    if most >= sys.float_info.max:
        return "a finite number above 0" if least == _TINY else f"{least:g} or more"
    low = "above 0" if least == _TINY else f"{least:g} or more"
    return f"a number {low}, {'below' if most < 1 else 'at most'} 1"


def _text_of_path(value) -> str:
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"found {value!r} of type {type(value).__name__}, which a record cannot hold")


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides a run. Defaults: the public code's for leaves where it has one; others say why.

    Raises ValueError for a value that no run can have.

    >>> config = Config(dataset="bbbc050", size=(24, 64, 64), crop=True, in_channels=1, widths=(8, 16, 32))
    >>> config.ndim, config.batch
    (3, 4)
    """

    dataset: str = _data("rosettes", "name of the data set; `data list` shows all")
    data_options: dict = _data(dict, "of the data set's reader, such as path=leaves or background=0")
    annotate: str = _data(
        "per image", "annotate a share of the objects of each image, of the set, or whole images", choices=HOW
    )
    fraction: float = _data(1.0, "share of the objects (or images) that is annotated, above 0, at most 1")
    number: int | None = _data(None, "objects that are annotated, instead of the fraction")
    background: str = _data(
        "none", "what of the background is annotated; `all` makes the annotation dense", choices=BACKGROUND
    )
    held_out: int = _data(4, "images at the end of the training split that only choose which weights are kept")
    seed: int = _data(0, "of all that is random")

    size: int | tuple[int, ...] = _views(
        256, "pixels: one number for a square; three, z y x, for a volume and a 3D network"
    )
    crop: bool = _views(
        False, "views are windows of images in their own resolution; else of images brought to the size"
    )
    zoom: tuple[float, ...] | None = _views(
        None, "with crop: share of its own size, for each axis, to which an image is brought first; also in prediction"
    )
    scale: tuple[float, float] | None = _views(
        None,
        "least and most pixels of the image for one of the view, along an axis; by default 1.05 1.25, which is 70 to "
        "100% of the area, and with crop 0.8 1.25",
    )
    symmetry: str = _views(
        "plane",
        "how views are mirrored and turned: in the plane, in all axes, or from left to right only",
        choices=SYMMETRIES,
    )
    photometry: str = _views("colour", "how light and noise are changed", choices=PHOTOMETRY)

    in_channels: int = _network(3, "channels of the images")
    embedding_dim: int = _network(16, "numbers in an embedding")
    widths: tuple[int, ...] = _network((16, 32, 64, 128, 256), "channels of each level of the U-Net, the finest first")
    norm: str = _network(
        "batch", "normalisation: by the batch, or within an image in groups of channels", choices=("batch", "group")
    )
    unit: tuple[float, ...] | None = _network(
        None, "pixels for one unit of the embedding, for each axis: adds places; by default there are none"
    )
    start: str | None = _network(
        None, "run whose weights the training begins with, as far as they fit; by default it begins from nothing"
    )
    momentum: float = _network(0.999, "how much of itself the average keeps in a step, 0 to 1")

    delta_var: float = _loss(0.5, "how far from its object's mean a pixel may be, in units of the embedding")
    delta_dist: float = _loss(2.0, "half the distance that means keep, in units of the embedding")
    kernel_threshold: float = _loss(0.5, "value of a soft mask at delta_var, between 0 and 1")
    max_anchors: int = _loss(20, "most anchors of the consistency in an image")
    consistency: float = _loss(1.0, "weight of the consistency of f and g")
    unlabeled_push: float = _loss(1.0, "weight of the push from unlabelled pixels")
    foreground: float = _loss(0.0, "weight of the foreground; above 0 the network has a channel for it")
    loss_stride: int = _loss(1, "along each axis the loss looks at every so manyth pixel")
    loss_options: dict = _loss(dict, "any other argument of SpocoLoss, such as anchor=pixel")

    batch: int = _optimiser(4, "images of a step, over all processes")
    steps: int = _optimiser(1000, "steps of the whole training")
    learning_rate: float = _optimiser(2e-3, "highest rate of AdamW")  # ten times the public code's: few steps, warm-up
    weight_decay: float = _optimiser(1e-4, "of AdamW")
    clip_norm: float = _optimiser(10.0, "longest gradient, over all weights")

    log_every: int = _watch(50, "steps between two entries of the learning curve")
    validate_every: int = _watch(500, "steps between two validations on the images held out")
    decoder: dict = _watch(
        dict,
        "of the validation, of evaluate and of predict, what is not as by default, such as min_size=20, the pixels of "
        "the smallest object in the image as its file has it",
    )

    def __post_init__(self):
        for one in dataclasses.fields(self):
            try:
                object.__setattr__(self, one.name, typed(getattr(self, one.name), one.type))
            except TypeError as error:
                raise ValueError(f"{one.name}: {error}") from None
        for one in dataclasses.fields(self):
            known, value = one.metadata["choices"], getattr(self, one.name)
            if known and value not in known:
                raise ValueError(f"{one.name}: found {value!r}; give one of {', '.join(known)}")
        for (least, most), names in _LIMITS.items():
            for name in names:
                value = getattr(self, name)
                if value is not None and not least <= value <= most:
                    raise ValueError(f"{name}: found {value}; give {_range(least, most)}")
        if not self.widths or min(self.widths) < 1:
            raise ValueError(f"widths: found {self.widths}; give channels, 1 or more, for at least one level")
        if self.scale is not None and not 0 < self.scale[0] <= self.scale[1] < math.inf:
            raise ValueError(f"scale: found {self.scale}; give the least and the most, both above 0")
        self.plain()  # complains of what no record can hold
        if "size" in self.data_options:
            raise ValueError("data_options: found 'size'; the fields size and zoom say how large images become")
        sizes = (self.size, self.size) if isinstance(self.size, int) else self.size
        if len(sizes) not in (2, 3) or min(sizes) < 1:
            raise ValueError(f"size: found {self.size}; give one number, or pixels along each of 2 or 3 axes")
        if self.ndim == 3 and not self.crop:
            raise ValueError(f"crop: a size of three axes, {self.size}, needs crop=True; volumes are not resized")
        if not self.crop and not isinstance(self.size, int):
            raise ValueError(f"size: found {self.size}; without crop give one number, the side of a square")
        if self.zoom is not None and not self.crop:
            raise ValueError(f"zoom: found {self.zoom}; it needs crop=True, else `size` says how large images become")
        if self.zoom is not None and (len(self.zoom) != len(sizes) or not 0 < min(self.zoom) <= max(self.zoom) <= 4):
            raise ValueError(f"zoom: found {self.zoom}; give a share for each of {len(sizes)} axes, above 0, at most 4")
        if self.zoom is not None:  # whole numbers, as they are written at times, would mean pixels
            object.__setattr__(self, "zoom", tuple(map(float, self.zoom)))

    @property
    def ndim(self) -> int:
        """How many axes the images have, 2 or 3."""
        return 2 if isinstance(self.size, int) else len(self.size)

    @property
    def view_scale(self) -> tuple[float, float]:
        """Least and most pixels of the image for one of the view, along an axis."""
        # Images without crop are 1.25 times as large as a view: 1.05 / 1.25 squared is 70%.
        return self.scale or ((0.8, 1.25) if self.crop else (1.05, 1.25))

    def plain(self) -> dict:
        """As JSON holds it, so that it compares equal with what was read from a file. A path is its text.

        >>> Config(widths=(8, 16), data_options={"path": Path("leaves")}).plain()["data_options"]
        {'path': 'leaves'}
        """
        plain = {}
        for name, value in dataclasses.asdict(self).items():
            try:
                plain[name] = json.loads(json.dumps(value, default=_text_of_path))
            except TypeError as error:
                raise ValueError(f"{name}: {error}; give numbers, text, paths, and lists of them") from None
        return plain

    @classmethod
    def from_record(cls, record: dict) -> "Config":
        """From the ``config`` of a ``run.json``, also of one that was written before some of the fields existed.

        >>> Config.from_record({"dataset": "cvppp", "widths": [8, 16], "validation_images": 20}).widths
        (8, 16)
        """
        if not isinstance(record, dict):
            raise ValueError(f"config: found {record!r}; a record has names with their values there")
        known = {f.name for f in dataclasses.fields(cls)}
        older = {} if "held_out" in record else {"held_out": 0}  # these were trained on the whole split
        return cls(**older | {key: value for key, value in record.items() if key in known})
