"""What the benchmarks measure is what the module does now."""

import sys
from pathlib import Path

import pytest

from spoco_lite.training.config import Config

sys.path.append(str(Path(__file__).parent / "benchmarks"))
import bench_step  # noqa: E402

TINY = {"size": 32, "batch": 2, "steps": 4, "widths": (4, 8), "fraction": 0.3}


@pytest.mark.parametrize("ours", [{}, {"unit": (4.0, 4.0), "foreground": 1.0}], ids=["the paper's", "ours"])
def test_each_part_of_a_step_is_timed(tmp_path, ours):
    parts = bench_step.Watched(Config(**TINY, **ours), tmp_path).parts(2)
    assert set(parts) == set(bench_step.PARTS) and min(parts.values()) > 0
