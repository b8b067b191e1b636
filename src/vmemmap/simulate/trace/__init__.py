"""What a kernel does in a boot or an event, step by step, with the list before and after."""
