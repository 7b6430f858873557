"""The losses meet the numbers that the public reference code and plain definitions gave (tests/reference/README.md)."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from spoco_lite import losses

REFERENCE = Path(__file__).parent / "reference"
ROWS = json.loads((REFERENCE / "expected.json").read_text())


def load(row):
    case = np.load(REFERENCE / f"{row['case']}.npz")
    emb_f = torch.from_numpy(case["emb_f"])[None].requires_grad_()
    emb_g = torch.from_numpy(case["emb_g"])[None]
    labels = torch.from_numpy(case["labels"])[None].long()
    if row.get("zero_label") != "background":
        labels[labels == 0] = -1
    return emb_f, emb_g, labels


def name(row):
    kind = row.get("zero_label", "consistency")
    return f"{row['case']}-{kind}-var{row['delta_pull']}-t{row['kernel_threshold']}"


@pytest.mark.parametrize("row", [r for r in ROWS if "terms" in r], ids=name)
def test_supervised_terms(row):
    emb, _, labels = load(row)
    var, dist, threshold = row["delta_pull"], row["delta_push"], row["kernel_threshold"]
    kernel = {"delta_var": var, "kernel_threshold": threshold}
    values = {
        "pull": losses.pull_loss(emb, labels, delta_var=var),
        "push": losses.push_loss(emb, labels, delta_dist=dist),
        "regularizer": losses.regularizer_loss(emb, labels),
        "instance_dice_per_instance": losses.instance_loss(emb, labels, **kernel),
        "instance_dice_pooled": losses.instance_loss(emb, labels, **kernel, reduction="pooled"),
        "unlabeled_push": losses.unlabeled_push_loss(emb, labels, delta_dist=dist),
    }
    for term, value in values.items():
        (gradient,) = torch.autograd.grad(value, emb, retain_graph=True)
        assert value.item() == pytest.approx(row["terms"][term], rel=1e-4, abs=1e-7), term
        assert gradient.norm().item() == pytest.approx(row["terms"][f"{term}_grad_norm"], rel=1e-3, abs=1e-7), term


@pytest.mark.parametrize("row", [r for r in ROWS if "consistency" in r], ids=name)
def test_consistency(row):
    emb_f, emb_g, labels = load(row)
    expected = row["consistency"]
    value = losses.consistency_loss(
        emb_f,
        emb_g,
        labels,
        delta_var=row["delta_pull"],
        kernel_threshold=row["kernel_threshold"],
        anchors=torch.tensor(expected["anchors"])[None],
    )
    (gradient,) = torch.autograd.grad(value, emb_f)
    assert value.item() == pytest.approx(expected["per_mask_dice"], rel=1e-4)
    assert gradient.norm().item() == pytest.approx(expected["per_mask_dice_grad_norm"], rel=1e-3)
