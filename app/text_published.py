"""Strings of the Published tab."""

from __future__ import annotations

INTRO = (
    "What the method and its rivals published: mask AP on COCO test-dev, in percent. None of these "
    "numbers was measured by this project."
)
SOURCE = (
    "Source: comparison table in the slides of “DynaMask: Dynamic Mask Selection for Instance "
    "Segmentation” (CVPR 2023), copied as data into assets/published_results.csv. A dagger (†) is "
    "kept as in that table; an empty cell was not published."
)
OURS = (
    "The DynaMask rows name this project's preset with the same layer shapes. They are marked “not "
    "reproduced”: training on COCO's 118,000 photos has not been repeated here. What this "
    "project's weights reach is in docs/evidence.md."
)
TABLE = "Published results (click a column's head to sort)"
CHART_HINT = (
    "Look within one column: methods with the same backbone and a like schedule can be compared; "
    "across columns backbone or training differ as well. Point at a mark, or tap it, "
    "to read what it is."
)
HEADS = {
    "method": "Method",
    "backbone": "Backbone",
    "schedule": "Schedule",
    "AP": "AP",
    "AP50": "AP50",
    "AP75": "AP75",
    "APS": "APS",
    "APM": "APM",
    "APL": "APL",
    "preset": "Our preset",
    "status": "In this project",
}
DAGGER = " †"
EMPTY = "The published table is missing; restore assets/published_results.csv."
