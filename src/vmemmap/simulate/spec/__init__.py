"""What machine to simulate: plain data, checked, and read from TOML."""
