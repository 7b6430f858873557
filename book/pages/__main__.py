"""Write what the records in data/ say between the markers of pages (fill.py): python book/pages FILE..."""

import sys
from pathlib import Path

from fill import fill

for file in map(Path, sys.argv[1:]):
    file.write_text(fill(file.read_text(), pictures=file.parent / "results"))
