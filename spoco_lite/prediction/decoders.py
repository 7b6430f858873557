"""Decoders: from the networks and an image to its objects. The default ones, and those among which a run chooses.

A *decoder* is a plain dictionary, so that a record can hold it: ``cluster`` ("mean_shift" or "hdbscan"), ``consistent``
(keep only objects on which f and g agree), ``pieces`` (each connected piece of an object is one of its own, if it has
so many pixels), and keyword arguments of the clusterer and of the segmentation.

How small an object may be is ``min_size``, in pixels of the image as its file has it, like ``pieces``. Who says nothing
gets ``specks``, in pixels that the networks see: these are noise, of whatever size the image is.
"""

import inspect
from functools import cached_property, partial

import numpy as np
import torch
from skimage.measure import label
from skimage.segmentation import relabel_sequential
from torch import Tensor

from ..clustering import consistency_clustering, hdbscan_clusters, mean_shift, segment
from ..data import Sample, Size
from ..unet import MomentumPair
from .image import embed, look, segment_image
from .tiles import segment_tiles

CLUSTERERS = {"mean_shift": mean_shift, "hdbscan": hdbscan_clusters}
# The two ways to score, as tables name them.
WITH_MASK, WHOLE_IMAGE = "inside the given foreground", "whole image"
OWN_MASK = "inside the network's own foreground"  # how whole images are decoded if the network has a channel for it

# Chosen on 11 training images of CVPPP with the networks of two recorded runs, trained on 10% and 100% of the leaves.
INSIDE, OUTSIDE = {"consistent": False, "specks": 50}, {"consistent": True, "specks": 50}
DEFAULTS = {
    WITH_MASK: {"cluster": "hdbscan", **INSIDE},
    WHOLE_IMAGE: {"cluster": "mean_shift", "radius": 1.0, "iou_threshold": 0.6, **OUTSIDE},
    OWN_MASK: {"cluster": "hdbscan", "consistent": False, "specks": 20},
}
_WHOLE = [
    *(
        {"cluster": "mean_shift", "bandwidth": b, "radius": r, "iou_threshold": t, **OUTSIDE}
        for b, r in ((1.0, 1.0), (0.75, 1.25))
        for t in (0.3, 0.4, 0.5, 0.6, 0.7)
    ),
    {"cluster": "mean_shift", "radius": 1.0, "consistent": False, "specks": 50},
]
CANDIDATES = {
    WITH_MASK: [
        {"cluster": "hdbscan", **INSIDE},
        {"cluster": "hdbscan", "min_samples": 5, **INSIDE},
        {"cluster": "hdbscan", "min_cluster_size": 60, **INSIDE},
        *({"cluster": "mean_shift", "bandwidth": b, **INSIDE} for b in (0.75, 1.0, 1.25)),
        *({"cluster": "mean_shift", "bandwidth": b, **INSIDE, "pieces": 50} for b in (1.0, 1.25)),
    ],
    WHOLE_IMAGE: [
        *_WHOLE,
        *(decoder | {"pieces": size} for decoder in _WHOLE for size in (50, 200)),  # these cost hardly anything
        *(_WHOLE[k] | {"specks": 20} for k in (0, 2)),  # for nuclei in 2D; 50 leaves out one in ten of bbbc038
    ],
    OWN_MASK: [
        {"consistent": False, "specks": size} | clusterer
        for size in (20, 50)
        for clusterer in (
            {"cluster": "hdbscan"},
            {"cluster": "hdbscan", "min_samples": 5},
            *({"cluster": "mean_shift", "bandwidth": b, "merge": m} for b, m in ((1.0, 1.5), (1.25, 2.0), (1.5, 2.0))),
        )
    ],
}
OF_SEGMENTATION = ("consistent", "iou_threshold", "min_size", "specks")  # options that are not the clusterer's
OF_OBJECTS = ("min_size", "specks", "pieces")  # what an object is, whoever finds it
IN_ONE_PIECE = 1 << 22  # pixels; a larger image in its own resolution is decoded in tiles


def way_of(pair: MomentumPair, *, masked: bool) -> str:
    """The key in ``DEFAULTS`` and ``CANDIDATES`` that fits these networks, with or without a given foreground.

    >>> from spoco_lite.results import runs
    >>> way_of(runs.load_model("cvppp-10"), masked=False)
    'whole image'
    """
    return WITH_MASK if masked else OWN_MASK if pair.g.foreground else WHOLE_IMAGE


def decoder_of(config: dict, *, masked: bool) -> dict:
    """The decoder of a run: the default one with the options it was trained with (``config["decoder"]``).

    Inside a given mask, where another clusterer is at work, only those hold that say what an object is.

    >>> decoder_of({"decoder": {"min_size": 20, "iou_threshold": 0.4}}, masked=True)
    {'cluster': 'hdbscan', 'consistent': False, 'min_size': 20}
    """
    own = config.get("decoder") or {}
    if masked:
        return with_own(DEFAULTS[WITH_MASK], {name: own[name] for name in OF_OBJECTS if name in own})
    return with_own(DEFAULTS[OWN_MASK if config.get("foreground") else WHOLE_IMAGE], own)


def with_own(decoder: dict, own: dict | None) -> dict:
    """A decoder with options of one's own, which end those that no longer fit: ``specks``, and of another clusterer.

    >>> with_own({"cluster": "mean_shift", "radius": 1.0, "specks": 50}, {"min_size": 200})
    {'cluster': 'mean_shift', 'radius': 1.0, 'min_size': 200}
    >>> with_own({"cluster": "mean_shift", "radius": 1.0, "specks": 50}, {"cluster": "hdbscan"})
    {'cluster': 'hdbscan', 'specks': 50}
    """
    own, left = own or {}, dict(decoder)
    if "min_size" in own:
        left.pop("specks", None)
    if own.get("cluster", decoder["cluster"]) != decoder["cluster"]:
        left = {name: value for name, value in left.items() if name in ("cluster", *OF_SEGMENTATION, *OF_OBJECTS)}
    return left | own


class Decoding:
    """One image, and what its decoders share: embeddings do not depend on the decoder, nor clusters on every option.

    ``size`` is that to which the image is brought, in pixels; None is its own.

    >>> from spoco_lite import data
    >>> from spoco_lite.results import runs
    >>> sample = data.load("rosettes", "val", size=32)[0]
    >>> decoding = Decoding(runs.load_model("cvppp-10"), sample, size=32)
    >>> [decoding.labels(d, masked=False).shape for d in CANDIDATES[WHOLE_IMAGE][:2]]
    [(32, 32), (32, 32)]
    """

    def __init__(self, pair: MomentumPair, sample: Sample, *, size: Size | None):
        self.pair, self.sample, self.size = pair, sample, size
        self._clusters: dict[tuple, Tensor] = {}
        self._labels: dict[tuple, np.ndarray] = {}

    @cached_property
    def emb_f(self) -> Tensor:
        return embed(self.pair.f, self.sample.image, size=self.size)

    @cached_property
    def seen_by_g(self) -> tuple[Tensor, Tensor | None]:
        return look(self.pair.g, self.sample.image, size=self.size)

    def labels(self, decoder: dict, *, masked: bool) -> np.ndarray:
        """Labels ``(*S)``, int64; with ``masked`` inside the foreground that comes with the data set.

        Raises ValueError if there is no such foreground.
        """
        if masked and self.sample.foreground is None:
            raise ValueError(
                f"{self.sample.name}: the data set gives no foreground mask; score the whole image instead"
            )
        options = dict(decoder)
        pieces = options.pop("pieces", None)
        key = masked, *options.items()
        if key not in self._labels:
            self._labels[key] = self._segmented(options, masked)
        return split_pieces(self._labels[key], pieces) if pieces else self._labels[key]

    def _segmented(self, decoder: dict, masked: bool) -> np.ndarray:
        sample, common = self.sample, arguments(decoder)
        common["foreground"] = sample.foreground if masked else None
        cluster = common.pop("cluster")
        if self.size is None and sample.labels.size > IN_ONE_PIECE:
            return segment_tiles(self.pair, sample.image, cluster=cluster, progress=False, **common)

        def remembered(points: Tensor) -> Tensor:
            least = common.get("min_size"), common.get("specks")
            key = masked, common["consistent"], *least, cluster.func, *cluster.keywords.items()
            if key not in self._clusters:
                self._clusters[key] = cluster(points)
            return self._clusters[key]

        seen = self.emb_f if common["consistent"] else None, *self.seen_by_g
        labels = segment_image(self.pair, sample.image, size=self.size, seen=seen, cluster=remembered, **common)
        return labels.cpu().numpy()


def arguments(decoder: dict) -> dict:
    """A decoder, all but its ``pieces``, as arguments of ``segment_image`` and of ``segment_tiles``.

    >>> found = arguments({"cluster": "mean_shift", "bandwidth": 0.75, "consistent": True, "pieces": 50})
    >>> found["cluster"].keywords, found["consistent"], "pieces" in found
    ({'bandwidth': 0.75}, True, False)
    """
    options = {key: value for key, value in decoder.items() if key != "pieces"}
    found = {key: options.pop(key) for key in OF_SEGMENTATION if key in options}
    if found.get("consistent") is False:
        found.pop("iou_threshold", None)  # of what f and g must agree on
    return found | {"cluster": partial(CLUSTERERS[options.pop("cluster")], **options)}


def check_decoder(decoder: dict, *, ndim: int = 2) -> None:
    """Try a decoder on embeddings of a few pixels, so that a wrong option is said before hours of training.

    ValueError names the option that is unknown, and those that are known.

    >>> for decoder in DEFAULTS.values():
    ...     check_decoder(decoder)
    """
    name = decoder.get("cluster")
    if name not in CLUSTERERS:
        raise ValueError(f"decoder: found cluster={name!r}; give one of {', '.join(CLUSTERERS)}")
    known = {"cluster", "pieces", *OF_SEGMENTATION, *inspect.signature(CLUSTERERS[name]).parameters} - {"points"}
    unknown = ", ".join(repr(key) for key in decoder if key not in known)
    if unknown:
        raise ValueError(f"decoder: found {unknown}; known with {name} are {', '.join(sorted(known))}")
    if type(decoder.get("consistent", True)) is not bool:
        raise ValueError(f"decoder: found consistent={decoder['consistent']!r}; give true or false")
    for key in OF_OBJECTS:
        value = decoder.get(key, 1)
        if not (type(value) is int and value >= 1):
            raise ValueError(f"decoder: found {key}={value!r}; give whole pixels, 1 or more")
    if "min_size" in decoder and "specks" in decoder:
        raise ValueError("decoder: found min_size and specks; give one, pixels of the image or of what networks see")
    threshold = decoder.get("iou_threshold", 0.5)
    if not (isinstance(threshold, int | float) and 0 <= threshold <= 1):
        raise ValueError(f"decoder: found iou_threshold={threshold!r}; give a number from 0 to 1")
    options = {key: value for key, value in arguments(decoder).items() if key not in OF_OBJECTS}
    embedding = torch.rand(2, *[9] * ndim, generator=torch.Generator().manual_seed(0))
    try:
        if options.pop("consistent", True):
            consistency_clustering(embedding, embedding, **options)
        else:
            segment(embedding, **options)
    except (TypeError, ValueError, RuntimeError) as error:
        raise ValueError(f"decoder: {error}; found {decoder}") from error


def split_pieces(labels: np.ndarray, min_size: int) -> np.ndarray:
    """Labels ``(*S)``, each connected piece an object; one of fewer than ``min_size`` pixels becomes background.

    Objects that no window of the training ever showed together may share their embedding: nothing pushed them apart.

    >>> split_pieces(np.array([[1, 1, 0, 1, 2, 2]]), min_size=2).tolist()
    [[1, 1, 0, 0, 2, 2]]
    """
    pieces = label(labels, background=0, connectivity=1)
    large = np.bincount(pieces.ravel()) >= min_size
    return relabel_sequential(np.where(large[pieces], pieces, 0))[0]


def decode(pair: MomentumPair, sample: Sample, decoder: dict, *, size: Size | None, masked: bool) -> np.ndarray:
    """Labels ``(*S)`` of a sample by one decoder; arguments and errors as of :class:`Decoding`.

    >>> from spoco_lite import data
    >>> from spoco_lite.results import runs
    >>> pair, sample = runs.load_model("cvppp-10"), data.load("rosettes", "val", size=32)[0]
    >>> decode(pair, sample, {"cluster": "mean_shift", "consistent": False}, size=32, masked=True).shape
    (32, 32)
    """
    return Decoding(pair, sample, size=size).labels(decoder, masked=masked)
