"""What a user would do otherwise: a U-Net of the same size with three classes and a watershed, and a threshold.

They get the same images, labels, views, optimiser and minutes as the rows of the bench. They live here and not in the
module, which is about embeddings.
"""

import numpy as np
import torch
import torch.nn.functional as F
from scipy.ndimage import distance_transform_edt, gaussian_filter
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.measure import label
from skimage.morphology import remove_small_objects
from skimage.segmentation import watershed
from torch import Tensor

from spoco_lite import losses
from spoco_lite.objective import LossTerms, SpocoLoss

OUTSIDE, INSIDE, BORDER = range(3)


def three_classes(labels: Tensor) -> Tensor:
    """Labels ``(N, Y, X)``, or with Z -> the class of each pixel, -1 where nobody knows.

    Border: pixels of an object with a pixel of something else among the 3 x 3 around them.

    >>> labels = torch.tensor([[[-1, 0, 1, 1, 1, 2, 2]]])
    >>> three_classes(labels).tolist()
    [[[-1, 0, 2, 1, 2, 2, 1]]]
    """
    pool = F.max_pool2d if labels.ndim == 3 else F.max_pool3d
    values = labels[:, None].double()  # exact for labels up to 2**53
    highest, lowest = (sign * pool(sign * values, 3, stride=1, padding=1)[:, 0] for sign in (1, -1))
    border = (highest != lowest) & (labels > 0)
    return torch.where(border, BORDER, torch.where(labels > 0, INSIDE, labels))


def three_class_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross-entropy of logits ``(N, 3, *S)`` over the pixels whose class is known; 0 if there is none."""
    classes = three_classes(labels)
    known = (classes >= 0).sum().clamp_min(1)
    return F.cross_entropy(logits, classes, ignore_index=-1, reduction="sum") / known


def three_class_loss_with_rims(logits: Tensor, labels: Tensor) -> Tensor:
    """The same labels, used as our foreground uses them: objects stand against their rims and against the rest.

    Mean over the images of ``mean_k mean_{i in S_k} ce(c_i) + mean_{i in R} ce(outside) + mean_{i in X} ce(outside)``
    with the sets of :func:`spoco_lite.losses.foreground_loss`: R the unlabelled pixels within two of an annotated
    object, X annotated background or, where there is none, all that is unlabelled. An image without an annotated
    object counts 0. Logits ``(N, 3, *S)``, labels ``(N, *S)``.
    """
    classes, near = three_classes(labels), losses._near_objects(labels)
    values = []
    for z, c, of_image, rim in zip(logits, classes, labels, near & (labels < 0)):
        objects = of_image.unique()
        objects = objects[objects > 0]
        if not len(objects):
            values.append(z.sum() * 0)
            continue
        ce = F.cross_entropy(z[None], c.clamp_min(OUTSIDE)[None], reduction="none")[0]
        rest = of_image == 0 if (of_image == 0).any() else of_image < 0
        parts = [torch.stack([ce[of_image == k].mean() for k in objects]).mean()]
        values.append(sum(parts + [ce[mask].mean() for mask in (rim, rest) if mask.any()]))
    return torch.stack(values).mean()


def decode_classes(logits: np.ndarray, *, foreground: np.ndarray | None = None, min_size: int = 20) -> np.ndarray:
    """Logits (3, *S) -> labels ``(*S)``: pieces of the inside grow by a watershed over the border.

    With a ``foreground`` they grow over all of it, else over what is more likely object than not.
    """
    chance = torch.softmax(torch.from_numpy(logits), 0).numpy()
    mask = chance[OUTSIDE] < 0.5 if foreground is None else foreground
    seeds = label((chance.argmax(0) == INSIDE) & mask, connectivity=1)
    seeds = remove_small_objects(seeds, max_size=min_size // 4)
    found = watershed(-chance[INSIDE], seeds, mask=mask)
    return remove_small_objects(found, max_size=min_size - 1).astype(np.int64)


def decode_threshold(
    image: np.ndarray, *, kind: str, foreground: np.ndarray | None = None, distance: int, min_size: int = 20
) -> np.ndarray:
    """No training at all: Otsu's threshold, and a watershed of the distance to the background.

    Image (C, *S) in [0, 1]. ``kind``: ``"bright"`` for fluorescence, ``"green"`` for plants. ``distance``: least
    pixels between the centres of two objects.
    """
    if kind == "green":
        grey = 2 * image[1] - image[0] - image[2]
    else:
        grey = image.mean(0)
    grey = gaussian_filter(grey, 1)
    mask = grey > threshold_otsu(grey) if foreground is None else foreground
    depth = gaussian_filter(distance_transform_edt(mask), 1)
    peaks = peak_local_max(depth, min_distance=distance, labels=label(mask), exclude_border=False)
    seeds = np.zeros(mask.shape, np.int64)
    seeds[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    found = watershed(-depth, seeds, mask=mask)
    return remove_small_objects(found, max_size=min_size - 1).astype(np.int64)


class ThreeClassLoss(SpocoLoss):
    """Takes the place of the SPOCO loss in a training; the three components of an "embedding" are the logits."""

    def __call__(self, emb_f: Tensor, emb_g: Tensor, labels: Tensor, *, logits=None, generator=None) -> LossTerms:
        zero = emb_f.new_zeros(())
        return LossTerms(three_class_loss(emb_f, labels), *[zero] * (len(LossTerms._fields) - 1))
