"""Bad inputs, a row for each: what is given, and words of the answer. A new option or format adds its rows.

Every answer is a ValueError or FileNotFoundError (of a command one line after ``error:``, and exit code 1, or 2 of
argparse), and says the words of its row: the argument or file, what was found, or what to do.
"""

import math

import numpy as np
import pytest
import torch

from spoco_lite import data
from spoco_lite.augment import two_views
from spoco_lite.clustering import consistency_clustering, hdbscan_clusters, mean_shift, segment
from spoco_lite.data import Plan, Sample, plan_annotation
from spoco_lite.data import folder as own_folder
from spoco_lite.data.files import as_image, as_labels
from spoco_lite.data.sample import resize
from spoco_lite.data.sets.dish import make_dish
from spoco_lite.data.sets.tubes import make_tubes
from spoco_lite.losses import consistency_loss, instance_loss, pull_loss, push_loss
from spoco_lite.metrics import average_precision, evaluate
from spoco_lite.objective import SpocoLoss
from spoco_lite.prediction.decoders import DEFAULTS, WHOLE_IMAGE, check_decoder
from spoco_lite.prediction.evaluate import evaluate_run
from spoco_lite.prediction.image import embed, segment_image
from spoco_lite.prediction.stream import LazyImage
from spoco_lite.prediction.tiles import segment_tiles
from spoco_lite.results.runs import load_model, run_folder
from spoco_lite.selection import GaussianKernel
from spoco_lite.training.advice import steps_in
from spoco_lite.training.config import Config
from spoco_lite.training.sweep import sweep
from spoco_lite.unet import EmbeddingUNet, MomentumPair

# ---------------------------------------------------------------------- fields of the configuration

WHOLE, NUMBER, TEXT, YES_NO, NAMES = "a whole number", "a number", "text", "true or false", "names with their values"
FIELDS = [
    *((name, 5, TEXT) for name in ("dataset", "annotate", "background", "symmetry", "photometry", "norm")),
    *((name, None, TEXT) for name in ("dataset", "norm")),
    *((name, "x", NAMES) for name in ("data_options", "loss_options", "decoder")),
    *((name, [1], NAMES) for name in ("data_options", "loss_options", "decoder")),
    ("decoder", {1: 2}, NAMES),
    *(
        (name, value, WHOLE)
        for name in (
            *("steps", "batch", "seed", "held_out", "in_channels", "embedding_dim", "max_anchors", "loss_stride"),
            *("log_every", "validate_every", "number", "size"),
        )
        for value in (1.5, "4")
    ),
    *((name, True, WHOLE) for name in ("steps", "batch", "seed")),
    *(
        (name, value, NUMBER)
        for name in ("fraction", "momentum", "delta_var", "delta_dist", "kernel_threshold", "learning_rate")
        for value in ("0.5", None)
    ),
    *((name, [1.0], NUMBER) for name in ("consistency", "unlabeled_push", "foreground", "weight_decay", "clip_norm")),
    *(("crop", value, YES_NO) for value in ("yes", 1, None)),
    ("start", 5, "text, or None"),
    ("widths", 8, "a list of whole numbers"),
    ("widths", "8 16", "a list of whole numbers"),
    ("widths", (8, 1.5), "a list of whole numbers"),
    ("scale", 1.0, "a list of 2 numbers, or None"),
    ("scale", (0.8, 1.0, 1.2), "a list of 2 numbers, or None"),
    ("zoom", 0.5, "a list of numbers, or None"),
    ("unit", "x", "a list of numbers, or None"),
    ("size", (8.5, 8), "a whole number, or a list of whole numbers"),
    # of the right type, and of no run
    *(
        (name, value, str(value))
        for name in ("learning_rate", "clip_norm", "delta_var", "delta_dist")
        for value in (-1, 0.0, math.nan, math.inf)
    ),
    *((name, -0.5, "0 or more") for name in ("consistency", "unlabeled_push", "foreground", "weight_decay")),
    *((name, 0, "1 or more") for name in ("steps", "batch", "in_channels", "embedding_dim", "max_anchors", "number")),
    *(("fraction", value, "above 0, at most 1") for value in (0.0, -0.1, 1.1, math.nan)),
    *(("kernel_threshold", value, "above 0, below 1") for value in (0.0, 1.0)),
    *(("momentum", value, "at most 1") for value in (-0.1, 1.1)),
    *((name, -1, "0 or more") for name in ("seed", "held_out")),
]


@pytest.mark.parametrize(("name", "value", "words"), FIELDS, ids=lambda value: str(value)[:30])
def test_a_field_of_the_configuration(name, value, words):
    with pytest.raises(ValueError, match=f"^{name}: found ") as error:
        Config(**{name: value})
    assert words in str(error.value)


# ---------------------------------------------------------------------- calls of the module

RNG = np.random.default_rng(0)
GREY = RNG.integers(0, 256, (20, 30), dtype=np.uint8)
RGB = RNG.integers(0, 256, (20, 30, 3), dtype=np.uint8)
LABELS = np.zeros((20, 30), np.int64)
LABELS[2:9, 2:9], LABELS[12:18, 12:28] = 1, 2
SAMPLE = Sample(np.zeros((1, 20, 30), np.float32), LABELS, "leaf")
EMB = torch.rand(1, 4, 8, 8)
ONES = torch.ones(1, 8, 8, dtype=torch.int64)
VIEWS = torch.rand(1, 3, 32, 32), torch.ones(1, 32, 32, dtype=torch.int64)
PAIR = MomentumPair(EmbeddingUNet(1, 4, widths=(4, 8)))
TWO = {"size": 16, "seed": 0}
PLAN = {"how": "set", "fraction": 0.5, "number": None, "seed": 0, "background": "none", "objects": {}, "strokes": {}}


def decode(**options):
    return check_decoder(DEFAULTS[WHOLE_IMAGE] | options)


CALLS = {
    # images and label maps
    "an image of text": (lambda: as_image(np.array([["a"]]), "a.png", ndim=2), "a.png", "integers or floats"),
    "an image of complex numbers": (lambda: as_image(np.zeros((3, 3), complex), "a.npy", ndim=2), "a.npy", "complex"),
    "an image of one axis": (lambda: as_image(np.zeros(5), "a.npy", ndim=2), "a.npy", "(5,)"),
    "an image of nothing": (lambda: as_image(np.zeros((0, 5)), "a.npy", ndim=2), "a.npy", "empty"),
    "an image of five channels": (lambda: as_image(np.zeros((9, 9, 5)), "a.npy", ndim=2), "a.npy", "1 to 4 channels"),
    "an image of NaN": (lambda: as_image(np.full((3, 3), np.nan), "a.npy", ndim=2), "a.npy", "9 values are NaN"),
    "an image of infinity": (lambda: as_image(np.full((3, 3), np.inf), "a.npy", ndim=2), "a.npy", "infinite"),
    "a lazy image of text": (lambda: LazyImage(np.array([["a"]]), ndim=2), "integers or floats"),
    "a lazy image of one axis": (lambda: LazyImage(np.zeros(3), ndim=2), "(3,)"),
    "a lazy image of nothing": (lambda: LazyImage(np.zeros((3, 0)), ndim=2), "empty"),
    "a lazy image of NaN": (lambda: LazyImage(np.full((3, 3), np.nan), ndim=2), "the first at (y, x) = (0, 0)"),
    "labels of colours": (lambda: as_labels(RGB, "a.png"), "a.png", "colours", "np.unique"),
    "labels as JPEG": (lambda: as_labels(GREY, "a.jpg"), "a.jpg", "JPEG", "PNG"),
    "labels of fractions": (lambda: as_labels(GREY / 2, "a.npy"), "a.npy", "whole"),
    "labels of NaN": (lambda: as_labels(np.full((3, 3), np.nan), "a.npy"), "a.npy", "NaN"),
    "labels below 1": (lambda: as_labels(LABELS - 1, "a.npy"), "a.npy", "-1", "background (0)"),
    "labels with two meanings": (lambda: as_labels(LABELS, "a", background=0, unlabeled=0), "both are 0"),
    "labels beyond 63 bits": (lambda: as_labels(np.full((3, 3), 2**63 + 1, np.uint64), "a"), "2**63 - 1"),
    "labels of nothing": (lambda: as_labels(np.zeros((0, 3), int), "a.npy"), "a.npy", "(0, 3)"),
    "labels of text": (lambda: as_labels(np.array([["a"]]), "a.npy"), "a.npy", "2 or 3 axes of integers"),
    # data sets
    "a data set that nobody knows": (lambda: data.load("leafs", "train"), "'leafs'", "rosettes"),
    "a split that nobody knows": (lambda: data.load("rosettes", "training"), "'training'", "train, val, test"),
    "an option that a set lacks": (lambda: data.load("rosettes", "val", target="cells"), "'target'", "none"),
    "an option misspelt": (lambda: data.load("ovules", "train", targets="cells"), "'targets'", "target"),
    "the folder without path": (lambda: data.load("folder", "train"), "folder: needs option 'path'"),
    "a path that is a number": (lambda: data.load("folder", "train", path=5), "folder", "5"),
    "a path that is not there": (lambda: data.load("folder", "train", path="no/such"), "no/such"),
    "a meaning that is text": (lambda: own_folder.read("train", path=".", background="0"), "background", "'0'"),
    "a meaning for no split": (
        lambda: own_folder.read("train", path=".", unlabeled={"training": 0}),
        *("unlabeled", "training", "train, val, test"),
    ),
    "a voxel size of 0": (lambda: own_folder.read("train", path=".", voxel_size=(0, 1)), "voxel_size", "micrometres"),
    "a voxel size of one axis": (lambda: own_folder.read("train", path=".", voxel_size=(1,)), "voxel_size"),
    "a stretch of 1": (lambda: own_folder.read("train", path=".", stretch=1), "stretch", "true or false"),
    "a dish of seed -1": (lambda: make_dish(-1), "seed", "-1"),
    "tubes of seed -1": (lambda: make_tubes(-1), "seed", "-1"),
    "a training of 0 minutes": (lambda: steps_in(Config(), 0), "minutes", "above 0"),
    "a size of 0": (lambda: data.load("rosettes", "val", size=0), "size", "0"),
    "sizes of three axes": (lambda: resize(SAMPLE, (4, 4, 4)), "leaf", "(4, 4, 4)", "2 axes"),
    "fractions that are not 1": (lambda: own_folder.write_splits(".", fractions=(1, 1, 1)), "fractions", "add up to 1"),
    # annotation
    "a fraction of 0": (lambda: plan_annotation([SAMPLE], fraction=0), "fraction", "above 0"),
    "a fraction of NaN": (lambda: plan_annotation([SAMPLE], fraction=math.nan), "fraction", "nan"),
    "a fraction of text": (lambda: plan_annotation([SAMPLE], fraction="all"), "fraction", "all"),
    "a size where there is no option of that name": (lambda: Config(data_options={"size": 64}), "data_options", "size"),
    "a split as an option": (lambda: data.load("rosettes", "train", split="val"), "rosettes", "'split'"),
    "a name as an option": (lambda: data.load("rosettes", "train", name="x"), "rosettes", "'name'"),
    "neither fraction nor number": (lambda: plan_annotation([SAMPLE]), "one of the two"),
    "fraction and number": (lambda: plan_annotation([SAMPLE], fraction=0.5, number=3), "one of the two"),
    "a number of 1.5": (lambda: plan_annotation([SAMPLE], number=1.5), "number", "whole number"),
    "more than there are": (lambda: plan_annotation([SAMPLE], "set", number=9), "number", "2 objects"),
    "a way that is none": (lambda: plan_annotation([SAMPLE], "some", fraction=1), "how", "'some'"),
    "a background that is none": (lambda: plan_annotation([SAMPLE], fraction=1, background="x"), "background", "'x'"),
    "a seed below 0": (lambda: plan_annotation([SAMPLE], fraction=1, seed=-1), "seed", "-1"),
    "no strokes": (lambda: plan_annotation([SAMPLE], fraction=1, background="strokes", strokes=0), "strokes", "0"),
    "one name twice": (lambda: plan_annotation([SAMPLE, SAMPLE], fraction=1), "leaf", "two images"),
    "no image": (lambda: plan_annotation([], fraction=1), "samples", "no object"),
    "an image without object": (lambda: plan_annotation([SAMPLE._replace(labels=LABELS * 0)], fraction=1), "leaf"),
    "a plan of strange objects": (lambda: Plan(**PLAN | {"objects": {"leaf": (0,)}}), "leaf", "above 0"),
    "a plan of another image": (lambda: Plan(**PLAN).apply(SAMPLE), "leaf", "not an image of this plan"),
    # views
    "views of arrays": (lambda: two_views(VIEWS[0].numpy(), VIEWS[1], **TWO), "two_views", "ndarray", "from_numpy"),
    "views of bytes": (lambda: two_views((255 * VIEWS[0]).byte(), VIEWS[1], **TWO), "images", "uint8", "/ 255"),
    "views of half precision": (lambda: two_views(VIEWS[0].half(), VIEWS[1], **TWO), "images", "float16"),
    "views of 0 to 255": (lambda: two_views(255 * VIEWS[0], VIEWS[1], **TWO), "images", "[0, 1]"),
    "views of NaN": (lambda: two_views(math.nan * VIEWS[0], VIEWS[1], **TWO), "images", "[0, 1]"),
    "views with labels of bytes": (lambda: two_views(VIEWS[0], VIEWS[1].byte(), **TWO), "labels", "uint8", "int64"),
    "views with labels of floats": (lambda: two_views(VIEWS[0], VIEWS[1].float(), **TWO), "labels", "float32"),
    "views of other shapes": (lambda: two_views(VIEWS[0], VIEWS[1][:, 1:], **TWO), "two_views", "(1, 31, 32)"),
    "views larger than images": (lambda: two_views(*VIEWS, size=99, seed=0), "size", "smaller"),
    "views of size 0": (lambda: two_views(*VIEWS, size=0, seed=0), "size", "0"),
    "views of a strange symmetry": (lambda: two_views(*VIEWS, **TWO, symmetry="x"), "symmetry", "plane"),
    "views of a strange photometry": (lambda: two_views(*VIEWS, **TWO, photometry="x"), "photometry", "colour"),
    "views of a scale turned round": (lambda: two_views(*VIEWS, **TWO, scale=(1.2, 0.8)), "scale", "(1.2, 0.8)"),
    # the loss
    "a loss of arrays": (lambda: pull_loss(EMB.numpy(), ONES), "embeddings", "ndarray", "from_numpy"),
    "a loss with labels as array": (lambda: pull_loss(EMB, ONES.numpy()), "labels", "ndarray", "from_numpy"),
    "a loss with labels of bytes": (lambda: pull_loss(EMB, ONES.byte()), "labels", "uint8", "int64"),
    "a loss with labels of floats": (lambda: pull_loss(EMB, ONES.float()), "labels", "float32", ".long()"),
    "a loss with labels of bools": (lambda: pull_loss(EMB, ONES.bool()), "labels", "bool", ".long()"),
    "a loss with labels below -1": (lambda: pull_loss(EMB, ONES - 3), "labels", "-2"),
    "a loss of three axes": (lambda: push_loss(EMB[0], ONES), "embeddings", "(4, 8, 8)"),
    "a loss of whole numbers": (lambda: push_loss(EMB.long(), ONES), "embeddings", "int64"),
    "a loss of other shapes": (lambda: push_loss(EMB, ONES[:, 1:]), "labels", "(1, 7, 8)"),
    "a strange reduction": (lambda: instance_loss(EMB, ONES, reduction="mean"), "reduction", "object"),
    "a strange anchor": (lambda: instance_loss(EMB, ONES, anchor="corner"), "anchor", "mean"),
    "f and g of other shapes": (lambda: consistency_loss(EMB, EMB[:, :2], ONES), "one shape"),
    "a kernel of width 0": (lambda: GaussianKernel(0.0), "delta_var", "0.0"),
    "a kernel of threshold 1": (lambda: GaussianKernel(0.5, 1), "threshold", "between 0 and 1"),
    "foreground without logits": (lambda: SpocoLoss(foreground=1)(EMB, EMB, ONES), "logits", "None"),
    **{
        f"a weight {value} of {name}": (lambda n=name, v=value: SpocoLoss(**{n: v}), name, str(value))
        for name in ("pull", "push", "regularizer", "instance", "unlabeled_push", "consistency", "foreground")
        for value in (-1, math.nan, "x", [1])
    },
    **{
        f"{name} of {value}": (lambda n=name, v=value: SpocoLoss(**{n: v}), name, str(value))
        for name in ("delta_dist", "coverage", "max_anchors", "max_objects", "delta_var")
        for value in (0, -1, "x")
    },
    # decoding
    "segment of an array": (lambda: segment(EMB[0].numpy()), "embedding", "ndarray", "from_numpy"),
    "segment of nothing": (lambda: segment(torch.zeros(4, 0, 8)), "embedding", "(4, 0, 8)", "no pixel"),
    "segment of no numbers": (lambda: segment(torch.zeros(0, 8, 8)), "embedding", "(0, 8, 8)"),
    "segment of a batch": (lambda: segment(torch.zeros(1, 1, 4, 8, 8)), "embedding", "one floating point image"),
    "segment of whole numbers": (lambda: segment(EMB[0].long()), "embedding", "int64"),
    "segment of NaN": (lambda: segment(EMB[0] * math.nan), "embedding", "NaN"),
    "segment with a mask as array": (
        lambda: segment(EMB[0], foreground=np.ones((8, 8), bool)),
        "foreground",
        "ndarray",
    ),
    "segment with a mask of numbers": (lambda: segment(EMB[0], foreground=ONES[0]), "foreground", "int64"),
    "segment with a mask too small": (lambda: segment(EMB[0], foreground=ONES[0, 1:] > 0), "foreground", "(7, 8)"),
    "segment of objects of 0 pixels": (lambda: segment(EMB[0], min_size=0), "min_size", "0"),
    "segment with a strange background": (lambda: segment(EMB[0], background="dark"), "background", "dark"),
    "an iou_threshold of NaN": (
        lambda: consistency_clustering(EMB[0], EMB[0], iou_threshold=math.nan),
        *("iou_threshold", "nan"),
    ),
    "an iou_threshold of 2": (lambda: consistency_clustering(EMB[0], EMB[0], iou_threshold=2), "iou_threshold", "2"),
    "no anchors": (lambda: consistency_clustering(EMB[0], EMB[0], anchors_per_object=0), "anchors_per_object", "0"),
    "f and g of two images": (lambda: consistency_clustering(EMB[0], EMB[0, :, 1:]), "one image"),
    "mean-shift of NaN": (lambda: mean_shift(torch.full((9, 2), math.nan)), "points", "NaN"),
    "mean-shift of a bandwidth of 0": (lambda: mean_shift(torch.rand(9, 2), bandwidth=0), "bandwidth", "0"),
    "HDBSCAN of an image": (lambda: hdbscan_clusters(torch.rand(2, 9, 9)), "points", "(2, 9, 9)"),
    "a decoder misspelt": (lambda: decode(min_sise=20), "'min_sise'", "min_size"),
    "a decoder of another clusterer": (lambda: decode(min_cluster_size=20), "'min_cluster_size'", "bandwidth"),
    "a decoder without clusterer": (lambda: check_decoder({}), "cluster", "mean_shift, hdbscan"),
    "a strange clusterer": (lambda: decode(cluster="k_means"), "k_means", "mean_shift, hdbscan"),
    "consistent=maybe": (lambda: decode(consistent="maybe"), "consistent='maybe'", "true or false"),
    "pieces of 0": (lambda: decode(pieces=0), "pieces=0"),
    "pieces of 1.5": (lambda: decode(pieces=1.5), "pieces=1.5"),
    "a min_size of text": (lambda: decode(min_size="20"), "min_size='20'"),
    "a bandwidth of text": (lambda: decode(bandwidth="wide"), "wide"),
    "a radius below 0": (lambda: decode(radius=-1), "radius", "-1"),
    "an image of one axis to embed": (lambda: embed(PAIR.f, np.zeros(5)), "image", "(5,)"),
    "an image of NaN to embed": (lambda: embed(PAIR.f, np.full((1, 9, 9), np.nan)), "image", "NaN"),
    "an image of other channels": (lambda: embed(PAIR.f, np.zeros((3, 9, 9))), "C = 1"),
    "a mask of another size": (
        lambda: segment_image(PAIR, np.zeros((1, 9, 9)), foreground=np.ones((8, 9))),
        *("foreground", "(8, 9)"),
    ),
    "tiles of bytes": (lambda: segment_tiles(PAIR, np.zeros((1, 9, 9), np.uint8)), "uint8", "LazyImage"),
    "tiles without channel axis": (lambda: segment_tiles(PAIR, np.zeros((9, 9))), "(9, 9)", "LazyImage"),
    "tiles of other channels": (lambda: segment_tiles(PAIR, np.zeros((3, 9, 9))), "3 channels", "learned 1"),
    "tiles of 0": (lambda: segment_tiles(PAIR, np.zeros((1, 9, 9)), tile=0), "tile", "(0, 0)"),
    "tiles that do not overlap": (lambda: segment_tiles(PAIR, np.zeros((1, 9, 9)), overlap=0), "overlap", "0"),
    "tiles into floats": (
        lambda: segment_tiles(PAIR, np.zeros((1, 9, 9)), out=np.zeros((9, 9))),
        *("out", "integer type"),
    ),
    "tiles into another size": (
        lambda: segment_tiles(PAIR, np.zeros((1, 9, 9)), out=np.zeros((8, 9), int)),
        *("out", "(8, 9)"),
    ),
    # scores
    "scores of other shapes": (lambda: evaluate(LABELS, LABELS[1:]), "(20, 30)", "(19, 30)"),
    "scores of floats": (lambda: evaluate(LABELS / 2, LABELS), "truth", "float64"),
    "scores of labels below -1": (lambda: evaluate(LABELS - 3, LABELS), "truth", "-3"),
    "scores of labels beyond 63 bits": (
        lambda: evaluate(np.full((3, 3), 2**63 + 1, np.uint64), np.ones((3, 3), int)),
        *("truth", "2**63 - 1"),
    ),
    "scores of a prediction below 0": (lambda: evaluate(LABELS, LABELS - 1), "prediction", "-1"),
    "a threshold of 1": (lambda: average_precision(LABELS, LABELS, threshold=1), "threshold", "1"),
    # runs
    "a run that is not there": (lambda: run_folder("no-such-run"), "no-such-run", "cvppp-10"),
    "a recorded run to score": (lambda: evaluate_run("cvppp-10"), "cvppp-10", "copy"),
    "a recorded run without weights": (lambda: load_model("cvppp-20"), "weights.safetensors", "keep their weights"),
    "two runs on half a device": (lambda: sweep({}, "runs", devices=["cpu"], at_once=0), "at_once", "0"),
    "a sweep on a device that is none": (lambda: sweep({}, "runs", devices=["gpu"]), "device", "'gpu'"),
    "a network of no level": (lambda: EmbeddingUNet(1, 4, widths=()), "widths"),
    "a configuration that is a list": (lambda: Config.from_record([]), "config", "[]"),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_call(name):
    call, *words = CALLS[name]
    with pytest.raises((ValueError, FileNotFoundError)) as error:
        call()
    for word in words:
        assert word in str(error.value), str(error.value)
