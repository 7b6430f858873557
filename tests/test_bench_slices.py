"""The bench of volumes beside slices that are linked afterwards."""

import json

import numpy as np
import pytest
from test_bench import INSIDE, WHOLE, bench, slices

from spoco_lite import data


def linked_naively(by_slice, share):
    """Every pair of pieces of neighbouring slices, one by one, until nothing changes."""
    pieces = [(z, k) for z, one in enumerate(by_slice) for k in np.unique(one[one > 0])]
    masks = {(z, k): by_slice[z] == k for z, k in pieces}
    name = {piece: number for number, piece in enumerate(pieces, start=1)}
    changed = True
    while changed:
        changed = False
        for a in pieces:
            for b in pieces:
                shared = (masks[a] & masks[b]).sum()
                smaller = min(masks[a].sum(), masks[b].sum())
                if b[0] == a[0] + 1 and shared and shared >= share * smaller and name[a] != name[b]:
                    name[a] = name[b] = min(name[a], name[b])
                    changed = True
    found = np.zeros_like(by_slice)
    for (z, _), mask in masks.items():
        found[z][mask] = name[z, _]
    return found


@pytest.mark.parametrize("share", [0.0, 0.3, 0.5, 0.9])
def test_linking_is_what_it_says(share):
    rng = np.random.default_rng(0)
    by_slice = np.stack([slices.label(rng.random((12, 12)) < 0.5, connectivity=1) for _ in range(4)])
    found, naive = slices.link(by_slice, share=share), linked_naively(by_slice, share)
    assert len(np.unique(found)) == len(np.unique(naive))
    assert len(np.unique(np.stack([found, naive]).reshape(2, -1), axis=1).T) == len(np.unique(found))


def test_a_branch_is_linked_and_a_gap_is_not():
    stack = np.zeros((3, 6, 12), np.int64)
    stack[0, 2:4, 1:11], stack[1, 2:4, 1:5], stack[1, 2:4, 7:11] = 1, 1, 2
    assert slices.link(stack).max() == 1
    stack[0] = 0
    stack[2, 2:4, 1:5] = 1
    assert slices.link(stack).max() == 2


def test_slices_of_a_volume_are_its_pieces(tmp_path):
    labels = np.zeros((2, 5, 9), np.int64)
    labels[0, 1:4, 1:3], labels[0, 1:4, 5:8], labels[1, 2, 4] = 1, 1, 1  # one object, in two pieces in the first slice
    sample = data.Sample(np.linspace(0, 1, labels.size, dtype=np.float32).reshape(1, *labels.shape), labels, "a")
    found = slices.slices_of(sample)
    assert [int(one.labels.max()) for one in found] == [2, 1]
    slices.write_slices(found, tmp_path)
    read = data.load("folder", "train", path=tmp_path, background=0)
    assert (
        np.array_equal(read[0].labels, found[0].labels) and np.abs(read[0].image - sample.image[:, 0]).max() < 1 / 255
    )


def test_recorded_mitochondria_are_those_of_the_rows():
    entries = bench.entries("mitochondria")
    assert len({(e["row"], e["seed"]) for e in entries}) == len(entries)
    for entry in entries:
        if entry["row"] in slices.ROWS:
            assert entry["settings"] == json.loads(json.dumps(slices.ROWS[entry["row"]]))
        assert set(entry["scores"]) >= {WHOLE, INSIDE}
