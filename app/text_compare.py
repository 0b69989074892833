"""Strings of the Compare tab."""

from __future__ import annotations

TAB_COMPARE = "Compare"
INTRO = (
    "Two ways to mask the same boxes of one photo: drag the line to see one or the other, and read "
    "below what changed."
)
PHOTO = "Photo to compare on"
DROP_PHOTO = "Drop a photo here\nto see what two policies make of the same boxes"
EXAMPLES = "Or try one of these"
TAKE = "Take the photo from Inspect"
AS_INSPECTED = "As in Inspect"
AS_INSPECTED_LABEL = "As in Inspect: {policy}"
AS_INSPECTED_HAND = "{policy}, {count} by hand"
AS_INSPECTED_NONE = (
    "Expected a photo taken from Inspect, got another; press “Take the photo from Inspect”."
)
AS_INSPECTED_BOXES = (
    "Expected the boxes of {weights} for the grids set by hand, got those of other weights; "
    "choose {weights} for A."
)
BY_HAND_CELL = "{grid} by hand"
TAKE_NONE = "Expected a photo in the Inspect tab, got none; open one there, or choose one here."

POLICY = {"a": "A: who chooses the grid", "b": "B: who chooses the grid"}
WEIGHTS = {"a": "A: weights", "b": "B: weights"}
BUDGET = {"a": "A: budget, GMAC per object", "b": "B: budget, GMAC per object"}
WEIGHTS_ONLY_ONE = (
    "Two weight files can be compared too: start the server with "
    "python -m app --compare-weights FILE. Files are never taken from a browser."
)
WEIGHTS_BOXES = "Boxes and classes are those that A's weights find; B's weights get the same ones."

SUMMARY_NONE = "No objects to compare."
SUMMARY_SAME = "{objects}: the two are equal, pixel by pixel."
SUMMARY = "{changed} of {objects} changed; mean IoU between the two {iou:.3f}, boundary {biou:.3f}."
SUMMARY_RATIO = "B costs {ratio:.2f} times as much as A."
SUMMARY_EVEN = "Both cost the same."
NOTHING_FOUND = "Nothing was found at a score of {score:.2f} or more; lower the smallest score."
NOTHING_VOUCHED = (
    "Nothing that the model is good at was found at a score of {score:.2f} or more; switch on "
    "“Show everything found”, or lower the smallest score."
)
TOTALS_CAPTION = "What the two cost on this photo"
TOTALS_HEAD = ("", "Policy", "Objects at 14, 28, 56, 112", "GMAC in masks", "of all-112")
TRUTH_HEAD = "IoU to ground truth ({known})"
WITH_WEIGHTS = "{policy}, {weights}"

TABLE_HEAD = (
    "Object",
    "IoU A to B",
    "Boundary IoU",
    "Grid A",
    "Grid B",
    "Area A, px²",
    "Area B, px²",
    "GMAC A",
    "GMAC B",
)
TABLE_TRUTH = ("True IoU A", "True IoU B")
CROP_CAPTION = "IoU {iou:.2f} · {grid_a} to {grid_b}"
CROP_LABEL = "{name}: pixels of only one of the two masks; IoU {iou:.2f}"

CARD_TITLE = "The object in both"
CARD_EMPTY = "Select an object in the table or among the most changed ones to see it closely."
CARD_FIGURE = "{name} under {side}, grid {grid}"
CARD_SIDE = "{side}: grid {grid}"
CARD_SIDE_HAND = "{side}: grid {grid}, set by hand"
CARD_COST = "{area:,} px² · {gmac} GMAC"
CARD_DIFFERENCE = "Difference"
CARD_DIFFERENCE_LABEL = "Pixels of {name} that only A or only B has"
CARD_ONLY = "only A {only_a:,} px² · only B {only_b:,} px²"
CARD_IOU = "IoU {iou:.3f} · boundary IoU {biou:.3f}"
CARD_TRUTH = "IoU to ground truth: A {a:.3f}, B {b:.3f}."
CARD_EQUAL = "Both masks are equal, pixel by pixel."
SAVE_TABLE = "Save the table (CSV)"

SIDE_ODD = "Expected one of the two weight files, got something else; reload the page."
