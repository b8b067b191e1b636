"""What do the kernel's own notes for dump tools say, and where are they if the dump has none?"""
