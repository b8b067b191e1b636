"""Two dumps of one machine: what is different, page by page, entry by entry, fact by fact."""
