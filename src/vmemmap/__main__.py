"""``python -m vmemmap``."""

from vmemmap.cli.main import run

if __name__ == "__main__":
    run()
