"""The configuration: what it refuses, and what it makes of older records and of the command line."""

import argparse
import dataclasses
import json
import math
from pathlib import Path

import pytest

from spoco_lite.commands import train as train_command
from spoco_lite.results.runs import load_run, recorded_runs
from spoco_lite.training.config import Config
from spoco_lite.training.schedule import schedule


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("background", "most", "background: found 'most'; give one of none, all, strokes"),
        ("norm", "layer", "norm: found 'layer'"),
        ("annotate", "some", "annotate: found 'some'; give one of per image, set, images"),
        ("symmetry", "none", "symmetry: found 'none'; give one of plane, volume, upright"),
        ("photometry", "x", "photometry: found 'x'; give one of colour, microscopy"),
        ("steps", 0, "steps: found 0; give 1 or more"),
        ("batch", 0, "batch: found 0"),
        ("held_out", -1, "held_out: found -1; give 0 or more"),
        ("number", 0, "number: found 0; give 1 or more"),
        ("learning_rate", -1, "learning_rate: found -1; give a finite number above 0"),
        ("learning_rate", math.nan, "learning_rate: found nan"),
        ("learning_rate", math.inf, "learning_rate: found inf"),
        ("clip_norm", 0, "clip_norm: found 0; give a finite number above 0"),
        ("weight_decay", -1e-4, "weight_decay: found -0.0001; give 0 or more"),
        ("momentum", 2, "momentum: found 2; give a number 0 or more, at most 1"),
        ("fraction", 0, "fraction: found 0; give a number above 0, at most 1"),
        ("kernel_threshold", 1, "kernel_threshold: found 1; give a number above 0, below 1"),
        ("loss_stride", 0, "loss_stride: found 0"),
        ("widths", (), r"widths: found \(\); give channels"),
        ("widths", (8, 0), r"widths: found \(8, 0\)"),
        ("scale", (1.25, 0.8), "scale: found"),
        ("data_options", {"path": object}, "data_options: found <class 'object'> of type type, which a record cannot"),
        ("size", (8, 0, 8), "size: found"),
        ("size", (8, 8, 8), "needs crop=True"),
        ("size", (8, 8), "without crop give one number"),
        ("zoom", (0.5, 0.5), "zoom: found \\(0.5, 0.5\\); it needs crop=True"),
    ],
)
def test_a_value_that_no_run_can_have(field, value, message):
    with pytest.raises(ValueError, match=message):
        Config(**{field: value})


@pytest.mark.parametrize("zoom", [(0.5, 0.5), (1, 0, 0.5), (1, 0.5, 5), ()])
def test_a_zoom_that_no_run_can_have(zoom):
    with pytest.raises(ValueError, match="zoom: found .* give a share for each of 3 axes, above 0, at most 4"):
        Config(size=(8, 8, 8), crop=True, zoom=zoom)


def test_a_zoom_is_a_share_even_if_it_was_written_as_a_whole_number():
    assert [type(z) for z in Config(size=(8, 8, 8), crop=True, zoom=[1, 1, 2]).zoom] == [float] * 3


@pytest.mark.parametrize("name", recorded_runs())
def test_the_configuration_of_every_recorded_run_can_be_read(name):
    recorded = load_run(name)["config"]
    config = Config.from_record(recorded)
    for field, value in json.loads(json.dumps(dataclasses.asdict(config))).items():
        assert value == recorded.get(field, value), field


def test_paths_and_tuples_reach_the_record_and_compare_equal_with_it():
    config = Config(data_options={"path": Path("leaves"), "background": (0, 255)}, decoder={"sizes": ((1, 2), 3)})
    recorded = json.loads(json.dumps(config.plain()))
    assert recorded == config.plain()
    assert recorded["data_options"] == {"path": "leaves", "background": [0, 255]}
    assert Config.from_record(recorded).plain() == config.plain()


def parsed(words):
    parser = argparse.ArgumentParser()
    train_command.add_config_arguments(parser)
    return train_command.config_from(vars(parser.parse_args(words)))


def test_no_option_gives_the_defaults():
    assert parsed([]) == Config()


@pytest.mark.parametrize("name", recorded_runs())
def test_the_options_of_a_recorded_run_give_its_configuration(name):
    config = Config.from_record(load_run(name)["config"])
    assert parsed(train_command.options_of(config)) == config


def test_options_for_every_field():
    """Nothing is as by default, so that no field can be forgotten."""
    config = Config(
        # fmt: off
        dataset="vnc",
        data_options={"path": "a b", "background": 0},
        annotate="images",
        fraction=0.5,
        number=3,
        background="strokes",
        held_out=0,
        seed=1,
        size=(8, 16, 16),
        crop=True,
        zoom=(1.0, 0.5, 0.5),
        scale=(0.9, 1.1),
        symmetry="upright",
        photometry="microscopy",
        in_channels=1,
        embedding_dim=8,
        widths=(8, 16),
        norm="group",
        unit=(1.0, 4.0, 4.0),
        start="another run",
        momentum=0.9,
        delta_var=0.4,
        delta_dist=1.5,
        kernel_threshold=0.25,
        max_anchors=5,
        consistency=0.5,
        unlabeled_push=0.5,
        foreground=0.5,
        loss_stride=2,
        loss_options={"anchor": "pixel", "coverage": 0.5},
        batch=2,
        steps=10,
        learning_rate=1e-5,
        weight_decay=0.0,
        clip_norm=1.0,
        log_every=5,
        validate_every=7,
        decoder={"min_size": 20},
        # fmt: on
    )
    default = Config()
    same = [f.name for f in dataclasses.fields(Config) if getattr(config, f.name) == getattr(default, f.name)]
    assert same == []
    assert parsed(train_command.options_of(config)) == config


def test_options_of_all_kinds():
    words = (
        "--size 24 64 64 --crop --zoom 1 0.5 0.5 --scale 0.9 1.1 --widths 8 16 --number 5 --data-option target=cells "
        "--data-option path=a=b --loss-option anchor=pixel --loss-option regularizer=0.1 --learning-rate 1e-4"
    )
    assert parsed(words.split()) == Config(
        size=(24, 64, 64),
        crop=True,
        zoom=(1.0, 0.5, 0.5),
        scale=(0.9, 1.1),
        widths=(8, 16),
        number=5,
        data_options={"target": "cells", "path": "a=b"},
        loss_options={"anchor": "pixel", "regularizer": 0.1},
        learning_rate=1e-4,
    )
    assert parsed(["--size", "64"]).size == 64


def test_the_help_says_what_each_option_is():
    """In groups, with the choices; and a new field of the configuration must say what it is."""
    parser = argparse.ArgumentParser()
    train_command.add_config_arguments(parser)
    text = " ".join(parser.format_help().split())
    for field in dataclasses.fields(Config):
        assert field.metadata["about"] in text and f"{field.metadata['group']}:" in text
        assert not field.metadata["choices"] or f"{{{','.join(field.metadata['choices'])}}}" in text


@pytest.mark.parametrize("steps", [1, 2, 10, 1000])
def test_the_learning_rate_rises_and_then_falls(steps):
    factors = [schedule(t, steps) for t in range(steps)]
    peak = factors.index(max(factors))
    assert max(factors) == pytest.approx(1, abs=0.01)
    assert all(0 < x <= 1 for x in factors)
    assert factors[: peak + 1] == sorted(factors[: peak + 1])
    assert factors[peak:] == sorted(factors[peak:], reverse=True)
    assert steps < 10 or factors[-1] < 0.05
