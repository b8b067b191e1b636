"""Which address does a name of the kernel's have, and which name an address?"""
