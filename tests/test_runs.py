"""What a run leaves behind is small, whole, and says nothing about whose machine it was."""

import getpass
import json
import os
import platform
import re
from pathlib import Path

import pytest
import torch

from spoco_lite.data.writing import write_json
from spoco_lite.results import runs
from spoco_lite.training.loop import Config
from spoco_lite.unet import EmbeddingUNet, MomentumPair

NETWORK = {"in_channels": 1, "embedding_dim": 4, "widths": [4, 8], "norm": "batch"}
CONFIG = NETWORK | {"seed": 0, "momentum": 0.9}


@pytest.fixture
def pair():
    """Networks that have been trained a little: running statistics, and g apart from f."""
    pair = runs.build_pair(CONFIG)
    pair.f(torch.rand(2, 1, 8, 8, generator=torch.Generator().manual_seed(0)))
    with torch.no_grad():
        for p in pair.f.parameters():
            p.add_(0.01)
    pair.update()
    return pair


@pytest.fixture
def folder(pair, tmp_path):
    folder = tmp_path / "myrun"
    folder.mkdir()
    write_json(folder / "run.json", {"name": "myrun", "config": CONFIG})
    runs.save_weights(pair, folder / "weights.safetensors")
    return folder


def test_weights_come_back_to_half_precision(pair, folder):
    loaded = runs.load_model(folder).state_dict()
    assert loaded.keys() == pair.state_dict().keys()
    for name, value in pair.state_dict().items():
        if value.is_floating_point():
            assert loaded[name].dtype == torch.float32
            assert torch.equal(loaded[name], value.half().float()), name
        else:
            assert torch.equal(loaded[name], value), name


def test_a_loaded_model_gives_nearly_the_same_embeddings(pair, folder):
    view = torch.rand(1, 1, 9, 8, generator=torch.Generator().manual_seed(1))
    loaded = runs.load_model(folder)
    assert not loaded.training
    with torch.no_grad():
        for ours, theirs in zip(loaded(view, view), pair.eval()(view, view)):
            torch.testing.assert_close(ours, theirs, atol=2e-2, rtol=2e-2)


def test_a_cut_that_earlier_weights_hold_goes_into_the_bias(folder):
    config = CONFIG | {"foreground": 1.0}
    write_json(folder / "run.json", {"name": "myrun", "config": config})
    pair = runs.build_pair(config)
    bias = pair.g.head.bias.detach().clone()
    for net in (pair.f, pair.g):
        net.register_buffer("cut", torch.tensor(0.75))
    runs.save_weights(pair, folder / "weights.safetensors")
    loaded = runs.load_model(folder).g.head.bias - bias
    torch.testing.assert_close(loaded, torch.tensor([0.0] * 4 + [-0.75]), atol=1e-3, rtol=0)


def test_weights_take_two_bytes_a_number(pair, folder):
    numbers = sum(v.numel() for v in pair.state_dict().values())
    assert (folder / "weights.safetensors").stat().st_size < 2 * numbers + 8000  # names take the rest


def test_fresh_weights_follow_the_seed_and_leave_the_global_state_alone():
    torch.manual_seed(3)
    state = torch.random.get_rng_state()
    first, again, other = (runs.build_pair(CONFIG | {"seed": s}).state_dict() for s in (0, 0, 1))
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(torch.equal(first[k], again[k]) for k in first)
    assert not torch.equal(first["f.head.weight"], other["f.head.weight"])


@pytest.mark.parametrize(
    ("config", "view"),
    [
        ({"size": 64}, None),  # whole images, brought to this size
        ({"size": 64, "crop": True}, [64, 64]),
        ({"size": [8, 32, 24], "crop": True, "zoom": [1.0, 0.5, 0.5]}, [8, 32, 24]),
    ],
)
def test_a_network_knows_the_windows_that_it_was_trained_on(config, view):
    pair = runs.build_pair(CONFIG | config)
    assert pair.f.view == pair.g.view == view


def test_the_configuration_of_a_training_describes_a_network():
    assert isinstance(runs.build_pair(vars(Config(widths=(4, 8)))), MomentumPair)


# ---------------------------------------------------------------------- provenance


def strings(value):
    if isinstance(value, dict):
        return [s for item in value.items() for s in strings(item)]
    return [s for item in value for s in strings(item)] if isinstance(value, list | tuple) else [str(value)]


@pytest.mark.parametrize(
    ("device", "name"),
    [("cpu", f"{os.cpu_count()}-core CPU"), ("cuda:1", "GPU of cuda:1"), (None, "GPU of cuda"), ("mps", "mps")],
)
def test_provenance_names_the_device_that_computes(monkeypatch, device, name):
    """On a machine with two GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: f"GPU of {device}")
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device=None: 3 << 20)
    assert runs.provenance(device)["device"] == name
    assert (runs.peak_memory_mb(device) == 3) == name.startswith("GPU")


def test_provenance_names_versions_and_no_place():
    record = runs.provenance()
    assert {"python", "torch", "numpy"} <= set(record["versions"])
    assert record["versions"]["python"] == platform.python_version()
    assert record["device"]
    private = {str(Path.home()), str(Path.cwd()), platform.node()}
    for text in strings(record):
        assert "/" not in text and "\\" not in text
        assert not any(p and p in text for p in private)
        assert getpass.getuser() not in text


def test_memory_is_in_mebibytes():
    assert 50 < runs.peak_memory_mb() < 1_000_000


# ---------------------------------------------------------------------- files


@pytest.mark.parametrize("kind", ["json", "weights"])
def test_a_file_is_written_whole_or_not_at_all(folder, pair, monkeypatch, kind):
    before = {p.name: p.read_bytes() for p in folder.iterdir()}

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", stop)
    with pytest.raises(KeyboardInterrupt):
        if kind == "json":
            write_json(folder / "run.json", {"name": "other"})
        else:
            runs.save_weights(MomentumPair(EmbeddingUNet(1, 2, widths=(4,))), folder / "weights.safetensors")
    assert all((folder / name).read_bytes() == content for name, content in before.items())


def test_a_run_is_found_by_its_folder_and_by_its_name(folder, monkeypatch, tmp_path):
    record = {"name": "myrun", "config": CONFIG, "format": runs.FORMAT}
    assert runs.load_run(folder) == runs.load_run(str(folder)) == record
    shipped = tmp_path / "shipped"
    (shipped / "runs").mkdir(parents=True)
    folder.rename(shipped / "runs" / "myrun")
    monkeypatch.setattr(runs, "shipped", lambda: shipped)
    assert runs.recorded_runs() == ["myrun"]
    assert runs.load_run("myrun")["name"] == "myrun"
    with pytest.raises(ValueError, match="no run.json in 'myrum'.*recorded are: myrun"):
        runs.load_run("myrum")


def test_an_unknown_run_is_refused_by_the_model_too(tmp_path):
    with pytest.raises(ValueError, match="run: found no run.json in 'nothing-of-this-name'"):
        runs.load_model("nothing-of-this-name")


def test_only_runs_that_a_chapter_decodes_keep_their_weights():
    """A run that keeps them is named in the code of a chapter; the weights are most of what a clone downloads."""
    root = Path(__file__).resolve().parents[1]
    cells = [c for p in root.glob("notebooks/*.ipynb") for c in json.loads(p.read_text())["cells"]]
    code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    assert [name for name in runs.with_weights() if f'"{name}"' not in code] == []
    assert sum(path.stat().st_size for path in root.glob("data/runs/*/*")) < 60e6


def test_a_run_that_began_with_another_has_seen_no_more_labels():
    started = {name: config for name in runs.recorded_runs() if (config := runs.load_run(name)["config"]).get("start")}
    assert started
    for name, config in started.items():
        before = runs.load_run(config["start"])["config"]
        assert not before.get("start"), name
        for field in ("dataset", "annotate", "fraction", "number", "background", "held_out", "seed"):
            assert config[field] == before[field], (name, field)


def test_small_first_then_large_is_what_the_page_says():
    """Its commands are those of the records; a run that begins at 256 px has as many minutes, and not the score."""
    large, small, at_once = (runs.load_run(f"cvppp-10-ours{end}") for end in ("", "-160", "-256"))
    page = (Path(__file__).resolve().parents[1] / "book" / "training.md").read_text()
    commands = page.replace("\\\n", " ").partition("**Small first")[2].partition("```")[2].splitlines()
    for record, line in ((small, 1), (large, 2)):
        given = re.findall(r"--([a-z-]+)((?: [\w.]+)+)", commands[line])
        assert len(given) == len(re.findall("--", commands[line]))
        for name, values in given:
            if name == "start":
                continue
            found = record["config"][name.replace("-", "_")]
            found = found if isinstance(found, list) else [found]
            assert [type(f)(v) for f, v in zip(found, values.split(), strict=True)] == found, name
    assert large["config"]["start"] == small["name"] and at_once["config"]["start"] is None
    assert at_once["config"]["size"] == large["config"]["size"] == 256 and small["config"]["size"] == 160
    assert at_once["steps"] == small["steps"] == 3 * large["steps"]
    assert 0.9 < (small["seconds"] + large["seconds"]) / at_once["seconds"] < 1.1  # "the same minutes"
    for way in ("whole image", "inside the given foreground"):
        better, worse = (r["scores"][f"{way}, tuned decoder"]["mean"]["sbd"] for r in (large, at_once))
        assert better > worse


def test_missing_weights_are_named(folder):
    (folder / "weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"weights\.safetensors: missing"):
        runs.load_model(folder)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything")
def test_weights_that_may_not_be_read_are_there(folder):
    (folder / "weights.safetensors").chmod(0)
    with pytest.raises(PermissionError, match=r"weights\.safetensors"):
        runs.load_model(folder)


@pytest.mark.parametrize("keep", [0, 5, 0.5])
def test_truncated_weights_are_named(folder, keep):
    path = folder / "weights.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: keep if isinstance(keep, int) else int(keep * len(content))])
    with pytest.raises(ValueError, match=r"weights\.safetensors: not a readable file"):
        runs.load_model(folder)


def test_a_broken_record_is_named(folder):
    (folder / "run.json").write_text(json.dumps({"name": "myrun"})[:-3])
    with pytest.raises(ValueError, match=r"run\.json: not a readable record"):
        runs.load_run(folder)
