"""How small an object may be: one number, in pixels of the image as given, whatever size the networks see it in."""

import json

import numpy as np
import pytest
import tifffile
import torch
from test_evaluate_volumes import Grey
from test_predict import Colour
from test_tiles import ideal

from spoco_lite.__main__ import main
from spoco_lite.commands import predict as predict_command
from spoco_lite.data import Sample
from spoco_lite.data.survey import survey
from spoco_lite.data.writing import write_json
from spoco_lite.prediction import evaluate
from spoco_lite.prediction.decoders import CANDIDATES, DEFAULTS, WHOLE_IMAGE, Decoding, check_decoder, decoder_of
from spoco_lite.prediction.evaluate import evaluate_run, score, tune
from spoco_lite.prediction.image import segment_image
from spoco_lite.prediction.tiles import segment_tiles
from spoco_lite.results.runs import FORMAT, load_run, of_today, recorded_runs, run_folder
from spoco_lite.training.advice import propose
from spoco_lite.training.checkpoint import NAME
from spoco_lite.training.config import Config
from spoco_lite.training.loop import train
from spoco_lite.training.validation import validate
from spoco_lite.unet import EmbeddingUNet, MomentumPair

SMALL, LARGE = 16, 36  # sides of the two objects
MEAN_SHIFT = {"cluster": "mean_shift", "radius": 1.0, "consistent": False}


class Sharp(Colour):
    """Embeddings that are pure colours, also at the rims that a smaller image has blurred."""

    def forward(self, images):
        return self.scale * (images > images.amax((-2, -1), keepdim=True) / 2)


class Seeing(Sharp):
    """Finds the foreground as well."""

    foreground = True

    def split(self, output):
        return output, output.sum(1)


def plane(side=96) -> Sample:
    """A small red square and a large green one, 256 and 1296 pixels."""
    labels, image = np.zeros((side, side), np.int64), np.zeros((3, side, side), np.float32)
    labels[8 : 8 + SMALL, 8 : 8 + SMALL], labels[40 : 40 + LARGE, 32 : 32 + LARGE] = 1, 2
    image[0][labels == 1] = image[1][labels == 2] = 1
    return Sample(image, labels, "plane", foreground=labels > 0)


def block() -> Sample:
    """A small and a large block, 512 and 4000 voxels."""
    labels = np.zeros((24, 40, 40), np.int64)
    labels[4:12, 4:12, 4:12], labels[8:18, 16:36, 16:36] = 1, 2
    return Sample(np.array([[0, 0.5, 1]], np.float32)[:, labels], labels, "block", foreground=labels > 0)


def found(labels, sample) -> set[int]:
    """Which of the objects are there: labels cover most of them."""
    labels = np.asarray(labels)
    return {k for k in (1, 2) if (labels[sample.labels == k] > 0).mean() > 0.5}


CASES = {
    "2D": (Sharp, plane, None),
    "2D, half": (Sharp, plane, 48),
    "2D, twice": (Sharp, plane, 192),
    "2D, zoom": (Sharp, plane, (0.5, 0.5)),
    "2D, the network's mask": (Seeing, plane, 48),
    "3D": (Grey, block, None),
    "3D, zoom": (Grey, block, (1.0, 0.5, 0.5)),
}


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("consistent", [False, True])
def test_objects_of_so_many_pixels_of_the_image_stay(case, consistent):
    net, draw, size = CASES[case]
    pair, sample = MomentumPair(net()), draw()
    pixels = np.bincount(sample.labels.ravel())
    for min_size, expected in ((pixels[1] * 2 // 5, {1, 2}), (pixels[1] * 3 // 2, {2}), (pixels[2] * 3 // 2, set())):
        options = {"min_size": int(min_size), "consistent": consistent}
        assert found(segment_image(pair, sample.image, size=size, **options), sample) == expected
        decoder = DEFAULTS[WHOLE_IMAGE] | options
        del decoder["specks"]
        assert found(Decoding(pair, sample, size=size).labels(decoder, masked=False), sample) == expected


def test_one_embedding_is_decoded_with_each_size():
    """What the decoders of an image share must not carry the size of one over to another."""
    decoding = Decoding(MomentumPair(Seeing()), plane(), size=48)
    seen = [found(decoding.labels(MEAN_SHIFT | {"min_size": n}, masked=False), plane()) for n in (400, 100, 400, 2000)]
    assert seen == [{2}, {1, 2}, {2}, set()]


def test_without_it_what_the_network_sees_decides():
    """20 pixels of noise are 20 pixels of noise, whether the image was large or small."""
    pair = MomentumPair(Sharp())
    for size, expected in ((96, {1, 2}), (24, {2})):  # the small square has 256 pixels there, and 16
        assert found(segment_image(pair, plane().image, size=size, specks=20), plane()) == expected


def test_at_least_one_pixel_is_seen():
    image = plane().image
    labels = segment_image(MomentumPair(Sharp()), image, size=24, min_size=1)
    assert found(labels, plane()) == {1, 2}


@pytest.mark.parametrize("draw, tile", [(plane, 30), (block, 20)], ids=["2D", "3D"])
def test_tiles_keep_to_it(draw, tile):
    sample = draw()
    pair, image = ideal(sample.labels)
    pixels = np.bincount(sample.labels.ravel())
    for name in ("min_size", "specks"):
        for number, expected in ((pixels[1] * 3 // 4, {1, 2}), (pixels[1] * 3 // 2, {2})):
            labels = segment_tiles(pair, image, tile=tile, overlap=8, progress=False, **{name: int(number)})
            assert found(labels, sample) == expected


def test_validation_keeps_to_it():
    pair, sample = MomentumPair(Sharp()), plane()
    for min_size, expected in ((100, 1.0), (400, 0.5)):
        scores = validate(pair, [sample], size=48, decoder={"min_size": min_size})
        assert scores["score_g"] == pytest.approx(expected, abs=0.1)


def test_scores_and_the_choice_of_a_decoder_keep_to_it():
    pair, sample = MomentumPair(Sharp()), plane()
    for min_size, expected in ((100, 1.0), (400, 0.5)):
        scored = score(pair, [sample], MEAN_SHIFT | {"min_size": min_size}, size=48, masked=False, progress=False)
        assert scored["mean"]["sbd"] == pytest.approx(expected, abs=0.1)
        tried = tune(pair, [sample], size=48, masked=False, own={"min_size": min_size}, progress=False)["tried"]
        assert all(one["decoder"]["min_size"] == min_size and "specks" not in one["decoder"] for one in tried)
        assert tried[0]["sbd"] == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize("decoder", ["default", "tuned"])
@pytest.mark.parametrize("config", [{"size": 48}, {"size": 48, "crop": True, "zoom": (0.5, 0.5)}], ids=str)
def test_prediction_keeps_to_it(decoder, config, tmp_path, monkeypatch):
    sample, pair = plane(), MomentumPair(Sharp())
    pair.f.in_channels, pair.f.ndim = 3, 2
    monkeypatch.setattr(predict_command, "load_model", lambda run: pair)
    monkeypatch.setattr(evaluate, "load_model", lambda run: pair)
    monkeypatch.setattr(evaluate, "_tuning_images", lambda record, count: [sample])
    tifffile.imwrite(tmp_path / "plane.tif", np.moveaxis(sample.image, 0, -1), photometric="rgb")
    for min_size, expected in ((100, {1, 2}), (400, {2})):
        run, out = tmp_path / f"run{min_size}", tmp_path / f"out{min_size}"
        plain = Config(**config, decoder={"min_size": min_size}).plain()
        run.mkdir()
        write_json(run / "run.json", {"format": FORMAT, "config": plain})
        (run / "weights.safetensors").touch()
        words = ["predict", str(run), str(tmp_path / "plane.tif"), str(out), "--decoder", decoder]
        assert main(words) == 0
        assert found(tifffile.imread(out / "plane.tif"), sample) == expected


@pytest.mark.parametrize("factor", [1, 4])
def test_the_advice_counts_pixels_of_the_image(factor, tmp_path):
    """The same cells, drawn four times as wide: more pixels has the smallest, though the network sees as many."""
    labels = np.zeros((128, 128), np.uint8)
    for k, (y, x) in enumerate(np.ndindex(3, 3), 1):
        labels[8 + 40 * y : 32 + 40 * y, 8 + 40 * x : 32 + 40 * x] = k
    labels[34:38, 34:38], labels[74:78, 74:78] = 10, 11
    labels = labels.repeat(factor, 0).repeat(factor, 1)
    for kind, array in (("images", 20 * labels), ("labels", labels)):
        (tmp_path / kind).mkdir()
        tifffile.imwrite(tmp_path / kind / "a.tif", array)
    config = propose(survey(tmp_path))
    assert config.zoom == (None if factor == 1 else (0.25, 0.25))
    assert config.decoder == {"min_size": 8 * factor**2}


@pytest.mark.parametrize("number", [0, -3, float("nan")])
def test_no_pixels_are_refused(number):
    for call in (segment_image, segment_tiles):
        with pytest.raises(ValueError, match="min_size must be positive"):
            call(MomentumPair(EmbeddingUNet(1, 4, widths=(4,))), np.zeros((1, 8, 8), np.float32), min_size=number)


def test_a_decoder_has_one_of_the_two():
    with pytest.raises(ValueError, match="found min_size and specks; give one"):
        check_decoder({"cluster": "hdbscan", "min_size": 20, "specks": 20})


# ---------------------------------------------------------------------- records of before


def decoders_of(record):
    tried = [one for tuning in record.get("tuning", {}).values() for one in tuning["tried"]]
    holders = record["config"], *record["scores"].values(), *tried
    return [holder["decoder"] for holder in holders if holder.get("decoder")]


def before(record):
    return record.get("format", 1) < FORMAT


def raw(name):
    return json.loads((run_folder(name) / "run.json").read_text())


@pytest.mark.parametrize("name", [name for name in recorded_runs() if before(raw(name))])
def test_recorded_decoders_mean_what_they_meant(name):
    """Then ``min_size`` was in pixels of what the networks see: ``specks`` since. All else is the same."""
    old, new = raw(name), load_run(name)
    for was, now in zip(decoders_of(old), decoders_of(new), strict=True):
        assert now == {("specks" if key == "min_size" else key): value for key, value in was.items()}
        check_decoder({"cluster": "mean_shift"} | now, ndim=2)
    text = json.dumps(new).replace('"specks"', '"min_size"')
    assert json.loads(text) == old | {"format": FORMAT}


def test_a_recorded_decoder_finds_what_it_found():
    """The default decoder of runs, in pixels of the network, at a size where the two units differ."""
    record = of_today({"config": {"size": 32, "decoder": {"min_size": 20}}})
    decoder = decoder_of(record["config"], masked=False)
    assert decoder == DEFAULTS[WHOLE_IMAGE] | {"specks": 20}
    labels = Decoding(MomentumPair(Sharp()), plane(), size=24).labels(MEAN_SHIFT | {"specks": 20}, masked=False)
    assert found(labels, plane()) == {2}  # of 256 pixels, but 16 seen


def test_a_checkpoint_of_before_goes_on_as_it_began(tmp_path):
    tiny = {"size": 32, "widths": (4, 8), "embedding_dim": 4, "batch": 2, "held_out": 0, "steps": 1}
    train(Config(**tiny, decoder={"specks": 20}), tmp_path / "run", device="cpu", progress=False)
    path = tmp_path / "run" / NAME
    state = torch.load(path, weights_only=True)
    assert state.pop("format") == load_run(tmp_path / "run")["format"] == FORMAT
    state["config"]["decoder"] = {"min_size": 20}
    torch.save(state, path)
    with pytest.raises(ValueError, match=r"decoder was \{'specks': 20\}, is now \{'min_size': 20\}"):
        train(Config(**tiny, decoder={"min_size": 20}), tmp_path / "run", device="cpu", progress=False)
    tiny["steps"] = 2
    assert train(Config(**tiny, decoder={"specks": 20}), tmp_path / "run", device="cpu", progress=False)["steps"] == 2


def test_scoring_anew_writes_a_record_of_today(tmp_path):
    run = tmp_path / "run"
    tiny = {"size": 32, "widths": (4, 8), "embedding_dim": 4, "batch": 2, "held_out": 2, "steps": 1}
    train(Config(**tiny), run, device="cpu", progress=False)
    record = json.loads((run / "run.json").read_text())
    del record["format"]
    write_json(run / "run.json", record | {"config": record["config"] | {"decoder": {"min_size": 7}}})
    evaluate_run(run, tuning_images=1, progress=False)
    after = json.loads((run / "run.json").read_text())
    assert after["format"] == FORMAT and all(decoder["specks"] == 7 for decoder in decoders_of(after)[1:])


def test_the_defaults_say_it_in_pixels_that_are_seen():
    for decoder in (*DEFAULTS.values(), *(one for candidates in CANDIDATES.values() for one in candidates)):
        assert "specks" in decoder and "min_size" not in decoder
