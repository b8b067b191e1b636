"""Simulated physical memory and who hands it out."""
