"""The crash: what a dump holds at that moment, damage to it, and the known answers."""
