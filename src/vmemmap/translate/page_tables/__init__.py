"""What do the kernel's page tables map? Their formats, which one a kernel has, and the walk."""
