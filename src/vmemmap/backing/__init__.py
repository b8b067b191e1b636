"""vmemmap_list itself: walked, judged, and kept as columns."""
