"""What a user reads in and around plots."""

from __future__ import annotations

PLOT_EMPTY = "Nothing to draw yet."
PLOT_FAILED = "Expected the plot to load, the connection failed; reload the page."
