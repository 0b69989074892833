"""Strings of what the page remembers, restores from its address, and offers to take away."""

from __future__ import annotations

ADDRESS_IGNORED = (
    "Expected an address as this page writes it, got unknown values for {names}; "
    "these were left out."
)
ORACLE_WAITS = (
    "Expected ground truth for the oracle, got a photo without any; load a COCO JSON of it under "
    "“{files}” and choose Oracle again. Until then it is {policy}."
)
ORACLE_NO_PHOTO = (
    "Expected ground truth for the oracle, got no photo yet; choose a photo, then load a COCO JSON "
    "of it. Until then it is {policy}."
)

# -- one picture of the film strip
FRAME_IOU = "IoU"
FRAME_BOUNDARY = "boundary"
FRAME_FINEST = "the finest: IoU is to it"
FRAME_TRUTH = "true"
FRAME_TRUTH_BOUNDARY = "boundary"
FRAME_CHOSEN = "chosen"
FRAME_COST = "{gmac} GMAC · {ms:.0f} ms"

# -- facts of the card
FACT_SCORE = "Score"
FACT_BOX = "Box"
FACT_BOX_VALUE = "{x1:.0f}, {y1:.0f} to {x2:.0f}, {y2:.0f} px"
FACT_MASK = "Mask"
FACT_COST = "Cost"
BAND = "Of the slider, the part from {low} to {high} GMAC per object matters on this photo"
