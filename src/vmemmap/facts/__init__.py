"""What does the kernel say about itself, and where does it say so? Each value has its origin.

Inside, a row imports itself and the rows above it:

=========================  ======================================================================
fact release uts elf_file  a value with its origin; a release compared; uname; sections of a file
assumptions                what the user says, which goes before all else
vmcoreinfo                 VMCOREINFO: the kernel's notes for dump tools, parsed, or searched for
symbols                    a table of the kernel's symbols, and kallsyms in the dump
types                      the kernel's types: BTF or debug information
mmu vmlinux find_vmlinux   hash or radix, by what evidence; a kernel's file, named or looked for
kernel_types obtain        which types are believed; where VMCOREINFO comes from
kernel                     the kernel: release, page size, byte order, symbols, its memory
kernel_symbols             its symbols by name and address, of a vmlinux or the dump's own
backing                    vmemmap_list: its head, how a node lies, how large a block is
=========================  ======================================================================
"""
