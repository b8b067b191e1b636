"""From virtual to physical addresses."""
