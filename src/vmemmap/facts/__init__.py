"""What the kernel says about itself, each value with its origin."""
