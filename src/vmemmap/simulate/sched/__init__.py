"""Tasks, what links them, and who runs where."""
