"""``python -m analysis``: dataset runs and what is made of them."""

import sys

from analysis.cli import main

if __name__ == "__main__":  # worker processes import this module again
    sys.exit(main())
