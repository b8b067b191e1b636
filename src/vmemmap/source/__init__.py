"""From a file to bytes at physical addresses."""
