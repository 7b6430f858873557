"""A training step must not wait for the device: no value is read back, no shape depends on the data.

The meta device has shapes and no values: reading one back, or a shape that follows from values, is an error there.
"""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from spoco_lite import augment
from spoco_lite.augment import two_views
from spoco_lite.objective import SpocoLoss
from spoco_lite.sums import blocks
from spoco_lite.training.config import Config
from spoco_lite.training.loop import Training
from spoco_lite.unet import EmbeddingUNet, MomentumPair

OPTIONS = [
    {},
    {"reduction": "pooled"},
    {"anchor": "pixel"},
    {"max_anchors": 3, "coverage": 1.0},
]
SIZES = [(24, 20), (6, 8, 10)]


def batch(size, device):
    generator = torch.Generator().manual_seed(0)
    emb_f, emb_g = torch.randn(2, 2, 4, *size, generator=generator).to(device)
    labels = torch.randint(-1, 4, (2, *size), generator=generator).to(device)
    return emb_f.requires_grad_(), emb_g, labels


@pytest.mark.parametrize("size", SIZES, ids=["2D", "3D"])
@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("entries", [1024, 1 << 18], ids=["in blocks", "in one piece"])
def test_the_loss_needs_no_value(size, options, entries, monkeypatch):
    monkeypatch.setitem(blocks.BLOCK, "cuda", entries)  # what any device but the CPU takes
    emb_f, emb_g, labels = batch(size, "meta")
    terms = SpocoLoss(max_objects=3, **options)(emb_f, emb_g, labels)
    terms.total.backward()
    assert terms.total.shape == ()
    assert emb_f.grad.shape == emb_f.shape


def test_counting_the_objects_does_need_one():
    """The check above can fail: without an upper bound, the loss reads the number of objects back."""
    with pytest.raises((RuntimeError, NotImplementedError), match=r"(?i)meta"):
        SpocoLoss()(*batch((24, 20), "meta"))


def test_a_whole_step_needs_no_value():
    with torch.device("meta"):
        pair = MomentumPair(EmbeddingUNet(3, 4, widths=(4, 8)))
    views, labels = (
        torch.empty(2, 2, 3, 16, 16, device="meta"),
        torch.empty(2, 16, 16, dtype=torch.int64, device="meta"),
    )
    optimizer = torch.optim.SGD(pair.f.parameters(), lr=0.1)
    SpocoLoss(max_objects=5)(*pair(*views), labels).total.backward()
    torch.nn.utils.clip_grad_norm_(pair.f.parameters(), 10.0)
    optimizer.step()
    pair.update()


VIEWS = [
    ((2, 3, 40, 40), (32, 32), "colour"),
    ((2, 1, 40, 40), (32, 32), "colour"),
    ((2, 1, 10, 20, 20), (8, 16, 16), "microscopy"),
]


def draw_on_meta(shape, size, photometry):
    labels = torch.empty(shape[0], *shape[2:], dtype=torch.int64, device="meta")
    return two_views(torch.empty(shape, device="meta"), labels, size=size, seed=0, photometry=photometry)


@pytest.mark.parametrize("case", VIEWS, ids=str)
def test_drawing_two_views_needs_no_value(case):
    shape, size, _ = case
    view_f, view_g, labels = draw_on_meta(*case)
    assert view_f.shape == view_g.shape == (*shape[:2], *size) and labels.shape == (shape[0], *size)


class Copies(TorchDispatchMode):
    """Remembers of every copy from the CPU to the device whether it was allowed to run later."""

    def __init__(self):
        super().__init__()
        self.may_run_later = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        if function is torch.ops.aten._to_copy.default and result.is_meta and not args[0].is_meta:
            self.may_run_later.append(bool(kwargs.get("non_blocking")))
        return result


@pytest.mark.parametrize("case", VIEWS, ids=str)
def test_what_is_drawn_on_the_cpu_is_copied_without_waiting(case, monkeypatch):
    """A plain copy waits until a GPU has done all that is queued. kornia takes care of its own, on GPUs only."""
    monkeypatch.setattr(augment, "_by_slice", lambda change, images: images)
    with Copies() as copies:
        draw_on_meta(*case)
    assert copies.may_run_later and all(copies.may_run_later)


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that any operation made."""

    def __init__(self):
        super().__init__()
        self.entries = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.entries = max(self.entries, tensor.untyped_storage().nbytes() // tensor.element_size())
        return result


@pytest.mark.parametrize("objects", [2, 60])
def test_no_table_of_voxels_times_objects(objects, monkeypatch):
    """With 60 objects such a table would be ten times the embeddings; neither pass makes one."""
    monkeypatch.setitem(blocks.BLOCK, "cpu", 4096)
    emb_f, emb_g = (torch.randn(1, 4, 16, 32, 32) for _ in range(2))
    labels = torch.randint(-1, objects + 1, (1, 16, 32, 32))
    with Largest() as largest:
        SpocoLoss(max_objects=objects)(emb_f.requires_grad_(), emb_g, labels).total.backward()
    assert largest.entries <= labels.numel() * (4 + 2)  # the embeddings, and two more rows


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_loss_is_one_graph(options):
    """`fullgraph` refuses whatever would send the compiler back to Python."""
    loss = SpocoLoss(max_objects=3, **options | {"max_anchors": 2})
    inputs = batch((24, 20), "cpu")
    compiled = torch.compile(lambda *args: tuple(loss(*args)), fullgraph=True, backend="aot_eager")
    torch.manual_seed(0)
    expected = loss(*inputs)
    torch.manual_seed(0)
    found = compiled(*inputs)
    torch.testing.assert_close(found, tuple(expected))
    gradients = [torch.autograd.grad(terms[0], inputs[0])[0] for terms in (found, expected)]
    torch.testing.assert_close(*gradients)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_the_loss_runs_in_a_cuda_graph_and_without_synchronisation():
    emb_f, emb_g, labels = batch((64, 64), "cuda")
    emb_f = emb_f.detach().requires_grad_()
    loss = SpocoLoss(max_objects=3)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(3):
            loss(emb_f, emb_g, labels).total.backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        terms = loss(emb_f, emb_g, labels)
        terms.total.backward()
    graph.replay()
    assert all(t.isfinite() for t in terms)


TRAINED = {
    "2D": Config(size=64, widths=(4, 8), batch=2, held_out=0, fraction=0.4),
    "3D": Config(
        dataset="cells3d", crop=True, size=(16, 32, 32), in_channels=1, widths=(4, 8), batch=2, photometry="microscopy"
    ),
}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("name", TRAINED)
def test_a_step_of_a_training_waits_for_nothing(name, tmp_path):
    training = Training(TRAINED[name], tmp_path, device="cuda")
    for _ in range(3):  # kernels are loaded and memory is taken
        training.train_step(training.draw(training.step))
    torch.cuda.set_sync_debug_mode("error")
    try:
        batch = training.draw(training.step)
        terms = training.train_step(batch)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert all(term.isfinite() for term in terms)
