"""The kernel's types: from VMCOREINFO's keys, BTF or debug information."""
