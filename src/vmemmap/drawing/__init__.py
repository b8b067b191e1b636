"""Numbers drawn as SVG: marks, scales, axes, charts. Numbers in, text out; knows no kernel.

Whatever is written into a drawing as text is escaped here. Colours stand in the marks themselves,
so that a drawing can be shown by itself; classes beside them let a style sheet change them.
"""
