"""What a dump looks like: one self-contained page, made of what the layers of a dump answer.

``report.py`` makes it, a module a section; ``page/`` has the template, the style and the scripts.
Every number comes from the functions that the commands use.
"""
