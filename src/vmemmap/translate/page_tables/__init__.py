"""Page tables: their formats, which one a kernel has, and the walk through them."""
