"""Makes a dump that can be shared: an allow-list, by what every byte is and how that is known.

Nothing is taken over because nobody named it as secret: a byte is in the extract because a reader
of the kernel's own structures came to it, and by which of them is its class (``classes``). All that
shares a page with it is zero, and every other page is left out.

- ``image``: what is shown, piece by piece, and the pages that this makes
- ``kernel_data``, ``tables``: the pieces, found as the readers of the other layers find them
- ``reduced_pages``: struct pages, member by member
- ``header``: VMCOREINFO line by line, and what the container says of the machine
- ``manifest``: what was shown, by runs, with a checksum each; and the check of a file against it
- ``extract``: all of it joined
"""
