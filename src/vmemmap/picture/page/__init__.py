"""The page itself: its template, its style sheet and its scripts, which are put into every page."""
