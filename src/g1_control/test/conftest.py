"""What several test modules share (`controller_bench`, `sdk_bench`) can be imported."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
