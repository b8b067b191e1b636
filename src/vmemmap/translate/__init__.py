"""Which physical address is behind a virtual one, and by which way?"""
