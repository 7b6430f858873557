"""A run as a model of the BioImage.IO format 0.5: weights as TorchScript, a sample, and how objects are decoded.

The format: https://github.com/bioimage-io/spec-bioimage-io. Its description, ``rdf.yaml``, is written as JSON, which is
YAML too.
"""

import hashlib
import io
import json
import re
import zipfile
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from ..data.files import as_image, read_array, with_channels
from ..data.sample import Size, resize_images, size_after
from ..data.writing import whole
from ..results.runs import load_model, load_run, prediction_size
from ..show.plot import panels
from .decoders import arguments, decoder_of, split_pieces
from .image import SPECKS, check_channels, least_seen, segment_image
from .torchscript import outputs_of, scripted

WINDOW = {2: 256, 3: 48}  # pixels along an axis of the sample; an image in its own resolution is cut to its middle
PERCENTILES = 0.1, 99.9  # to which all images but those of 8 bits are scaled
CITE = {
    "text": "A. Wolny, Q. Yu, C. Pape, A. Kreshuk. Sparse Object-Level Supervision for Instance Segmentation with "
    "Pixel Embeddings. CVPR 2022.",
    "url": "https://arxiv.org/abs/2103.14572",
}
PROJECT = "https://github.com/spoco-lite/spoco-lite"


def write_package(
    run: str | Path,
    image: str | Path,
    output: str | Path,
    *,
    key: str | None = None,
    authors: tuple[str, ...] = (),
    license: str | None = None,
) -> int:
    """Write a run as one zip file, which programs that know the format load; returns the objects in the sample.

    Parameters
    ----------
    run
        folder or name of a run.
    image
        a file like those that the run was trained on. It, or its middle, becomes the sample that the package carries
        and that tests it; its type says how numbers are scaled. ``key``: as in ``read_array``.
    output
        ends with ``.zip``; must not exist.
    authors, license
        of the weights; the license as SPDX has it, such as ``CC-BY-4.0``. Whoever publishes the package needs both.

    Raises
    ------
    ValueError, FileNotFoundError
        an output that is there or is no zip file, an image that does not go with the run, and what ``load_model`` and
        ``read_array`` raise.

    Example
    -------
    >>> import tempfile
    >>> from ..data.paths import shipped
    >>> path = Path(tempfile.mkdtemp()) / "leaves.zip"
    >>> leaf = next((shipped() / "rosettes").rglob("images/*.png"))
    >>> write_package("cvppp-10", leaf, path) > 0
    True
    >>> sorted(zipfile.ZipFile(path).namelist())[:4]
    ['README.md', 'cover.png', 'embedding.npy', 'embedding_f.npy']
    """
    output = Path(output)
    if output.suffix != ".zip":
        raise ValueError(f"{output}: the package is one zip file; give a name that ends with .zip")
    if output.exists():
        raise ValueError(f"{output}: is there already; move it away, or give another name")
    record, pair = load_run(run), load_model(run)
    config, ndim = record["config"], pair.g.ndim
    stretch = bool(config.get("data_options", {}).get("stretch"))
    whole_image = with_channels(read_array(image, key=key, ndim=ndim), image, ndim=ndim)
    decoder = _in_seen_pixels(decoder_of(config, masked=False), whole_image.shape[1:], prediction_size(config))
    raw = _sample(whole_image, image, config, pair.g.in_channels)
    scaled = as_image(raw, image, ndim=ndim, stretch=stretch)
    net = scripted(pair, both=decoder["consistent"])
    with torch.no_grad():
        seen = dict(zip(outputs_of(pair, both=decoder["consistent"]), net(torch.from_numpy(scaled)[None])))
    found = _decoded(scaled, seen, decoder)

    files = {f"{name}.npy": _npy(tensor.numpy()) for name, tensor in seen.items()}
    files |= {"image.npy": _npy(raw[None]), "weights.pt": net.save_to_buffer(), "cover.png": _cover(scaled, found)}
    percentiles = stretch or raw.dtype != np.uint8
    tensors = _tensors(raw, config, seen, percentiles, pair.g.cell)
    files["README.md"] = _readme(record, seen, decoder, ndim=ndim, stretch=stretch).encode()
    files["rdf.yaml"] = json.dumps(_description(record, tensors, authors, license, files), indent=1).encode()
    with whole(output) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return int(found.max())


def _in_seen_pixels(decoder: dict, shape: tuple[int, ...], size: Size | None) -> dict:
    """The decoder for images that have the size already in which the networks see them."""
    seen = shape if size is None else size_after(shape, size)
    sizes = {name: least_seen(decoder[name], 1, shape, seen) for name in ("min_size", "pieces") if name in decoder}
    return decoder | sizes


def _sample(raw: np.ndarray, path: str | Path, config: dict, channels: int) -> np.ndarray:
    """The image ``(C, *S)`` in the size that the network sees, in its own type, cut to the window."""
    check_channels(len(raw), channels, path)
    if raw.dtype.kind == "b":
        raw = raw.astype(np.uint8) * 255
    if raw.dtype == np.float16:
        raw = raw.astype(np.float32)
    size = prediction_size(config)
    if size is not None:
        small = resize_images(torch.from_numpy(raw.astype(np.float64))[None], size_after(raw.shape[1:], size))[0]
        raw = (small if raw.dtype.kind == "f" else small.round()).numpy().astype(raw.dtype)
    if not isinstance(size, int):
        side = WINDOW[raw.ndim - 1]
        starts = [max(0, (n - side) // 2) for n in raw.shape[1:]]
        raw = raw[(slice(None), *(slice(a, a + side) for a in starts))]
    return np.ascontiguousarray(raw)


def _decoded(image: np.ndarray, seen: dict[str, torch.Tensor], decoder: dict) -> np.ndarray:
    """What the code in the package's README does."""
    mask = seen["foreground"][0, 0] > 0 if "foreground" in seen else None
    emb_f = seen["embedding_f"][0] if "embedding_f" in seen else None
    labels = segment_image(None, image, seen=(emb_f, seen["embedding"][0], mask), **arguments(decoder)).numpy()
    return split_pieces(labels, decoder["pieces"]) if decoder.get("pieces") else labels


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def _cover(image: np.ndarray, labels: np.ndarray) -> bytes:
    middle = (slice(None), *(n // 2 for n in image.shape[1:-2]))
    plane = image[middle]
    axes = panels([plane if len(plane) == 3 else plane[:1], labels[middle[1:]]], ["image", f"{labels.max()} objects"])
    buffer = io.BytesIO()
    axes[0].figure.savefig(buffer, format="png", dpi=100)
    plt.close(axes[0].figure)
    return buffer.getvalue()


def _tensors(raw: np.ndarray, config: dict, seen: dict, percentiles: bool, cell: int) -> dict:
    """``inputs`` and ``outputs`` of the description."""
    names = ("z", "y", "x")[-(raw.ndim - 1) :]
    fixed = isinstance(prediction_size(config), int)

    def axes(channels: list[str], sizes: dict) -> list[dict]:
        space = [{"type": "space", "id": name, "size": size} for name, size in sizes.items()]
        return [{"type": "batch"}, {"type": "channel", "channel_names": channels}, *space]

    def tensor(name: str) -> dict:
        return {"source": f"{name}.npy"}

    sizes = {a: n if fixed else {"min": min(n, cell), "step": 1} for a, n in zip(names, raw.shape[1:])}
    steps = [{"id": "ensure_dtype", "kwargs": {"dtype": "float32"}}]
    if percentiles:
        low, high = PERCENTILES
        ends = {"axes": list(names), "min_percentile": low, "max_percentile": high}
        steps += [{"id": "scale_range", "kwargs": ends}, {"id": "clip", "kwargs": {"min": 0.0, "max": 1.0}}]
    colours = ["red", "green", "blue"] if len(raw) == 3 else [f"channel{k}" for k in range(len(raw))]
    image = {"id": "image", "axes": axes(colours, sizes), "data": {"type": str(raw.dtype)}, "preprocessing": steps}
    outputs = []
    for name, values in seen.items():
        channels = ["foreground"] if name == "foreground" else [f"e{k}" for k in range(values.shape[1])]
        same = {axis: {"tensor_id": "image", "axis_id": axis} for axis in names}
        one = {"id": name, "axes": axes(channels, same), "data": {"type": "float32"}, "test_tensor": tensor(name)}
        outputs.append(one)
    return {"inputs": [image | {"test_tensor": tensor("image")}], "outputs": outputs}


def _description(record: dict, tensors: dict, authors: tuple, license: str | None, files: dict[str, bytes]) -> dict:
    def sha256(name: str) -> str:
        return hashlib.sha256(files[name]).hexdigest()

    for one in (*tensors["inputs"], *tensors["outputs"]):
        one["test_tensor"]["sha256"] = sha256(one["test_tensor"]["source"])
    title = re.sub(r"[^\w\-() ]+", " ", str(record.get("name", "run")), flags=re.ASCII).strip()
    weights = {"source": "weights.pt", "sha256": sha256("weights.pt"), "pytorch_version": torch.__version__}
    described = {
        "type": "model",
        "format_version": "0.5.4",
        "name": f"{title} (pixel embeddings)",
        "description": "Pixel embeddings for instance segmentation; the documentation says how objects are decoded.",
        "authors": [{"name": name} for name in authors],
        "cite": [CITE],
        "documentation": "README.md",
        "covers": ["cover.png"],
        "git_repo": PROJECT,
        "tags": ["instance-segmentation", "pytorch", "unet", "embedding", "spoco"],
        "weights": {"torchscript": weights},
    }
    return described | ({"license": license} if license else {}) | tensors


def _readme(record: dict, seen: dict, decoder: dict, *, ndim: int, stretch: bool) -> str:
    """The documentation: what comes in, what goes out, and the decoder, in words and as code that runs."""
    config, data = record["config"], record.get("data", {})
    size, shape = prediction_size(config), "(N, C, Y, X)" if ndim == 2 else "(N, C, Z, Y, X)"
    size_words = {
        int: f"The network expects images that were brought to {size} pixels along each axis.",
        tuple: f"The network expects images that were brought to a share of their size, {size} along the axes.",
    }.get(type(size), "The network takes images of any size, in their own resolution.")
    scale = "All images" if stretch else "Images of 8 bits are taken as they are. All others"
    least = f"{decoder.get('min_size', decoder.get('specks', SPECKS))} pixels"
    words = [f"Pixels count that have a `foreground` above 0, but for islands of fewer than {least}."]
    if "foreground" not in seen:
        words = ["All pixels count; the largest cluster is background, and so is what lies far from every cluster."]
    clusterer = {"hdbscan": "HDBSCAN", "mean_shift": "mean-shift"}[decoder["cluster"]]
    words.append(f"Their embeddings are clustered by {clusterer}; a cluster of at least {least} is an object.")
    if "embedding_f" in seen:
        words.append(
            "What is clustered is `embedding_f`; an object stays if `embedding` agrees: the pixels near those of the "
            "object cover it, with a median overlap (intersection over union) of at least "
            f"{decoder.get('iou_threshold', 0.6)}."
        )
    if decoder.get("pieces"):
        words.append(f"Each connected piece of {decoder['pieces']} pixels is an object of its own.")
    mask = "outputs[1][0, 0] > 0" if "foreground" in seen else "None"
    emb_f = "outputs[-1][0]" if "embedding_f" in seen else "None"
    pieces = f"labels = split_pieces(labels.numpy(), {decoder['pieces']})\n" if decoder.get("pieces") else ""
    kept = (record.get("kept") or {}).get("score")
    scored = f"The images held out of the training scored {kept:.2f} (symmetric best Dice). " if kept else ""
    return f"""# {record.get("name", "run")}

A U-Net that gives each pixel an embedding; pixels of one object have similar ones. Trained with
[spoco-lite]({PROJECT}) on {data.get("images", "some")} images of `{data.get("dataset", "a folder")}`, with
{data.get("annotated_objects", "some")} labelled objects.

## Input

`image` {shape}, {config["in_channels"]} channels. {size_words}
{scale} are scaled, each channel by its own percentiles {PERCENTILES[0]} and {PERCENTILES[1]}, and clipped to 0 and 1.
The network itself brings each channel to mean 0 and deviation 1.

## Output

{", ".join(f"`{name}`" for name in seen)}, in the size of the image. A whole image goes in at once: embeddings of
two tiles are not those of one image.

## From embeddings to objects

{" ".join(words)}

```python
import numpy as np
import torch

from spoco_lite.data.files import as_image
from spoco_lite.prediction.decoders import arguments, split_pieces
from spoco_lite.prediction.image import segment_image

image = as_image(np.load("image.npy")[0], "image.npy", ndim={ndim}, stretch={stretch})
with torch.no_grad():
    outputs = torch.jit.load("weights.pt")(torch.from_numpy(image)[None])
mask, emb_f = {mask}, {emb_f}
decoder = arguments({decoder})
labels = segment_image(None, image, seen=(emb_f, outputs[0][0], mask), **decoder)
{pieces}```

## Validation

{scored}Score it on images of your own before you trust it.
"""
