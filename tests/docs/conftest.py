"""The documentation and its generator, which lie outside the package."""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "docs"))  # generate.py and what it imports
sys.path.insert(0, str(Path(__file__).parent))  # pages.py
