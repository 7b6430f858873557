"""Recorded runs: what a training leaves behind, and how a chapter reads it.

A run is a folder with ``run.json`` and ``weights.safetensors`` (f and g, half precision). Training writes it where
it is told to; what the book quotes is committed under ``data/runs/<name>``. There the rule is: only runs that a page or
a chapter decodes live keep their weights, the others their record and their pictures; so a clone stays small.

The fields of ``run.json``:

* ``format``: 2. In records without it, ``min_size`` of a decoder counts pixels of what the networks see; it is read as
  what it is called since, ``specks`` (:mod:`spoco_lite.prediction.decoders`), so that their scores stay those of their
  decoders
* ``name``, ``config`` (every field of ``training.config.Config``; ``size`` is a number or a list), ``steps``,
  ``parameters``, ``changes`` (of the number of steps and of labels, on resuming)
* ``data``: of the images trained on, ``dataset, split, images, annotated_images, objects, annotated_objects,
  annotated_pixels``; ``held_out_objects`` of the others; ``checksum`` of the names of all,
  ``labels`` of their labels (in records that have it, every second image drawn was an annotated one)
* ``device``, ``precision``, ``processes``, ``versions``, ``commit``, ``seconds``, ``peak_memory_mb``
* ``held_out``: names of training images that were not trained on; they chose which weights are kept
* ``kept``: ``{step, score}`` of the weights that are kept
* ``curve``: ``[{step, seconds, total, pull, ..., within, apart, mean_norm, anchors}]``, means since the entry before
  and diagnostics (:mod:`spoco_lite.training.diagnostics`); ``score_g, score_f`` (once ``sbd``) where they were measured
* ``scores``: ``{way: {split, decoder, mean, images [{name, ...}]}}``; an image and ``mean`` have ``sbd, dic, ap50,
  ap, are, vi_split, vi_merge``, and ``mean`` has ``abs_dic``
* ``tuning``: ``{way: {images, window, objects, tried [{decoder, sbd, dic, ap50}]}}``: what chose the decoder;
  of larger images only the central ``window``; ``objects``: how many, all with their labels, that took
* ``notes``: what else was done, in sentences, by hand
* ``scored_commit``: of the code that made ``scores`` and ``tuning``; ``scored_view``: by which it standardised images
  (:func:`spoco_lite.augment.standardize`)

Older records lack fields, such as ``held_out``, ``kept``, ``precision`` or the later scores.
"""

import json
import os
import platform
import resource
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from ..data.paths import shipped
from ..data.sample import Size
from ..data.writing import whole
from ..unet import EmbeddingUNet, MomentumPair

WEIGHTS, LOCK = "weights.safetensors", ".lock"  # files of a run; the second while a process works on it
FORMAT = 2  # of records and checkpoints


def provenance(device: torch.device | str | None = None) -> dict:
    """Device, versions and commit, as a reader would name them; by default of a GPU if there is one."""
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    names = {"cuda": torch.cuda.get_device_name, "cpu": lambda _: f"{os.cpu_count()}-core CPU"}
    versions = {"python": platform.python_version()}
    for package in ("torch", "numpy", "kornia", "hdbscan", "scikit-image"):
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return {"device": names.get(device.type, str)(device), "versions": versions, "commit": _commit()}


def _commit() -> str | None:
    """The checkout's commit; with ``+`` if the module was changed since; None outside a checkout."""
    here = Path(__file__).parents[1]

    def git(*args: str) -> str:
        return subprocess.run(["git", *args], cwd=here, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("+" if git("status", "--porcelain", str(here)) else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def peak_memory_mb(device: torch.device | str | None = None) -> int:
    """Peak memory of this process so far: on a GPU, by default if there is one, else resident in RAM."""
    device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) // 2**20
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, KiB on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit // 2**20


def run_folder(name: str | Path) -> Path:
    """The folder of a run: a path as it is, or the name of a recorded run that ships in ``data/runs``.

    Raises ValueError if neither holds a ``run.json``.

    >>> run_folder("cvppp-10").name
    'cvppp-10'
    """
    for folder in (Path(name), shipped() / "runs" / str(name)):
        if (folder / "run.json").is_file():
            return folder
    known = ", ".join(recorded_runs()) or "none"
    raise ValueError(f"run: found no run.json in {str(name)!r}, nor a recorded run of that name; recorded are: {known}")


def recorded_runs() -> list[str]:
    """Names of the runs that ship with the project.

    >>> "cvppp-10" in recorded_runs()
    True
    """
    return sorted(p.parent.name for p in (shipped() / "runs").glob("*/run.json"))


def with_weights() -> list[str]:
    """Names of the runs that ship with their weights.

    >>> "cvppp-10" in with_weights()
    True
    """
    return [name for name in recorded_runs() if (run_folder(name) / WEIGHTS).is_file()]


def load_run(name: str | Path) -> dict:
    """The record of a run, by the name of a recorded run or by its folder.

    Raises ValueError if there is no record, or if it cannot be read.

    >>> load_run("cvppp-10")["config"]["dataset"]
    'cvppp'
    """
    path = run_folder(name) / "run.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(record, dict) or not isinstance(record.get("config"), dict):
            raise ValueError("it has no config")
        return of_today(record)
    except ValueError as error:
        raise ValueError(f"{path}: not a readable record ({error}); restore the file or train again") from error


def of_today(record: dict) -> dict:
    """A record or a checkpoint's state, of whatever format, in that of today.

    >>> of_today({"config": {"decoder": {"min_size": 20}}})
    {'config': {'decoder': {'specks': 20}}, 'format': 2}
    """
    if record.get("format", 1) >= FORMAT:
        return record
    tried = [one for tuning in record.get("tuning", {}).values() for one in tuning["tried"]]
    for holder in (record["config"], *record.get("scores", {}).values(), *tried):
        if holder.get("decoder"):  # the order stays
            holder["decoder"] = {"specks" if k == "min_size" else k: v for k, v in holder["decoder"].items()}
    return record | {"format": FORMAT}


def save_weights(pair: MomentumPair, path: Path, *, dtype: torch.dtype = torch.float16) -> None:
    """Weights of f and g as safetensors, floating point numbers in ``dtype``; written whole or not at all.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights.safetensors"
    >>> save_weights(MomentumPair(EmbeddingUNet(1, 2, widths=(4,))), path)
    >>> load_file(path)["f.head.weight"].dtype
    torch.float16
    """
    tensors = {k: (v.to(dtype) if v.is_floating_point() else v).contiguous() for k, v in pair.state_dict().items()}
    with whole(path) as temporary:
        temporary.write_bytes(save(tensors))  # its save_file makes files that only their owner may read


def build_pair(config: dict) -> MomentumPair:
    """The networks that a run's configuration describes, with fresh weights drawn from its seed: 2D, or 3D for volumes.

    >>> config = load_run("cvppp-10")["config"]
    >>> build_pair(config).f.ndim, build_pair(config | {"size": [24, 64, 64]}).f.ndim
    (2, 3)
    """
    size = config.get("size", 0)
    ndim = 2 if isinstance(size, int) else len(size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config["seed"])
        net = EmbeddingUNet(
            config["in_channels"],
            config["embedding_dim"],
            widths=tuple(config["widths"]),
            ndim=ndim,
            norm=config["norm"],
            unit=tuple(config["unit"]) if config.get("unit") else None,
            foreground=bool(config.get("foreground")),
            view=((size,) * ndim if isinstance(size, int) else tuple(size)) if config.get("crop") else None,
        )
    return MomentumPair(net, momentum=config["momentum"])


def prediction_size(config: dict) -> Size | None:
    """The size that images are brought to before the networks see them: pixels, or shares of their own size.

    None leaves them in their own resolution: the run was trained on windows of them.

    >>> prediction_size({"size": 256}), prediction_size({"size": [24, 64, 64], "crop": True})
    (256, None)
    >>> prediction_size({"size": [24, 64, 64], "crop": True, "zoom": [1.0, 0.5, 0.5]})
    (1.0, 0.5, 0.5)
    """
    if config.get("crop", False):
        return tuple(config["zoom"]) if config.get("zoom") else None
    return config["size"]


def load_model(name: str | Path) -> MomentumPair:
    """f and g of a run, in evaluation mode, in float32 on the CPU.

    Raises FileNotFoundError if the weights are missing, ValueError if the record or the weights cannot be read.

    >>> load_model("cvppp-10").training
    False
    """
    folder = run_folder(name)
    record, path = load_run(folder), folder / WEIGHTS
    try:
        pair = build_pair(record["config"])
    except (KeyError, TypeError) as error:
        reason = f"{type(error).__name__}: {error}"
        raise ValueError(f"{folder / 'run.json'}: its config makes no network ({reason}); restore the file") from error
    if not path.is_file():
        raise FileNotFoundError(
            f"{path}: missing; finish the training, or restore the file. Of the recorded runs only "
            f"{', '.join(with_weights())} keep their weights; the page of results says how to train the others"
        )
    with path.open("rb"):  # safetensors says "no such file" of one that may not be read
        pass
    try:
        tensors = load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{path}: not a readable file of weights ({error}); restore it or train again") from error
    tensors = {k: v.float() if v.is_floating_point() else v for k, v in tensors.items()}
    for net in ("f", "g"):  # a run of before had a number at which the foreground's logit was cut; it is 0 today
        if (cut := tensors.pop(f"{net}.cut", None)) is not None:
            tensors[f"{net}.head.bias"][-1] -= cut
    try:
        pair.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path}: not the weights of this record ({reason}); restore the file") from error
    return pair.eval()
