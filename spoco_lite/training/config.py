"""Everything that decides a run, in one dataclass."""

import dataclasses
from dataclasses import dataclass, field

CHOICES = {
    "background": ("none", "all", "strokes"),
    "norm": ("batch", "group"),
    "optimizer": ("adamw", "adam"),
    "schedule": ("cosine", "one-cycle"),
}


@dataclass(frozen=True, kw_only=True)
class Config:
    """Everything that decides a run. Defaults: the public code's for leaves where it has one; others say why.

    Raises ValueError for a value that no run can have.

    >>> config = Config(dataset="bbbc050", size=(24, 64, 64), crop=True, in_channels=1, widths=(8, 16, 32))
    >>> config.ndim, config.batch
    (3, 4)
    """

    # The data, and what of it is annotated (data.load, data.annotation.plan_annotation).
    dataset: str = "rosettes"
    data_options: dict = field(default_factory=dict)  # of the data set's reader, such as {"path": ...}
    annotate: str = "per image"
    fraction: float = 1.0
    number: int | None = None  # of objects or images, instead of the fraction
    background: str = "none"  # "all" makes the annotation dense
    held_out: int = 4  # the last images of the training split: not trained on, they choose the weights kept
    seed: int = 0

    # The views (augment.two_views).
    size: int | tuple[int, ...] = 256  # in pixels; one number: a square; three: a volume, and a 3D network
    crop: bool = False  # views are windows of images in their own resolution; else of images brought to `size`
    zoom: tuple[float, ...] | None = None  # with crop: images are first brought to this share of their own size,
    # along each axis; prediction does the same. So a window shows more of a volume. None leaves them as they are.
    scale: tuple[float, float] | None = None  # None: 70 to 100% of the image's area; in crops 0.8 to 1.25
    symmetry: str = "plane"
    photometry: str = "colour"

    # The network and its momentum average (unet).
    in_channels: int = 3
    embedding_dim: int = 16
    widths: tuple[int, ...] = (16, 32, 64, 128, 256)
    norm: str = "batch"
    unit: tuple[float, ...] | None = None  # pixels for one unit of the embedding, for each axis; None adds no places
    momentum: float = 0.999

    # The loss (objective.SpocoLoss).
    delta_var: float = 0.5
    delta_dist: float = 2.0
    kernel_threshold: float = 0.5
    max_anchors: int = 20
    consistency: float = 1.0
    unlabeled_push: float = 1.0
    foreground: float = 0.0  # weight; the network has a channel for it where it is above 0
    loss_stride: int = 1  # the loss looks at every so manyth pixel along each axis
    loss_options: dict = field(default_factory=dict)  # any other argument of SpocoLoss

    # The optimiser.
    batch: int = 4  # images of a step, over all processes
    steps: int = 1000
    optimizer: str = "adamw"
    schedule: str = "cosine"
    learning_rate: float = 2e-3  # ten times the public code's: few steps, one cycle with warm-up
    weight_decay: float = 1e-4
    clip_norm: float = 10.0

    # How often the run looks at itself, in steps.
    log_every: int = 50
    validate_every: int = 500
    decoder: dict = field(default_factory=dict)  # of the validation (validation.validate): what is not as by default

    def __post_init__(self):
        for name in ("size", "zoom", "scale", "widths", "unit"):  # lists, where they come from a JSON file
            if isinstance(getattr(self, name), list):
                object.__setattr__(self, name, tuple(getattr(self, name)))
        for name, known in CHOICES.items():
            if getattr(self, name) not in known:
                raise ValueError(f"{name}: found {getattr(self, name)!r}; give one of {', '.join(known)}")
        for name in ("steps", "batch", "loss_stride", "log_every", "validate_every"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name}: found {getattr(self, name)}; give 1 or more")
        if self.held_out < 0:
            raise ValueError(f"held_out: found {self.held_out}; give a number of images, or 0 for none")
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
        """As JSON holds it, so that it compares equal with what was read from a file.

        >>> Config(widths=(8, 16)).plain()["widths"]
        [8, 16]
        """
        return {k: list(v) if isinstance(v, tuple) else v for k, v in dataclasses.asdict(self).items()}

    @classmethod
    def from_record(cls, record: dict) -> "Config":
        """From the ``config`` of a ``run.json``, also of one that was written before some of the fields existed.

        >>> Config.from_record({"dataset": "cvppp", "widths": [8, 16], "validation_images": 20}).widths
        (8, 16)
        """
        known = {f.name for f in dataclasses.fields(cls)}
        older = {} if "held_out" in record else {"held_out": 0}  # these were trained on the whole split
        return cls(**older | {key: value for key, value in record.items() if key in known})
