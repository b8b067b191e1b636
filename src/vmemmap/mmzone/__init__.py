"""Which memory there is: sections, parts of them, nodes and zones, layouts beside readers."""
