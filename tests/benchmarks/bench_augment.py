"""How many augmented samples a second, so that the training step never waits for them.

``python tests/benchmarks/bench_augment.py`` prints what :func:`measure` returns.
"""

import torch
from torch.utils.benchmark import Timer

from spoco_lite.augment import two_views

CASES = {
    "views, 2D colour": ((3, 320, 320), (256, 256), "colour"),
    "views, 2D microscopy": ((1, 320, 320), (256, 256), "microscopy"),
    "views, 3D microscopy": ((1, 40, 80, 80), (32, 64, 64), "microscopy"),
}
"""Name: an image's channels and size, the views' size, the photometry."""


def measure(*, batch: int = 4, seconds: float = 2.0, threads: int = 1, device: str = "cpu") -> list[dict]:
    """Time ``two_views``; a dictionary a case: name, settings, seconds_per_batch, samples_per_second.

    batch : images at a time. seconds : measuring time of a case, at least. threads : of torch, on the CPU.
    """
    rows = []
    for name, (image, size, photometry) in CASES.items():
        images = torch.rand(batch, *image, device=device)
        labels = torch.randint(-1, 20, (batch, *image[1:]), device=device)
        timer = Timer(
            "two_views(images, labels, seed=0, **options)",
            globals={
                "two_views": two_views,
                "images": images,
                "labels": labels,
                "options": {"size": size, "photometry": photometry},
            },
            num_threads=threads,
        )
        median = timer.blocked_autorange(min_run_time=seconds).median
        settings = {
            "batch": batch,
            "image": image,
            "size": size,
            "photometry": photometry,
            "threads": threads,
        }
        rows.append(
            {
                "name": name,
                "settings": settings | {"device": device},
                "seconds_per_batch": round(median, 4),
                "samples_per_second": round(batch / median, 1),
            }
        )
    return rows


if __name__ == "__main__":
    for row in measure():
        print(row)
