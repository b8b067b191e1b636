"""How a struct page is laid out, and which bits and values mean what."""
