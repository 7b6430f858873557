"""Instance segmentation with pixel embeddings, learned from a few annotated objects per image (SPOCO).

What a user imports is here, in the order in which it is met. Each name loads its file when it is first asked for.
"""

import importlib

_HOME = {
    # The method.
    "two_views": "augment",
    "EmbeddingUNet": "unet",
    "MomentumPair": "unet",
    "GaussianKernel": "selection",
    "soft_masks": "selection",
    "SpocoLoss": "objective",
    "segment": "clustering",
    "consistency_clustering": "clustering",
    "mean_shift": "clusterers",
    "hdbscan_clusters": "clusterers",
    "evaluate": "metrics",
    # From a data set to a trained run.
    "load": "data",
    "plan_annotation": "data.annotation",
    "Config": "training.config",
    "train": "training.loop",
    "sweep": "training.sweep",
    # From a run to objects and scores.
    "load_run": "results.runs",
    "load_model": "results.runs",
    "embed": "prediction.image",
    "segment_image": "prediction.image",
    "segment_tiles": "prediction.tiles",
    "evaluate_run": "prediction.evaluate",
}
__all__ = list(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {', '.join(_HOME)}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
