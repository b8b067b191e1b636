"""Which memory was there? Sections and the parts of them, nodes and zones, layouts beside readers.

==============  =================================================================================
section_layout  how mem_section is cut, and the bits of a section_mem_map
mem_section     where it is, and what it says of one address
read_sections   all of it at once, with section_table (the runs) and subsections (parts of sections)
pgdat_layout    how struct pglist_data and struct zone lie
nodes           the nodes and zones by them
device_zone     which of the zones is that of device memory
flag_fields     which bits of page.flags name a page's node and zone
==============  =================================================================================
"""
