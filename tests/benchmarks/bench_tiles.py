"""A volume of 256 x 512 x 512 voxels in tiles, zarr in and out: seconds, and the peak of memory of the process.

The network is a full 3D U-Net, f and g, of which a few weights are set by hand: next to the grey channel the image has
three that hold the number of each nucleus as digits, and the network carries them through to the embedding. That
stands for training, which takes longer than this benchmark may, and costs what any network of these widths costs.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import zarr

from spoco_lite import data
from spoco_lite.metrics import evaluate
from spoco_lite.prediction.image import segment_image
from spoco_lite.prediction.stream import LazyImage, statistics
from spoco_lite.prediction.tiles import segment_tiles
from spoco_lite.results.runs import peak_memory_mb
from spoco_lite.unet import EmbeddingUNet, MomentumPair

SHAPE, TILE, WHOLE = (256, 512, 512), (128, 128, 128), (96, 160, 160)
WIDTHS, DIM, DIGITS = (8, 16, 32, 64), 8, 3


def tiles() -> list[dict]:
    """In tiles, and the largest piece that is taken at once beside it."""
    with tempfile.TemporaryDirectory() as folder:
        return measure(Path(folder))


def measure(folder: Path) -> list[dict]:
    """The rows, with volume, tiles and labels in a folder; the same folder goes on where it was stopped."""
    if not (folder / "truth.zarr").is_dir():
        paint(folder)
    rows = []
    for way, shape in (("tiles", SHAPE), ("one piece", WHOLE)):
        command = [sys.executable, __file__, way, str(folder)]
        row = json.loads(subprocess.check_output(command, text=True).splitlines()[-1])
        part = tuple(slice(s) for s in shape)
        truth = zarr.open_array(folder / "truth.zarr", mode="r")[part]
        result = evaluate(truth, zarr.open_array(folder / f"{way}.zarr", mode="r")[part])
        voxels = int(np.prod(shape))
        row |= {"voxels_per_second": round(voxels / row["seconds"]), "ap50": round(result.ap50, 4)}
        row |= {"objects": len(np.unique(truth)) - 1, "difference_in_count": result.difference_in_count}
        rows.append({"what": way, "voxels": " x ".join(map(str, shape)), **row})
    return rows


def paint(folder: Path) -> None:
    """Write the volume chunk by chunk: nuclei of ``cells3d`` at twice their size, each chunk a volume, mirrored."""
    rng, number = np.random.default_rng(0), 0
    samples = [s for split in data.SPLITS for s in data.load("cells3d", split)]
    chunk = (48, 128, 128)
    image = zarr.create_array(folder / "image.zarr", shape=(1 + DIGITS, *SHAPE), chunks=(1, *chunk), dtype="uint8")
    truth = zarr.create_array(folder / "truth.zarr", shape=SHAPE, chunks=chunk, dtype="uint16")
    for corner in np.ndindex(*(-(-s // c) for s, c in zip(SHAPE, chunk))):
        sample = samples[rng.integers(len(samples))]
        mirror = tuple(slice(None, None, int(way)) for way in rng.choice([-1, 1], 3))
        part = tuple(slice(i * c, min((i + 1) * c, s)) for i, c, s in zip(corner, chunk, SHAPE))
        fits = tuple(slice(p.stop - p.start) for p in part)
        grey, labels = (np.kron(a[mirror], np.ones((2, 2, 2), a.dtype))[fits] for a in (sample.image[0], sample.labels))
        labels = np.where(labels > 0, labels + number, 0)
        number += int(sample.labels.max())
        truth[part] = labels
        image[(0, *part)] = np.rint(255 * grey)
        for digit in range(DIGITS):
            image[(1 + digit, *part)] = 17 * (labels // 16**digit % 16)


def network(deviation: np.ndarray) -> MomentumPair:
    """Embeddings 4 apart for digits that differ by one; ``deviation`` (C,) is that of the image's channels."""
    torch.manual_seed(0)
    net = EmbeddingUNet(1 + DIGITS, DIM, widths=WIDTHS, ndim=3)
    with torch.no_grad():
        net.head.weight *= 0.05
        for stage, first in ((net.encoders[0], 1), (net.decoders[0], WIDTHS[1])):
            for digit in range(DIGITS):
                for layer, source in ((0, first + digit), (3, digit)):
                    stage[layer].weight[digit] = 0
                    stage[layer].weight[digit, source, 1, 1, 1] = 1
                    stage[layer + 1].bias[digit] = 5  # standardised values stay above 0, where ReLU lets them pass
        for digit in range(DIGITS):
            net.head.weight[:, digit] = 0
            net.head.weight[digit, digit, 0, 0, 0] = 4 * 15 * float(deviation[1 + digit])
    return MomentumPair(net)


def child(way: str, folder: Path) -> dict:
    """Segment, and say how long it took and what memory this process needed at most."""
    image = LazyImage(folder / "image.zarr", ndim=3)
    pair = network(statistics(image)[1])
    start = time.perf_counter()
    out = zarr.create_array(folder / f"{way}.zarr", shape=SHAPE, chunks=(64, 128, 128), dtype="uint16", overwrite=True)
    if way == "tiles":
        segment_tiles(pair, image, out=out, tile=TILE, folder=folder / "tiles")
    else:
        part = tuple(slice(s) for s in WHOLE)
        out[part] = segment_image(pair, image[(slice(None), *part)]).numpy()
    return {"seconds": round(time.perf_counter() - start, 1), "peak_gib": round(peak_memory_mb() / 1024, 2)}


if __name__ == "__main__":
    if len(sys.argv) == 3:
        print(json.dumps(child(sys.argv[1], Path(sys.argv[2]))))
    else:
        print(*(measure(Path(sys.argv[1])) if len(sys.argv) == 2 else tiles()), sep="\n")
