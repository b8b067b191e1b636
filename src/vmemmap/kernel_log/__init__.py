"""The kernel's log, printk's ring buffer, as records."""
