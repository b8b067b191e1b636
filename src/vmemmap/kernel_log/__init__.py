"""What did the kernel say? Its log, printk's ring buffer in each of its three forms, as records."""
