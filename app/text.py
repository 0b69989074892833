"""Every string that a user reads, in one place: for one voice now, and for translations later."""

from __future__ import annotations

TITLE = "DynaMask Studio"
TAGLINE = (
    "Every object found in a photo, its mask at the grid that a small switch chose for it, "
    "and what that cost."
)
TAB_INSPECT = "Inspect"

# -- the model
MODEL_SLOW = (
    "Expected the model to be ready within {seconds:g} s, it is still being loaded; "
    "try again in a minute."
)
MODEL_FAILED = (
    "Expected weights that can be loaded, got an error that the server's log explains; "
    "start it with other weights: python -m app --weights FILE."
)
NO_MODEL = "No model is loaded, so photos cannot be analysed."

# -- the photo
DROP_PHOTO = "Drop a photo here\nto see the mask grid of every object in it"
PHOTO_LABEL = "Photo"
EXAMPLES = "Or try one of these"
PHOTO_FORGOTTEN = (
    "Expected a photo that is still in memory, got one that has been dropped from it; "
    "choose the photo again."
)
NO_FILE = "Expected a photo file, got none; choose a photo."
NOT_UPLOADED = "Expected an uploaded photo, got another file of the server; upload the photo."
UNEXPECTED = (
    "Expected this to work, got an error that the server's log explains; "
    "try again, or try another photo."
)

# -- the result
NOTHING_FOUND = (
    "Nothing was found at a score of {score:.2f} or more. Lower the smallest score, "
    "or draw a box around an object to get its mask."
)
NOTHING_VOUCHED = (
    "Nothing that the model is good at was found at a score of {score:.2f} or more. "
    "Switch on “Show everything found”, lower the smallest score, or draw a box around an object."
)
OBJECTS = {0: "No objects", 1: "1 object"}
OBJECTS_MANY = "{count} objects"
COST = "This photo: {gmac} GMAC in masks, {share} of all-112."
COST_NONE = "This photo: no masks, no cost."
DRAWN_NAME = "drawn box"
BOXES_BY = "Boxes and classes by {name}; masks by this model."

# -- controls
POLICY = "Who chooses the grid"
POLICIES = {
    "msm": "Switch",
    "budget": "Budget",
    "size": "Size rule",
    "random:equal": "Random",
    "oracle": "Oracle",
    "fixed:14": "All 14",
    "fixed:28": "All 28",
    "fixed:56": "All 56",
    "fixed:112": "All 112",
}
POLICY_HELP = {
    "msm": "The Mask Switch Module picks each object's grid.",
    "budget": "The grids that the switch likes best within the budget below{share}.",
    "size": "The grid follows from the size of the box alone; the switch is not asked.",
    "random": "Grids by chance, at the mean cost that the switch's own choice has here.",
    "oracle": "The grid that fits the ground truth best: an upper bound, needs a COCO JSON.",
    "fixed": "Every object leaves at grid {grid}; the switch is not asked.",
}
BUDGET = "Budget, GMAC per object"
BUDGET_INFO = "Shared by all objects of the photo, from all at 14 to all at 112."
BUDGET_SHARE = ", {share:.0%} of all-112"
THRESHOLD = "Mask threshold"
THRESHOLD_INFO = "Pixels above it are the object's."
MIN_SCORE = "Smallest score"
MIN_SCORE_INFO = "Objects below it are left out."

# -- the card of one object
CARD_TITLE = "Selected object"
CARD_EMPTY = "Select an object in the picture or the table to see why it got its grid."
CARD_WAITING = (
    "Once a photo is analysed, the object you select is explained here; plots of all objects and "
    "views inside the model follow below."
)
CARD_PROBABILITY = "What the switch thinks of each grid"
CARD_COST = "What leaving there costs, GMAC"
CARD_SWITCH = "Asking the switch cost {gmac} GMAC more."
CARD_NO_SWITCH = "This policy does not ask the switch, so it costs nothing."
CARD_UNKNOWN_CLASS = "The class of a drawn box is not known."

CARD_STRIP = "The same object at every grid"
CARD_STRIP_ABOUT = (
    "IoU and boundary IoU to the mask of grid 112{truth}; GMAC of the object's own stages; "
    "milliseconds measured on this server, for this object alone."
)
CARD_STRIP_TRUTH = ", and to ground truth (second line, white outline)"
CARD_FRAME = "Grid {grid}: IoU {iou:.2f} and boundary IoU {biou:.2f} to grid 112"
CARD_CROP = "{name} at grid {grid}"
CARD_FLIP = "With a shared budget it flips to {grid} below {budget} GMAC per object."
CARD_FLIP_NEVER = "Whatever the budget, it stays at {grid}: the switch likes it best."
CARD_FLIP_OTHER = "A shared budget would give it {path}."
CARD_FLIP_START = "{grid} at first"
CARD_FLIP_FROM = "{grid} from {budget} GMAC per object on"
EDGES = "Show edge maps"
OVERRIDE = "Grid of this object"
AUTO = "Auto"
BY_HAND = "set by hand"
REACH = (
    "On this photo {low} to {high} change something; above, every object has the grid that the "
    "switch likes best."
)
REACH_NONE = "On this photo no budget changes anything: every object stays at grid 14."

# -- classes that the weights do not vouch for
HIDDEN = (
    "{objects} hidden, of classes that the model is not good at: AP50 (box) below {limit} on its "
    "validation photos. “{every}” brings them back."
)
UNSURE = (
    "{objects} shown of classes that the model is not good at: AP50 (box) below {limit} on its "
    "validation photos. It found nothing surer here, so take the names with care."
)
DOUBLES = (
    "Likely doubles hidden: {objects} that overlap a surer one of the same class by an IoU above "
    "{overlap:g}. “{every}” brings them back."
)
EVERYTHING = "Show everything found"
EVERYTHING_INFO = (
    "Otherwise only classes that the model is good at, unless a photo has nothing else, and no "
    "likely doubles."
)

# -- boxes and ground truth from a file
DRAWN_LABEL = "Its class"
DRAWN_LABEL_NONE = "unknown"
LOAD_TRUTH = "Load ground truth"
LOAD_BOXES = "Load boxes"
COCO_FILES = "Ground truth and boxes from a COCO JSON"
TRUTH_LOADED = "Ground truth from {file}: {objects}; {matched} of those shown match one."
TRUTH_SKIPPED = " {count} annotations of the file were left out as unusable."
BOXES_LOADED = "{count} boxes from {file}."
TRUTH_NEEDED = (
    "Expected ground truth for the oracle, got a photo without any; load a COCO JSON for it first, "
    "or choose another policy."
)
TRUTH_OTHER = (
    "Expected {name} in {file}, got {count} other photos; keep the photo's name as it is in the "
    "annotations."
)
TRUTH_SIZE = (
    "Expected annotations of this {width}x{height} px photo, got some for {w}x{h} px; load those "
    "made for it."
)
TRUTH_LARGE = "Expected a COCO file of at most {most} MB, got a larger one; cut out the photo."
BOXES_NONE = "Expected boxes for {name} in {file}, got none; check the names in the file."

# -- downloads
NOTHING_TO_SAVE = "Expected an analysed photo to save, got none; choose a photo."

# -- events
BOX_OUTSIDE = (
    "Expected a box of at least {side:g} pixels inside the photo, got a smaller one; "
    "drag across the object."
)
BOX_MANY = "Expected at most {most} drawn boxes, got another one; remove one first."
EVENT_ODD = "Expected {what}, got something else; reload the page."


def objects(count: int) -> str:
    """``3 objects``."""
    return OBJECTS.get(count, OBJECTS_MANY.format(count=count))


def several(count: int, one: str, many: str = "") -> str:
    """``1 photo``, ``3,000 photos``; ``many`` where it is not ``one`` with an s."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def gmac(value: float) -> str:
    """GMAC with as many digits as a reader can use: ``0.058``, ``1.24``, ``12.3``."""
    return f"{value:.3f}" if value < 1 else f"{value:.3g}"


def policy_help(policy: str, share: float | None = None) -> str:
    """One sentence on what a choice of the policy control does.

    Args:
        policy: a key of POLICIES.
        share: the budget as a part of what an object costs at grid 112; None leaves it out.
    """
    kind, _, grid = str(policy).partition(":")  # a browser may send anything
    part = "" if share is None else BUDGET_SHARE.format(share=share)
    return POLICY_HELP.get(kind, "").format(grid=grid, share=part)
