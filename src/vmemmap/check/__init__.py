"""Does the list hold together, and what of the memory does it reach?"""
