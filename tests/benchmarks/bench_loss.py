"""The loss beside its looped twin and beside the network; and its memory in 3D."""

import ast
import resource
import subprocess
import sys

import torch
from looped import looped_loss
from scenes import leaves
from torch.utils.benchmark import Timer

from spoco_lite.objective import SpocoLoss
from spoco_lite.unet import EmbeddingUNet

WIDTHS = (16, 32, 64, 128, 256, 512)


def seconds(function, *, at_least=4.0) -> float:
    function()
    timer = Timer("function()", globals={"function": function}, num_threads=torch.get_num_threads())
    return round(timer.blocked_autorange(min_run_time=at_least).median, 4)


def loss() -> list[dict]:
    """Batch 4, E = 16, 448 x 448, 6 of 16 leaves labelled (40%), 20 anchors; forward and backward."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    emb_f, emb_g, labels = (x.to(device) for x in leaves())
    emb_f.requires_grad_()
    ours = SpocoLoss(max_objects=7)
    generator = torch.Generator(device)

    def vectorised():
        terms = ours(emb_f, emb_g, labels, generator=generator.manual_seed(0))
        terms.total.backward()
        return terms

    def looped():
        supervised, consistency = looped_loss(emb_f, emb_g, labels, generator.manual_seed(0))
        (supervised + consistency).backward()
        return supervised

    terms = vectorised()
    torch.testing.assert_close(terms.total - terms.consistency, looped(), rtol=1e-4, atol=1e-4)

    image = torch.rand(4, 3, 448, 448, device=device).contiguous(memory_format=torch.channels_last)
    net = EmbeddingUNet(3, 16, widths=WIDTHS).to(device, memory_format=torch.channels_last)

    def network(dtype):
        def step():
            with torch.autocast(device, dtype, enabled=dtype != torch.float32):
                embeddings = net(image)
            embeddings.square().mean().backward()

        return step

    rows = [
        {"what": "loss", "seconds": seconds(vectorised)},
        {"what": "loss, looped twin", "seconds": seconds(looped)},
        {"what": "network, float32", "seconds": seconds(network(torch.float32))},
        {"what": "network, bfloat16", "seconds": seconds(network(torch.bfloat16))},
    ]
    for row in rows[1:]:
        row["times_the_loss"] = round(row["seconds"] / rows[0]["seconds"], 2)
    return rows


def memory() -> list[dict]:
    """E = 16, 20 anchors: MiB beyond embeddings and gradient, each volume in a fresh process."""
    return [in_fresh_process(__file__, size, objects) for size, objects in ((64, 200), (128, 20), (128, 200))]


def in_fresh_process(script: str, *arguments: int):
    """What a script prints, a Python literal. The peak of memory is that of a process's whole life."""
    command = [sys.executable, script, *map(str, arguments)]
    return ast.literal_eval(subprocess.check_output(command, text=True))


def measure_memory(size: int, objects: int) -> dict:
    generator = torch.Generator().manual_seed(0)
    emb_f = torch.randn(1, 16, size, size, size, generator=generator).requires_grad_()
    emb_g = emb_f.detach() + 0.1
    emb_f.grad = torch.ones_like(emb_f)  # so that the gradient is there before
    labels = torch.randint(-1, objects + 1, [1] + [size // 8] * 3, generator=generator)
    for axis in (1, 2, 3):
        labels = labels.repeat_interleave(8, axis)

    def peak() -> float:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # KiB on Linux

    before = peak()
    SpocoLoss(max_objects=objects)(emb_f, emb_g, labels).total.backward()
    return {"voxels": f"{size}^3", "objects": objects, "mib": round(peak() - before)}


if __name__ == "__main__":
    print(measure_memory(int(sys.argv[1]), int(sys.argv[2])))
