"""Strings of the files that users take away, and of the page that shows one inspected photo."""

from __future__ import annotations

# -- the downloads: what a menu calls them, and what is in them
EXPORTS = {
    "png": "Picture (PNG)",
    "idmap": "Id map (PNG)",
    "coco": "COCO JSON",
    "json": "Result JSON",
    "csv": "Table (CSV)",
    "parquet": "Table (Parquet)",
    "html": "Page (HTML)",
}
EXPORT_HINTS = {
    "png": "The photo with masks and legend, at its own size.",
    "idmap": "Each pixel is an object's id, 16 bits.",
    "coco": "A COCO dataset and results list, masks as RLE.",
    "json": "The same as the command line writes, with costs.",
    "csv": "One row per object, for a spreadsheet.",
    "parquet": "The same table with its types.",
    "html": "Picture, table and film strips in one file, no network.",
}
EXPORT_ODD = "Expected one of {known}, got another kind of file; reload the page."

# -- the page
PAGE_TITLE = "{name}: masks and their grids"
PAGE_OBJECTS = "Objects"
PAGE_SHOW_ALL = "Show all"
PAGE_HIDE_ALL = "Hide all"
PAGE_FILL = "Fill the masks"
PAGE_COSTS = "What it cost"
PAGE_STRIP = "{name} (object {id}) at every grid"
PAGE_STRIPS = "The masks that the other grids would have given"
PAGE_STRIP_IOU = "IoU to 112: {iou:.3f}"
PAGE_STRIP_BOUNDARY = "boundary IoU: {iou:.3f}"
PAGE_STRIP_CHOSEN = "chosen"
PAGE_NOTES = "How the photo was read"
PAGE_EMPTY = "No object was found in this photo under these settings."
PAGE_MADE = "Made by DynaMask Studio. This page needs no network."
PAGE_PICTURE = "The photo {name} with one outline for each object; the table lists them."
PAGE_COLUMNS = ("Show", "Id", "Class", "Score", "Grid", "Mask, px²", "GMAC")
PAGE_COST_ROWS = {
    "policy": "Policy",
    "total": "All masks, GMAC",
    "per_roi": "Per object, GMAC",
    "share": "Share of all objects at 112",
    "branch": "Of it, image branches, GMAC",
}
ID_MAP_ABOUT = (
    "Each pixel is an object's id, 0 where there is none. Objects are painted from the largest "
    "mask to the smallest, so where masks overlap the smallest one is seen."
)
COCO_ABOUT = "Instance masks by DynaMask; score, grid, probabilities and gmac beside COCO's fields"
