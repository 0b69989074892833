"""Strings of the Dataset, Runs and Published tabs."""

from __future__ import annotations

TAB_DATASET = "Dataset"
TAB_RUNS = "Runs"
TAB_PUBLISHED = "Published"

# -- which run
RUN = "Run"
RUN_INFO = "A run holds one row per object and policy of a COCO set; plots read it, no model runs."
RUN_REFRESH = "Look for runs again"
RUN_GONE = "Expected a run that is still there, got {name}; choose another run."
RUN_NONE = (
    "There is no run yet. Make one below from a COCO file and its photos, "
    "or with python -m analysis run."
)
RUN_EMPTY = "This run has no finished photo yet; resume it in the Runs tab."
RUN_NO_OBJECTS = (
    "This run measured no object on its {photos}; {skipped} of its COCO file left out, and the "
    "Runs tab lists why. Objects need a mask: polygons or run lengths, not boxes "
    "alone."
)
RUN_LABEL = "{name} · {photos} photos · {state}"
RUN_OF_OTHERS = "Expected a run of your own, got one that is not; open it instead."
RUN_READ_ONLY = "Expected a run that was made here, got {name}, which is shipped and stays."
RUN_IS_WORKING = "Expected a run at rest, got {name}, which is being made; stop it first."

# -- the filter bar
FILTERS = "Filters: they act on every plot, table and gallery"
FILTERS_NOW = "Filters: {filters} (open to change)"
BOXES = "Boxes"
BOXES_CHOICES = {"gt": "ground truth", "detector": "detector"}
ROWS_POLICY = "Policy (who chooses the grid)"
CLASSES = "Classes (none: all)"
SIZE = "Size (small below 32², large from 96² px²)"
SIZES = {
    "any": "any",
    "small": "small",
    "medium": "medium",
    "large": "large",
}
AREA_LOW = "Area from, px²"
AREA_HIGH = "to, px²"
GRIDS_LABEL = "Grid"
SCORE = "Smallest score (0: all)"
CROWD = "Crowd regions"
CROWDS = {"without": "leave out", "only": "only", "both": "with"}
TRUNCATED = "At the photo's edge"
TRUNCATEDS = {"any": "all", "whole": "only whole", "cut": "only cut off"}
FILTERS_RESET = "Clear filters"
AREA_ORDER = (
    "Expected a smallest area that is not above the largest, got {low:g} to {high:g} px²; swap "
    "the two."
)

# -- budget explorer
BUDGET_ON = "Choose grids under a budget"
BUDGET = "Mean cost per object, GMAC"
BUDGET_INFO = (
    "Every object of the set is given a new grid at this mean cost, from its stored probabilities; "
    "no model runs. All plots follow; in those of AP every detection is given one."
)
BUDGET_NONE = "This run stores no probabilities for these rows, so no budget can be tried."

# -- numbers above the plots
TOTALS = (
    "{n:,} objects on {photos:,} photos · {gmac:.4f} GMAC per object · mean mask IoU {iou} · "
    "mean boundary IoU {biou} · lost against the best grid {regret}"
)
TOTALS_NONE = "No object passes the filters; widen them."
UNKNOWN = "not defined"
SHARES = "Share of the grids"

# -- groups of plots, and what to look for in each
GROUPS = {
    "choice": "Which grid",
    "cost": "Quality against cost",
    "oracle": "Against the best grid",
    "ap": "AP and errors",
}
HINTS = {
    "share_by_area": (
        "Look whether the bars change colour from left to right: a switch that uses size gives "
        "small objects coarse grids and large ones fine grids."
    ),
    "probability_by_area": (
        "Look where two lines cross: at that size the switch changes its mind; lines that stay "
        "level mean that size alone does not decide."
    ),
    "share_by_class": (
        "Look for classes whose bars differ from their neighbours': thin or ragged things should "
        "get finer grids than compact ones."
    ),
    "share_by_complexity": (
        "Look whether fine grids grow to the right: all five groups have the same mix of sizes, so "
        "only the outline differs."
    ),
    "map": (
        "Look for regions of one colour: size grows to the right, raggedness downwards; click a "
        "mark to see the object."
    ),
    "pareto_iou": (
        "Look for what lies up and to the left: better masks for less; a point under the line is "
        "beaten by the switch under a budget at the same cost."
    ),
    "pareto_biou": (
        "The same with boundary IoU, which counts only a narrow band along the outline, where fine "
        "grids differ most."
    ),
    "pareto_ap": (
        "The same in COCO's AP at the detector's boxes: it counts a mask only above an IoU of 0.5 "
        "to 0.95, and a detection that finds nothing costs as much as one that does."
    ),
    "pareto_boundary_ap": (
        "AP where the boundary must fit as well: look whether coarse grids fall further behind "
        "than in the plot of AP."
    ),
    "confusion": (
        "Look at the diagonal: there the switch took the best grid; to the left of it it was too "
        "coarse, to the right finer than was of use."
    ),
    "regret_by_area": (
        "Look where the line is high: objects of that size lose most mask IoU by the grid they got."
    ),
    "regret_by_class": (
        "Look for tall bars with short whiskers: classes that surely lose mask IoU by their grid."
    ),
    "calibration": (
        "Look how far the line is from the dotted one: below it the switch is surer than it is "
        "right."
    ),
    "ap_by_area": (
        "Look where the line bends down: at that size detection or masks fail; COCO's three bins "
        "would hide it."
    ),
    "error_costs": (
        "Look at the longest bar: repairing that kind of error alone would raise AP most."
    ),
}
AP_TABLE = "COCO average precision by policy"
AP_TABLE_HINT = (
    "COCO's numbers on all classes and sizes that the class filter leaves; AP's 95 % interval in "
    "brackets. The filters of size, grid and crowd regions do not count here, as AP is about "
    "whole photos. With a budget its row is the first."
)
POLICY_TABLE = "Policies on the same objects"
POLICY_TABLE_HINT = "The numbers behind the plots, with 95 % intervals over photos."
PLOT_WAITING = "Choose a run above to see this plot."
CLICK_HINT = "Click any mark to see the objects behind it."

# -- objects behind a mark
BEHIND = "Objects behind the mark"
BEHIND_IDLE = (
    "Click a mark in a plot. The objects behind it appear here, those that lose most mask IoU "
    "against their best grid first."
)
BEHIND_NONE = "No object lies behind this mark."
NONE_BEHIND = {
    "background": "Background errors are detections that fit no object, so this mark has no "
    "objects to show. Every other kind of error has."
}
BEHIND_COUNT = "{count} objects, {first} to {last} shown; those that lose most first."
BEHIND_ALL = "{count} objects; those that lose most first."
BEHIND_MOST = "The {count} objects that lose most, {first} to {last} shown."
BEHIND_MORE = "Next patches"
PATCHES = "Patches"
PATCH_CAPTION = "{category} · grid {grid}, best {oracle} · IoU {iou}"
PHOTOS_ABSENT = (
    "The photos of this run are not at hand, so the ground-truth silhouettes are drawn instead. "
    "To see photos, put them into a folder of this machine and name it under “Photos of this run”."
)
PHOTOS_ABSENT_PUBLIC = (
    "The photos of this run are not on this server, so the ground-truth silhouettes are drawn "
    "instead."
)
MASKS_ABSENT = "This run stores no masks, so only boxes can be drawn."
PHOTOS = "Photos of this run"
PHOTOS_FOLDER = "Folder with the photos, on this machine"
PHOTOS_INFO = "Photos are looked for by the file names in the run; nothing is copied."
PHOTOS_USE = "Use this folder"
PHOTOS_FOUND = "{found} of {looked} photos of this run that were looked for are in that folder."
PHOTOS_NOWHERE = (
    "Expected a folder with photos of this run, got {name}, which has none of the {looked} that "
    "were looked for; name the folder that holds {example}."
)
PHOTOS_PUBLIC = (
    "Expected uploads only, got a folder of the server; start the page without --public to use "
    "folders."
)
PATH_NONE = "Expected a path of this machine, got {name}; check it."
FOLDER_NONE = "Expected a folder of this machine, got {name}; check the path."
OPEN_IN_INSPECTOR = "Open in Inspect"
OPEN_NEEDS_PHOTO = "The photo is not at hand."
OBJECT = "Object {id} in {file}"
PATCH_GONE = "Expected a patch that is shown, got another; click a mark again."
PHOTO_OTHER_SIZE = (
    "Expected {name} at {width} x {height} px as the run has it, got {w} x {h} px; put the photo "
    "that the run was made with into the folder."
)
PHOTO_AS_STORED = (
    "This photo is shown as its file stores it, not turned upright: the boxes of this set are "
    "meant so."
)

# -- making a run
MAKE = "Make a run from your own COCO file and photos"
MAKE_FILE = "COCO file (instances JSON)"
MAKE_ZIP = "Zip of its photos"
MAKE_FILE_PATH = "Or its path on this machine"
MAKE_FOLDER = "Folder with its photos, on this machine"
MAKE_LOCAL = (
    "Photos in a folder of this machine are read where they are; a zip is unpacked. A run goes on "
    "when its page is closed."
)
MAKE_PUBLIC = (
    "Photos come as one zip; they are deleted together with the run. A run stops shortly after its "
    "last page is closed, and is resumed in the Runs tab. {limits}"
)
KEEP_LIMITS = (
    "You may keep {runs} runs with {gigabytes:g} GB in all; each is removed {hours:g} hours after "
    "you last looked at it."
)
KEEP_RUNS = "Expected at most {most} runs of yours, got one more; delete one in the Runs tab."
KEEP_BYTES = "Expected at most {most:g} GB of runs of yours, got more; delete one in the Runs tab."
KEEP_PHOTOS = (
    "Expected photos that fit into the {most:.0f} MB left for your runs, got more; zip fewer or "
    "smaller photos, or delete a run in the Runs tab."
)
KEEP_TABLES = (
    "Expected tables that fit into the {most:.1f} MB left for your runs, got more; delete another "
    "run in the Runs tab, then resume this one there."
)
KEEP_FULL = "Expected room for another run on this server, got a full one; try again tomorrow."
READ_WAITING = "Other COCO files are being read; this one follows."
READ_BUSY = "Expected a turn to read this COCO file, got a busy server; try again in a minute."
MAKE_NAME = "Name"
MAKE_NAME_INFO = "Letters, digits, dashes; empty: from the file's name and the time."
MAKE_POLICIES = "Policies to measure"
MAKE_POLICIES_INFO = (
    "Who chooses the grids at the ground-truth boxes. All of them share one look at each photo, so "
    "more policies cost little. Filters and comparisons offer those that are ticked; quality "
    "against cost is drawn for all, for the size rule only where it is ticked. At the detector's "
    "boxes the switch chooses; all fixed grids and budgets are compared there, too."
)
MAKE_NO_POLICY = "Expected at least one policy, got none; tick one."
MAKE_CHECK = "Check the file"
MAKE_START = "Start"
MAKE_STOP = "Stop"
MAKE_IDLE = "Choose a COCO file and its photos, then press Start. Stopped runs can be resumed."
MAKE_NO_FILE = "Expected a COCO file, got none; upload one or name its path."
MAKE_NO_PHOTOS = "Expected the photos, got none; upload a zip or name their folder."
MAKE_TWO = "Expected one source of {what}, got an upload and a path; clear one of them."
MAKE_LARGE = "Expected a COCO file of at most {most} MB, got {size:.0f} MB; use python -m analysis."
MAKE_NOT_ZIP = "Expected a zip of photos, got another file ({name}); zip the photos' folder."
MAKE_UNPACKING = "Reading the photos of the zip: {done} so far."
RESUME_MOVED = (
    "Expected the photos and the COCO file of {name} where they were, got nothing there; put them "
    "back, or make the run again."
)
MAKE_BUSY = "Expected a free model, got a run that is being made ({name}); wait or stop it."
MAKE_CLAIMED = (
    "Expected a free model, got another run whose photos are being read; try again in a minute."
)
MAKE_DISK = "Expected room on the server's disk for the photos, got none; try again later."
MAKE_COPY = (
    "Expected to copy the files beside the run, got an error of the server ({why}); choose the "
    "files again, and if that does not help see its log."
)
MAKE_PHOTO_PLACE = "Expected a name that can be a file beside the other photos, got {name}."
MAKE_PHOTO_UNSURE = (
    "Expected the zip to hold {name} as the COCO file names it, got {other}, which only shares its "
    "last name; zip the photos in the folders that the file names."
)
MAKE_TAKEN = "Expected a new name, got {name}, which exists; choose another."
MAKE_NO_PLACE = (
    "Expected a folder for runs that can be written to, got one that cannot; start the page with "
    "{env} set to another folder."
)
MAKE_BAD_NAME = "Expected a name of letters, digits, dashes and dots, got {name}; change it."
MAKE_NOT_IN_ZIP = (
    "Expected the photos that {file} names, got a zip with none of them; zip the folder that holds "
    "{example}."
)
MAKE_STARTING = "Checking the file and loading the model."
MAKE_RUNNING = "{done} of {total}; about {left} left, {speed:.2g} photos a second."
MAKE_FIRST = "{done} of {total}."
MAKE_STOPPING = "Stopping after the photo that is worked on."
MAKE_STOPPED = "Stopped after {done} of {total}. Resume it in the Runs tab."
MAKE_DONE = "Done: {done} of {total}. The Dataset tab has it among its runs."
MAKE_FAILED = "The run stopped with an error that the server's log explains; resume it to go on."
MAKE_PROGRESS = "Progress of the run"

# -- what was skipped
REPORT_OK = "{images}, {annotations}, {categories}; all can be used."
REPORT_SKIPPED = "{images}, {annotations}, {categories}. {skipped} left out or repaired:"
REPORT_TITLE = "What was found in the COCO file"
REPORT_MORE = "The first {shown} of {total} are shown; the Runs tab exports all of them."
REPORT_COLUMNS = ("What", "Id", "Photo id", "What becomes of it", "Problem")

# -- report
REPORT = "Download report (HTML)"
REPORT_NEEDS_RUN = "Expected a run with finished photos, got none; choose or make one."

FACT_HEADS = ("Grid", "Probability", "Mask IoU", "Boundary IoU")
STATES = {
    "shipped": "shipped",
    "done": "finished",
    "running": "being made",
    "stopped": "stopped",
    "unreadable": "cannot be read",
}
"""Where a run stands, as the page says it."""
