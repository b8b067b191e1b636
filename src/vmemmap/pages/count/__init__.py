"""The census: pages counted by kind, node and zone, and by what makedumpfile leaves out."""
