"""The rows of each table of the bench, with their words; the first is that with which the others are compared.

A row without an entry is left out until it has one.
"""

RECIPE = {
    "leaves-10-paper": "the paper's recipe",
    "leaves-10-paper-without-consistency": "the same, without consistency",
    "leaves-10-unit-alone": "places added to the embedding",
    "leaves-10-foreground-alone": "a foreground channel",
    "leaves-10-ours": "both: our recipe",
    "leaves-10-ours-all-the-rest": "ours, a foreground without rims",
    "leaves-10-ours-without-consistency": "ours, without consistency",
    "leaves-10-ours-unit-8": "ours, 8 px for a unit instead of 4",
    "leaves-10-ours-threshold-75": "ours, kernel threshold 0.75",
    "leaves-10-ours-group-norm": "ours, GroupNorm",
    "leaves-10-ours-foreground-10": "ours, foreground of weight 10",
    "leaves-10-ours-batch-4": "ours, batches of 4, half as many steps",
    "leaves-10-ours-loss-stride-1": "ours, a loss on every pixel",
    "leaves-10-ours-8-components": "ours, embeddings of 8 components",
    "leaves-10-ours-3000-steps": "ours, three times as many steps",
}
NUCLEI = {
    "nuclei-100-all-paper": "the paper's recipe",
    "nuclei-100-all-ours": "ours",
    "nuclei-100-all-ours-foreground-1": "ours, foreground of weight 1",
    "nuclei-100-all-ours-loss-stride-1": "ours, a loss on every pixel",
    "nuclei-100-all-ours-group-norm": "ours, GroupNorm",
    "nuclei-100-all-ours-3000-steps": "ours, three times as many steps",
}
# A tenth of the objects: what the foreground sets against them.
STROKES = {
    base: {
        f"{base}-10-ours": "rims and all that is unlabelled: ours",
        f"{base}-10-ours-all-the-rest": "all that is unlabelled",
        f"{base}-10-strokes-ours": "strokes and rims: ours, with strokes",
        f"{base}-10-strokes-ours-all-the-rest": "strokes and all that is unlabelled",
        f"{base}-10-strokes-ours-bounded-rest": "strokes, rims, and the rest by a sigmoid",
    }
    for base in ("leaves", "nuclei")
}
STROKES["nuclei"]["nuclei-10-strokes-ours-all-the-rest-foreground-1"] = "the same, foreground of weight 1"
OF_NUCLEI = NUCLEI | {row: f"10%, {words}" for row, words in STROKES["nuclei"].items()}
NUCLEI_WHY = {row: f"nuclei: {words}" for row, words in OF_NUCLEI.items()}
SHARES = (5, 10, 20, 40, 60, 80, 100)
LABELS = {
    f"leaves-{percent}-{recipe}": f"{percent}% of the leaves, {words}"
    for percent in SHARES
    for recipe, words in (("paper", "the paper's recipe"), ("ours", "ours"))
} | {
    "leaves-100-all-paper": "all leaves and all background, the paper's recipe",
    "leaves-100-all-ours": "all leaves and all background, ours",
}
_CHANGES = {
    "": "ours, all terms",
    "-without-consistency": "without consistency",
    "-without-unlabeled-push": "without the push of the unlabelled",
    "-without-instance": "without the instance term",
    "-pull-and-push": "pull and push alone",
    "-pixel-anchors": "anchors are pixels, not means",
}
TERMS = {percent: {f"leaves-{percent}-ours{name}": words for name, words in _CHANGES.items()} for percent in (10, 40)}
TERMS_OF_PAPER = {
    percent: {
        f"leaves-{percent}-paper": "the paper's, all terms",
        f"leaves-{percent}-paper-without-consistency": "the paper's, without consistency",
    }
    for percent in (10, 20, 40, 100)
}
CLIPPED = {
    "leaves": {
        "leaves-10-ours": "ours",
        "leaves-10-ours-clipped": "gradients of at most 0.5, foreground of weight 3",
    },
    "nuclei": {
        "nuclei-10-strokes-ours": "ours, with strokes",
        "nuclei-10-strokes-ours-clipped": "gradients of at most 0.5",
    },
}
FEW = {
    words: {
        row: "ours, all terms",
        f"{row}-without-consistency": "without consistency: labelled images alone",
        f"{row}-images-alike": "all images drawn alike",
    }
    for row, words in {
        "leaves-10-images-ours": "a tenth of the plants, in full",
        "nuclei-10-images-ours": "a tenth of the images of nuclei, in full",
        "leaves-2-set-ours": "2% of the leaves, in some of the plants",
    }.items()
}
PEERS = {
    "leaves": {
        "leaves-threshold": "green threshold and watershed, no training",
        **{f"leaves-{p}-classes": f"{p}% of the leaves: three classes" for p in (5, 10, 40)},
        "leaves-10-classes-with-rims": "10% of the leaves: three classes, with our rims",
        **{f"leaves-{p}-ours": f"{p}% of the leaves: ours" for p in (5, 10, 40)},
        "leaves-10-strokes-classes": "10% and strokes: three classes",
        "leaves-10-strokes-ours": "10% and strokes: ours",
        "leaves-10-images-classes": "10% of the plants in full: three classes",
        "leaves-10-images-ours": "10% of the plants in full: ours",
        "leaves-100-all-classes": "everything: three classes",
        "leaves-100-all-ours": "everything: ours",
        "leaves-100-all-paper": "everything: the paper's recipe",
    },
    "nuclei": {
        "nuclei-threshold": "Otsu's threshold and watershed, no training",
        **{
            f"nuclei-{p}-strokes-{recipe}": f"{p}% and strokes: {words}"
            for p in (5, 10, 40)
            for recipe, words in (("classes", "three classes"), ("ours", "ours"))
        },
        "nuclei-10-strokes-classes-with-rims": "10% and strokes: three classes, with our rims",
        "nuclei-10-classes-with-rims": "10%: three classes, with our rims",
        "nuclei-10-ours": "10%: ours",
        "nuclei-10-images-classes": "10% of the images in full: three classes",
        "nuclei-10-images-ours": "10% of the images in full: ours",
        "nuclei-100-all-classes": "everything: three classes",
        "nuclei-100-all-ours": "everything: ours",
        "nuclei-100-all-paper": "everything: the paper's recipe",
    },
    "mitochondria": {
        "mitochondria-true-slices-linked": "the true pieces of each slice, linked",
        "mitochondria-slices": "slices, linked",
        "mitochondria-volumes": "volumes at once",
    },
}
BUDGET = {
    "leaves": {
        "leaves-10-ours": "a tenth of the leaves of every plant",
        "leaves-10-strokes-ours": "the same, and strokes",
        "leaves-10-images-ours": "a tenth of the plants in full",
    },
    "nuclei": {
        "nuclei-10-ours": "a tenth of the nuclei of every image",
        "nuclei-10-strokes-ours": "the same, and strokes",
        "nuclei-10-images-ours": "a tenth of the images in full",
    },
}
CODE = {
    "leaves-10-paper": "the paper's equations",
    "leaves-10-paper-pooled-dice": "one Dice over all objects",
    "leaves-10-paper-dice-by-rows": "the consistency's Dice by rows of the image",
    "leaves-10-paper-sum-over-the-batch": "the consistency added up over the batch",
    "leaves-10-paper-momentum-while-evaluating": "g moves while the run validates",
}
DRAWN = {row.replace("leaves-10", "rosettes-20"): words for row, words in CODE.items()} | {
    "rosettes-20-paper-without-consistency": "no consistency: the weight that the code ignores"
}
