"""The data sets, one file each: ``read(split)`` gives samples in the size of their owner."""
