"""``python -m vmemmap``."""

from vmemmap.cli.start import run

if __name__ == "__main__":
    run()
