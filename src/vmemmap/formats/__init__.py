"""On-disk layouts as data, with no I/O."""
