"""``python -m spoco_lite``: a file for each command."""
