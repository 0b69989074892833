"""``python -m dynamask``."""

import sys

from dynamask.cli import main

if __name__ == "__main__":
    sys.exit(main())
