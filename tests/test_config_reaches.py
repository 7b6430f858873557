"""Each field of the configuration reaches the place where it acts. A field without a test here fails one."""

import dataclasses
import functools

import pytest
import torch

from spoco_lite import data, losses
from spoco_lite.results.runs import load_model
from spoco_lite.training import batches
from spoco_lite.training import loop as train
from spoco_lite.training.config import Config
from spoco_lite.training.loop import Training
from spoco_lite.training.schedule import schedule

TINY = Config(size=32, batch=2, steps=4, log_every=4, validate_every=4, widths=(4, 8), embedding_dim=4, held_out=1)
LOAD = data.load


@functools.cache
def plants(size):
    return list(LOAD("rosettes", "train", size=size)[:6])


class Seen:
    """A training, and the arguments with which it called what lies around it."""

    def __init__(self, monkeypatch, folder, **changes):
        self.folder, self.calls, self.rates = folder, {}, []
        for module, name in ((data, "load"), (data, "plan_annotation"), (batches, "two_views"), (train, "validate")):
            monkeypatch.setattr(module, name, self.recorder(name, getattr(module, name)))
        self.training = Training(dataclasses.replace(TINY, **changes), folder, device="cpu")

    def recorder(self, name, function):
        def recording(*args, **kwargs):
            self.calls.setdefault(name, (args, kwargs))
            return plants(kwargs.get("size")) if name == "load" else function(*args, **kwargs)

        return recording

    def keywords(self, name):
        if name == "two_views":
            self.training.draw(0)
        if name == "validate":
            self.training.run(progress=False)
        return self.calls[name][1]

    def step(self):
        """The terms of one step, and the rate with which it was taken."""
        optimizer = self.training.optimizer
        take = optimizer.step
        optimizer.step = lambda: (self.rates.append(optimizer.param_groups[0]["lr"]), take())
        terms = self.training.train_step(self.training.draw(self.training.step))
        optimizer.step = take
        return terms

    def run(self):
        return self.training.run(progress=False)

    def loss(self, term):
        """A term of the training's loss on fixed embeddings, beside which the term itself can be computed."""
        terms = self.training.loss(*EMBEDDINGS, LABELS, logits=LOGITS, generator=torch.Generator().manual_seed(0))
        return float(getattr(terms, term))


LABELS = torch.full((2, 8, 8), -1)
LABELS[:, :3], LABELS[:, 4:, 6:] = 1, 2
CLOUDS = LABELS.clamp_min(0)[:, None] * torch.tensor([1.0, 0.5, 0.0, 0.0])[:, None, None]
EMBEDDINGS = tuple(CLOUDS + 0.4 * torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(k)) for k in (0, 1))
LOGITS = torch.randn(2, 8, 8, generator=torch.Generator().manual_seed(2))


def twice_the_total_per_weight(name):
    """By how much the total grows from weight 1 to weight 2, over the term: 1."""

    def found(seen):
        heavy = seen.loss("total")
        seen.training.loss.weights[name] = 1.0
        return round((heavy - seen.loss("total")) / seen.loss(name), 3)

    return found


def term(name, **options):
    """Whether a term of the training's loss is what the term itself gives with these options."""
    arguments = EMBEDDINGS if name == "consistency" else EMBEDDINGS[:1]
    drawn = {"generator": torch.Generator().manual_seed(0)} if name == "consistency" else {}
    expected = float(getattr(losses, f"{name}_loss")(*arguments, LABELS, **options, **drawn))
    return lambda seen: seen.loss(name) == pytest.approx(expected, rel=1e-5)


def f(seen):
    return seen.training.pair.f


def rates(seen):
    for _ in range(3):
        seen.step()
    return seen.rates


def gradient_length(seen):
    seen.step()
    return float(torch.stack([p.grad.norm() for p in f(seen).parameters()]).norm())


def g_copies_f(seen):
    seen.step()
    pair = seen.training.pair
    return all(torch.equal(a, b) for a, b in zip(pair.f.parameters(), pair.g.parameters()))


def begins_as(name):
    """Whether layers of f and g are those of a run, once the training begins."""

    def found(seen):
        seen.training.resume()
        pairs = [seen.training.pair, load_model(name)]
        return [torch.equal(*(getattr(pair, net).decoders[1][0].weight for pair in pairs)) for net in "fg"]

    return found


def pixels_of_the_loss(seen):
    seen.step()
    return tuple(seen.training.seen[2].shape)


def different_draws(seen):
    other = Training(dataclasses.replace(seen.training.config, seed=0), seen.folder / "other", device="cpu")
    same_views = torch.equal(seen.training.draw(0).view_f, other.draw(0).view_f)
    same_net = all(torch.equal(a, b) for a, b in zip(f(seen).parameters(), other.pair.f.parameters()))
    same_anchors = seen.training.generator().initial_seed() == other.generator().initial_seed()
    return same_views, same_net, same_anchors, seen.keywords("plan_annotation")["seed"]


CROP = {"size": (32, 32), "crop": True}

# Of each field: a value, what else it needs, where to look, what must be found there.
PLACES = {
    "dataset": ("others", {}, lambda seen: (seen.calls["load"][0], seen.training.description["dataset"]),
                (("others", "train"), "others")),
    "data_options": ({"path": "here"}, {}, lambda seen: seen.keywords("load").get("path"), "here"),
    "annotate": ("images", {}, lambda seen: seen.calls["plan_annotation"][0][1], "images"),
    "fraction": (0.5, {}, lambda seen: seen.keywords("plan_annotation")["fraction"], 0.5),
    "number": (7, {}, lambda seen: [seen.keywords("plan_annotation")[k] for k in ("number", "fraction")], [7, None]),
    "background": ("all", {}, lambda seen: seen.keywords("plan_annotation")["background"], "all"),
    "held_out": (2, {}, lambda seen: (len(seen.training.held_out), len(seen.training.batches.names)), (2, 4)),
    "seed": (3, {}, different_draws, (False, False, False, 3)),
    "size": (16, {}, lambda seen: (tuple(seen.training.draw(0).view_f.shape[2:]), seen.keywords("load")["size"]),
             ((16, 16), 20)),
    "crop": (True, {}, lambda seen: seen.keywords("load")["size"], None),
    "zoom": ((0.5, 0.5), CROP, lambda seen: seen.keywords("load")["size"], (0.5, 0.5)),
    "scale": ((1.0, 1.1), {}, lambda seen: seen.keywords("two_views")["scale"], (1.0, 1.1)),
    "symmetry": ("upright", {}, lambda seen: seen.keywords("two_views")["symmetry"], "upright"),
    "photometry": ("microscopy", {}, lambda seen: seen.keywords("two_views")["photometry"], "microscopy"),
    "in_channels": (1, {}, None, "has 3 channels, in_channels is 1"),
    "embedding_dim": (5, {}, lambda seen: f(seen)(torch.zeros(1, 3, 8, 8)).shape[1], 5),
    "widths": ((3, 4, 5), {}, lambda seen: f(seen).widths, (3, 4, 5)),
    "norm": ("group", {}, lambda seen: any(isinstance(m, torch.nn.GroupNorm) for m in f(seen).modules()), True),
    "unit": ((4.0, 2.0), {}, lambda seen: f(seen).unit, (4.0, 2.0)),
    "start": ("cvppp-10", {"widths": (16, 32, 64, 128, 256)}, begins_as("cvppp-10"), [True, True]),
    "momentum": (0.0, {}, g_copies_f, True),
    "delta_var": (0.9, {}, [term("pull", delta_var=0.9), term("instance", delta_var=0.9),
                            term("consistency", delta_var=0.9)], True),
    "delta_dist": (1.0, {}, [term("push", delta_dist=1.0), term("unlabeled_push", delta_dist=1.0)], True),
    "kernel_threshold": (0.9, {}, [term("instance", kernel_threshold=0.9), term("consistency", kernel_threshold=0.9)],
                         True),
    "max_anchors": (2, {}, term("consistency", max_anchors=2), True),
    "consistency": (2.0, {}, twice_the_total_per_weight("consistency"), 1.0),
    "unlabeled_push": (2.0, {}, twice_the_total_per_weight("unlabeled_push"), 1.0),
    "foreground": (2.0, {}, [twice_the_total_per_weight("foreground"), lambda seen: float(f(seen).foreground)], 1.0),
    "loss_stride": (2, {}, pixels_of_the_loss, (2, 16, 16)),
    "loss_options": ({"reduction": "pooled"}, {}, term("instance", reduction="pooled"), True),
    "batch": (3, {}, lambda seen: len(seen.training.draw(0).view_f), 3),
    "steps": (6, {}, lambda seen: seen.run()["steps"], 6),
    "learning_rate": (0.5, {}, rates, [0.5 * schedule(step, TINY.steps) for step in range(3)]),
    "weight_decay": (0.3, {}, lambda seen: seen.training.optimizer.param_groups[0]["weight_decay"], 0.3),
    "clip_norm": (1e-3, {}, gradient_length, pytest.approx(1e-3, rel=1e-3)),
    "log_every": (1, {}, lambda seen: [entry["step"] for entry in seen.run()["curve"]], [1, 2, 3, 4]),
    "validate_every": (2, {}, lambda seen: ["score_g" in e for e in seen.run()["curve"]], [True, True]),
    "decoder": ({"min_size": 3}, {}, lambda seen: seen.keywords("validate")["decoder"], {"min_size": 3}),
}  # fmt: skip


def test_every_field_has_its_place():
    assert list(PLACES) == [field.name for field in dataclasses.fields(Config)]


@pytest.mark.parametrize("name", PLACES)
def test_a_field_reaches_its_place(name, monkeypatch, tmp_path):
    value, others, places, expected = PLACES[name]
    assert value != getattr(TINY, name)
    if places is None:
        with pytest.raises(ValueError, match=expected):
            Seen(monkeypatch, tmp_path, **{name: value}, **others)
        return
    for place in places if isinstance(places, list) else [places]:
        assert place(Seen(monkeypatch, tmp_path, **others | {name: value})) == expected


@pytest.mark.parametrize("name", [name for name, (_, others, places, _) in PLACES.items() if places and not others])
def test_another_value_gives_something_else(name, monkeypatch, tmp_path):
    """The tests above can fail: with the usual value, something else is found in that place."""
    _, _, places, expected = PLACES[name]
    places = places if isinstance(places, list) else [places]
    assert all(place(Seen(monkeypatch, tmp_path)) != expected for place in places)
