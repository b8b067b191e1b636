"""The lab: real ppc64le kernels, booted in QEMU, crashed on purpose, and compared with vmemmap.

``python -m lab`` (``make lab``) fetches the packages (``packages``), boots each machine of the
matrix (``matrix.toml``, ``qemu``, ``story``) and runs the comparisons in ``checks`` over what they
left behind (``results``).
"""
