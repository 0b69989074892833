"""What a user reads in and around plots."""

from __future__ import annotations

PLOT_EMPTY = "Nothing to draw yet."
PLOT_FAILED = "Expected the plot to load, the connection failed; reload the page."

# -- plots of the inspected photo
PHOTO_PLOTS = "Plots of this photo"
PHOTO_PLOTS_ABOUT = (
    "Click a point to select its object in the picture; drag a box or a loop around points to keep "
    "only those objects there, and Reset to have all back."
)
PHOTO_PLOTS_EMPTY = "Choose a photo; its objects are drawn here once they are found."
GRIDS_ALT = (
    "Points of the photo's {count} objects: chosen grid against box area, "
    "with the size rule's stairs."
)
ODDS_ALT = "Four points for each of {count} objects: the switch's probability of every grid."
BUDGET_ALT = (
    "Stairs: GMAC per object that are spent under every budget, "
    "from {low:.3f} to {high:.3f} GMAC; each step is an object that gets a finer grid."
)
