"""Draw the picture of the welcome page from a recorded run: python book/make_welcome.py (needs the CVPPP images).

A training plant with its sparse annotation, then a validation plant: photograph, embeddings, leaves found.
"""

from pathlib import Path

from skimage.transform import resize

from spoco_lite import data
from spoco_lite.prediction.decoders import WITH_MASK, decode
from spoco_lite.prediction.image import embed
from spoco_lite.results.runs import load_model, load_run
from spoco_lite.show.plot import embedding_rgb, match_colours, panels

RUN, TRAINED, UNSEEN = "cvppp-10", "plant109", "plant129"

record, pair = load_run(RUN), load_model(RUN)
config = record["config"]
(trained,) = (s for s in data.load(config["dataset"], "train") if s.name == TRAINED)
told = data.plan_annotation([trained], fraction=config["fraction"], seed=config["seed"]).apply(trained)
(unseen,) = (s for s in data.load(config["dataset"], "val") if s.name == UNSEEN)

embedding = embedding_rgb(embed(pair.g, unseen.image, size=config["size"]))
embedding = resize(embedding, unseen.labels.shape)  # from the square that the network sees
decoder = record["scores"][f"{WITH_MASK}, default decoder"]["decoder"]
found = match_colours(unseen.labels, decode(pair, unseen, decoder, size=config["size"], masked=True))

pictures = [trained.image, told.labels, unseen.image, embedding, found]
titles = ["a training plant", "what was labelled", "a new plant", "its embeddings", "leaves found"]
figure = panels(pictures, titles, width=2.0)[0].figure
path = Path(__file__).parent / "_static" / "welcome.jpg"
figure.savefig(path, dpi=90, bbox_inches="tight", pil_kwargs={"quality": 80})
