"""What a user reads in and around plots."""

from __future__ import annotations

PLOT_EMPTY = "Nothing to draw yet."
PLOT_FAILED = "Expected the plot to load, the connection failed; reload the page."

# -- plots of the inspected photo
PHOTO_PLOTS = "Plots of this photo"
PHOTO_PLOTS_ABOUT = (
    "Click a point to select its object in the picture. Press Box or Lasso and drag around points "
    "to keep only those objects there; Reset brings all back."
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

# -- inside the model
INSIDE = "Inside the model"
INSIDE_EMPTY = "Select an object in the picture, the table or a plot to look inside the model."
INSIDE_BUSY = "Looking inside …"
INSIDE_TITLE = "{name}: on the way to its mask"
INSIDE_SWITCH = "What the switch saw"
INSIDE_SWITCH_ABOUT = (
    "From these {side} by {side} cells of the finest feature map, and not from the photo itself, "
    "the switch gave {odds}; cells of one colour look alike to it."
)
INSIDE_FEATURES = "What each stage works on"
INSIDE_FEATURES_ABOUT = (
    "Every stage of the region FPN doubles the grid and mixes in finer maps of the photo; each "
    "picture shows the three strongest components of a stage's input as red, green and blue."
)
INSIDE_OFFSETS = "Where each stage looks"
INSIDE_OFFSETS_ABOUT = (
    "A deformable convolution does not read around its own cell only: each arrow points to where, "
    "on average over its taps, it reads instead."
)
INSIDE_EDGES = "Where it expects the outline"
INSIDE_EDGES_ABOUT = (
    "The probability that a cell lies on the object's edge, from 0 (dark blue) to 1 (yellow), "
    "which guides the next stage."
)
INSIDE_PHOTO = "photo, {side} by {side}"
INSIDE_CELLS = "features, {share:.0%} of their variance"
INSIDE_STAGE = "{grid} by {grid}, {channels} channels, {share:.0%} of the variance"
INSIDE_ARROWS = "{grid} by {grid}, mean {mean:.2f} cells, {drawn}"
INSIDE_ARROWS_LONGER = "drawn {k} times as long"
INSIDE_ARROWS_TRUE = "drawn as long as they are"
INSIDE_EDGE = "{grid} by {grid}, at most {most:.2f}"
