"""Makes ``builders`` importable whether or not the project's pytest configuration does."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
