"""VMCOREINFO: the kernel's own notes for dump tools, parsed, or found in memory."""
