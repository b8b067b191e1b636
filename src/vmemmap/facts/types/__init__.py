"""How do the kernel's structures lie, by BTF or by debug information?"""
