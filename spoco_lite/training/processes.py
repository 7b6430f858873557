"""One run on several processes, as ``torchrun`` starts them: one for each GPU, or several on the CPU (gloo)."""

import contextlib
import math
import os
from collections.abc import Iterator

import torch
import torch.distributed as dist
from torch import Tensor, nn


def device_of(device: str | torch.device | None) -> torch.device:
    """The device that is asked for; by default a GPU if there is one. ValueError if this computer has no such device.

    >>> device_of("cpu")
    device(type='cpu')
    """
    try:
        found = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except RuntimeError:
        found = torch.device("meta")  # holds no numbers, and is no place to compute either
    there = {"cpu": math.inf, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if found.type not in there:
        raise ValueError(f"device: found {str(device)!r}; give cpu, cuda, cuda:1 or mps")
    if (found.index or 0) >= there[found.type]:
        raise ValueError(f"device: found {str(device)!r}, but PyTorch sees {there[found.type]} of these here; give cpu")
    return found


def first() -> bool:
    """Whether this process speaks for all that ``torchrun`` started, also before they joined and after they left.

    >>> first()
    True
    """
    return os.environ.get("RANK", "0") == "0"


@contextlib.contextmanager
def joined(device: str | torch.device | None = None) -> Iterator[None]:
    """Join the other processes, if ``torchrun`` started this one; leave them at the end.

    GPUs talk through NCCL, CPUs through gloo: what counts is the ``device`` that trains, not what the machine has.

    >>> with joined():
    ...     rank(), count()
    (0, 1)
    """
    if "TORCHELASTIC_RUN_ID" not in os.environ or dist.is_initialized():
        yield
        return
    gpu = device_of(device).type == "cuda"
    if gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def rank() -> int:
    """The number of this process, 0 for the one that logs and saves."""
    return dist.get_rank() if dist.is_initialized() else 0


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def mean(tensor: Tensor) -> Tensor:
    """The mean of a tensor over the processes, on each of them."""
    if count() > 1:
        tensor = tensor.clone()
        dist.all_reduce(tensor)
        tensor /= count()
    return tensor


def of_the_first(thing):
    """What the first process has, plain Python objects, on each of them.

    >>> of_the_first({"score": 0.5})
    {'score': 0.5}
    """
    things = [thing]
    if count() > 1:
        dist.broadcast_object_list(things)
    return things[0]


def in_parallel(net: nn.Module) -> nn.Module:
    """The network with gradients that are averaged over the processes; alone, the network itself."""
    if count() == 1:
        return net
    device = next(net.parameters()).device
    return nn.parallel.DistributedDataParallel(net, device_ids=[device] if device.type == "cuda" else None)


def with_common_statistics(net: nn.Module) -> nn.Module:
    """BatchNorm over the batch of all processes. PyTorch has it on GPUs; elsewhere each looks at its own part."""
    if count() > 1 and next(net.parameters()).device.type == "cuda":
        return nn.SyncBatchNorm.convert_sync_batchnorm(net)
    return net
