"""From records to output: text, JSON, CSV."""
