"""What goes wrong in folders of one's own images without an error: each trap is a sentence that says what to do."""

from collections.abc import Iterator

from .folder import empty_lists
from .survey import DIM, MISSED, STROKE, Survey, alike, missed

FEW = 2  # objects of an image; so few of many pieces are a mask, or classes


def traps(found: Survey) -> Iterator[str]:
    """The traps that a folder holds, with the meanings of its numbers as the survey has them.

    >>> import tempfile
    >>> from .sets import dish
    >>> from .survey import survey
    >>> folder = tempfile.mkdtemp()
    >>> dish.write(folder, labelled=2, tested=1)
    >>> [line.partition(";")[0] for line in traps(survey(folder, background=0))][:1]
    ['train: 255 is in most label maps, far above all other numbers, and would be an object']
    """
    for file in empty_lists(found.path):
        yield f"{file}: lists no image; write one name on each line, or delete it"
    splits = found.splits()
    if splits == [None]:
        yield (
            "no split is said; draw one with spoco_lite.data.folder.write_splits, or write train.txt and test.txt, "
            "one name on each line"
        )
    elif "train" not in splits:
        yield "train: no image; name those to train on in train.txt"
    if splits != [None] and not {"val", "test"} & set(splits):
        yield "no image is kept for a test; a score on images that were trained on means nothing"
    for split in splits:
        yield from _of_meanings(found, split)
    yield from _of_labels(found)
    if any(facts.grey for facts in found.images):
        some = next(facts for facts in found.images if facts.grey)
        yield (
            f"{some.name}: {some.channels} channels that are all the same (grey, stored as RGB or RGBA); saved as grey "
            "it is a third as large; the network takes it either way, but all images the same"
        )
    if len({facts.channels for facts in found.images}) > 1:
        kinds = {facts.channels: facts.name for facts in found.images}
        yield (
            "images of " + ", ".join(f"{count} channels ({name})" for count, name in kinds.items()) + "; one is needed"
        )
    dim = [facts for facts in found.images if facts.dtype == "uint8" and facts.high < DIM]
    if dim:
        yield (
            f"{len(dim)} images of 8 bits are dim: the brightest pixels of {dim[0].name} have {dim[0].high:.0%} of the "
            "range; --data-option stretch=true scales them by percentiles, in training and in prediction"
        )
    pairs = [f"{one.name} ({one.split}) and {other.name} ({other.split})" for one, other in alike(found.images)]
    if pairs:
        more = f", and {len(pairs) - 3} more pairs" if len(pairs) > 3 else ""
        yield f"alike, in different splits: {'; '.join(pairs[:3])}{more}; a score on what was almost seen is too good"


def _of_meanings(found: Survey, split: str | None) -> Iterator[str]:
    images, name = found.of(split), split or "all"
    background, unlabeled = (meaning.get(str(split)) for meaning in (found.background, found.unlabeled))
    numbers = [max(found.objects(facts), default=0) for facts in images]
    top = max(numbers)
    rest = max((n for facts in images for n in found.objects(facts) if n < top), default=0)
    if top >= max(STROKE, 2 * rest) and rest and numbers.count(top) > len(images) / 2:
        yield (
            f"{name}: {top} is in most label maps, far above all other numbers, and would be an object; strokes on the "
            f"background? Then say background={top}, and unlabeled=0 where nobody looked"
        )
    share = missed(images, but=unlabeled)
    if background == 0 and share > MISSED:
        yield (
            f"{name}: background=0 covers {share:.0%} of what looks like objects; were some not outlined? "
            "Then 0 is unlabelled: unlabeled=0"
        )
    if split in ("val", "test") and unlabeled is not None and background != 0:
        yield f"{name}: not every object is labelled, so scores look at the labelled ones only"


def _of_labels(found: Survey) -> Iterator[str]:
    empty = [facts.name for facts in found.images if not found.objects(facts)]
    if empty:
        yield f"no object is labelled in {', '.join(empty[:5])}; label one, or leave the image out of its list"
    masks = [
        facts
        for facts in found.images
        if 0 < len(found.objects(facts)) <= FEW and max(v.pieces for v in found.objects(facts).values()) > 2
    ]
    if len(masks) * 2 > len(found.images):
        value = max(v.pieces for v in found.objects(masks[0]).values())
        yield (
            f"{masks[0].name}: an object of {value} pieces, and no more than {FEW} objects; a mask, or classes? Number "
            "the pieces: skimage.measure.label(mask); objects that touch must be parted by hand"
        )
        return
    torn = sum(v.pieces > 1 for facts in found.images for v in found.objects(facts).values())
    if torn:
        yield f"{torn} objects are of several pieces; is a number used twice, or was a stroke of the brush left over?"
