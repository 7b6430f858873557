"""A run for other programs: the TorchScript gives the network's numbers, and the package says what it holds."""

import json
import zipfile
from hashlib import sha256

import numpy as np
import pytest
import tifffile
import torch
from PIL import Image

from spoco_lite.__main__ import main
from spoco_lite.augment import standardize
from spoco_lite.data.files import as_image
from spoco_lite.prediction.bioimageio import WINDOW, write_package
from spoco_lite.prediction.decoders import arguments, decoder_of, split_pieces
from spoco_lite.prediction.image import segment_image
from spoco_lite.prediction.torchscript import scripted
from spoco_lite.results.runs import FORMAT, build_pair, load_model, load_run, save_weights
from spoco_lite.training.config import Config
from spoco_lite.unet import EmbeddingUNet, MomentumPair


def trained(pair):
    """A pair as after a training: f and g differ, and what BatchNorm and the foreground keep is not as at first."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for values in [*pair.parameters(), *pair.buffers()]:
            if values.is_floating_point():
                values += 0.1 * torch.rand(values.shape, generator=generator)
    return pair.eval()


@pytest.fixture
def make_run(tmp_path):
    def make(**options):
        config = Config(dataset="folder", widths=(4, 8), embedding_dim=4, **options).plain()
        (tmp_path / "run").mkdir()
        save_weights(trained(build_pair(config)), tmp_path / "run" / "weights.safetensors", dtype=torch.float32)
        record = {"name": "run", "format": FORMAT, "config": config, "data": {"dataset": "folder"}}
        (tmp_path / "run" / "run.json").write_text(json.dumps(record))
        return tmp_path / "run"

    return make


@pytest.mark.parametrize(
    "options",
    [
        {"norm": "batch"},
        {"norm": "group", "unit": (4.0, 5.0), "foreground": True},
        {"norm": "group", "ndim": 3, "unit": (1.0, 4.0, 4.0), "foreground": True},
        {"widths": (4,)},
        {"view": (8, 12)},
        {"ndim": 3, "view": (8, 8, 4)},
    ],
)
@pytest.mark.parametrize("size", [(37, 50), (16, 16), (5, 3)])
def test_torchscript_gives_the_numbers_of_the_networks(options, size):
    """Of every kind and size: sizes that are padded inside, and volumes."""
    pair = trained(MomentumPair(EmbeddingUNet(2, 6, **{"widths": (4, 8, 16)} | options)))
    images = 255 * torch.rand(2, 2, *size, *[9] * (pair.f.ndim - 2), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        embedding, *foreground, embedding_f = scripted(pair, both=True)(images)
        images = standardize(images, pair.g.view)
        seen_by_f, (expected, logits) = pair.f(images), pair.g.split(pair.g(images))
    assert torch.equal(embedding, expected) and torch.equal(embedding_f, pair.f.split(seen_by_f)[0])
    assert (logits is None) == (foreground == [])
    if foreground:
        assert torch.equal(foreground[0][:, 0], logits)


KINDS = {
    "windows, a foreground, 16 bits": {"size": (32, 32), "crop": True, "foreground": 1.0, "unit": (4.0, 4.0)},
    "brought to a size, dim 8 bits": {"size": 32, "data_options": {"stretch": True}},
    "zoomed, connected pieces": {
        **{"size": (32, 32), "crop": True, "zoom": (0.5, 0.5)},
        "decoder": {"pieces": 20, "min_size": 80},
    },
    "a volume": {"size": (8, 32, 32), "crop": True, "foreground": 1.0},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_package_holds_what_its_documentation_runs(kind, make_run, tmp_path, monkeypatch):
    """The code of its README, run where the package was unpacked, gives the labels that the run gives the sample."""
    run = make_run(in_channels=1, **KINDS[kind])
    shape = (20, 40, 60) if kind == "a volume" else (300, 80)
    dtype = np.uint8 if "8 bits" in kind else np.uint16
    values = np.random.default_rng(0).integers(0, 90 if dtype == np.uint8 else 5000, shape).astype(dtype)
    tifffile.imwrite(tmp_path / "image.tif", values)
    write_package(run, tmp_path / "image.tif", tmp_path / "package.zip")
    with zipfile.ZipFile(tmp_path / "package.zip") as archive:
        archive.extractall(tmp_path / "package")
    monkeypatch.chdir(tmp_path / "package")
    text = (tmp_path / "package" / "README.md").read_text()
    names = {}
    exec(text.partition("```python\n")[2].partition("```")[0], names)

    pair, config = load_model(run), load_run(run)["config"]
    sample, decoder = np.load("image.npy"), decoder_of(config, masked=False)
    assert sample.dtype == dtype and max(sample.shape[2:]) <= WINDOW[pair.g.ndim]
    image = as_image(sample[0], "", ndim=pair.g.ndim, stretch="stretch" in config["data_options"])
    if config["zoom"]:  # the sample has the size that the networks see: a quarter of the pixels
        decoder |= {"pieces": 5, "min_size": 20}
    expected = segment_image(pair, image, **arguments(decoder)).numpy()
    expected = split_pieces(expected, decoder["pieces"]) if "pieces" in decoder else expected
    assert np.array_equal(np.asarray(names["labels"]), expected)
    assert str(tmp_path) not in text
    described = json.loads((tmp_path / "package" / "rdf.yaml").read_text())
    tensors = [one["test_tensor"] for one in [*described["inputs"], *described["outputs"]]]
    for file in [*tensors, described["weights"]["torchscript"]]:
        assert sha256((tmp_path / "package" / file["source"]).read_bytes()).hexdigest() == file["sha256"]
    for given, one in zip(names["outputs"], described["outputs"], strict=True):
        assert np.array_equal(given.numpy(), np.load(one["test_tensor"]["source"])), one["id"]


@pytest.mark.parametrize("kind", KINDS)
def test_the_package_is_valid(kind, make_run, tmp_path, capsys):
    pytest.importorskip("bioimageio.spec")
    shape = (20, 40, 60) if kind == "a volume" else (80, 60)
    tifffile.imwrite(tmp_path / "image.tif", np.random.default_rng(0).random(shape, np.float32))
    command = ["export", make_run(in_channels=1, **KINDS[kind]), tmp_path / "image.tif", tmp_path / "package.zip"]
    assert main([*map(str, command), "--author", "A. Author", "--license", "CC-BY-4.0"]) == 0
    said = capsys.readouterr().out
    assert "valid, says bioimageio.spec" in said and "to publish" not in said


def test_what_is_wrong_is_said(make_run, tmp_path, capsys):
    run, image = make_run(in_channels=1, size=32), tmp_path / "image.png"
    Image.fromarray(np.zeros((40, 40, 3), np.uint8)).save(image)
    (tmp_path / "there.zip").touch()
    for name, message in (
        ("package.zip", "has 3 channels, the run needs 1"),
        ("package", "one zip file"),
        ("there.zip", "is there already"),
    ):
        assert main(["export", str(run), str(image), str(tmp_path / name)]) == 1
        assert message in capsys.readouterr().err
    assert not (tmp_path / "package.zip").exists() and (tmp_path / "there.zip").read_bytes() == b""
