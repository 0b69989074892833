"""Strings of the Runs tab."""

from __future__ import annotations

LIST = "Runs"
LIST_INFO = "Own runs first, the newest above; then the shipped one, which stays as it is."
NONE = "There is no run yet; make one in the Dataset tab, or with python -m analysis run."
CHOOSE = "Choose a run to see what it is."
REFRESH = "Look again"
SHOW = "Show in Dataset"
RESUME = "Resume"
STOP = "Stop"
DELETE = "Delete…"
DELETE_ASK = "Delete {name} with all its numbers{photos}? This cannot be undone."
DELETE_PHOTOS = " and the photos that were uploaded for it"
DELETE_YES = "Delete it"
DELETE_NO = "Keep it"
DELETED = "{name} is deleted."
RESUME_DONE = "Expected a run that is not finished, got {name}, which is; open it instead."

# -- details
STATE_DONE = "It is finished."
STATE_RUNNING = "It is being made: {done} of {total} photos are done."
STATE_STOPPED = "It is stopped: {done} of {total} photos are done. Resume it to go on."
STATE_UNREADABLE = "It cannot be read: {problem}"
FACT_OBJECTS = "It measures {objects:,} annotated objects on {photos:,} photos{crowds}."
FACT_CROWDS = "; {crowds:,} of them are crowd regions, which the Dataset tab leaves out at first"
FACT_CROWD = "; one of them is a crowd region, which the Dataset tab leaves out at first"
FACT_POLICIES = "At its ground-truth box every object was decoded with grids by: {policies}."
FACT_DETECTOR = "At the detector's boxes with grids by: {policies}."
FACT_WEIGHTS = "The weights are {weights} (SHA-256 {sha}…)."
FACT_DATA = "The annotations are {coco}."
FACT_MADE = "It was started {made}."
FACT_SIZE = "Its files take {size}."
NOT_PUBLIC = "Its folder: {path}"

PROBLEMS = "Problems of the data"
PROBLEMS_NONE = "Every photo and annotation of the file was used."
PROBLEMS_UNKNOWN = (
    "This run keeps no list of problems, so whether anything was left out is not known."
)
PROBLEMS_HINT = (
    "{count:,} entries were left out or repaired. The first {shown:,} are listed; the export has "
    "all."
)
PROBLEMS_ONE = "One entry was left out or repaired."
PROBLEM_HEADS = ("What", "Id", "Photo id", "What became of it", "Problem")

# -- comparing
COMPARE = "Compare two runs"
COMPARE_HINT = (
    "Differences are paired over the photos that both runs have finished; the interval is a 95 % "
    "bootstrap interval over photos. “No clear difference” means that it holds zero."
)
COMPARE_FIRST = "First run"
COMPARE_SECOND = "Second run"
COMPARE_POLICY = "Policy (who chooses the grid)"
COMPARE_BOXES = "Boxes"
COMPARE_START = "Compare"
COMPARE_SAME = "Expected two different runs, got one twice; choose another second run."
COMPARE_TWO = "Expected two runs, got fewer; choose a first and a second run."
COMPARE_NO_POLICY = "Expected runs that share a policy at these boxes, got none; choose other runs."
COMPARE_NOTHING = (
    "The two runs share no photo with objects of policy {policy}, so they cannot be compared."
)
COMPARE_TITLE = "{second} against {first}, policy {policy}, {boxes} boxes"
COMPARE_METRIC = "{metric} ({unit})"
COMPARE_VERDICTS = {
    "higher": "second is higher",
    "lower": "second is lower",
    "no clear difference": "no clear difference",
    "not known": "not known",
}
COMPARE_NO_INTERVAL = "needs two photos"
COMPARE_HEADS = (
    *("Metric", "Verdict", "Difference", "95 % interval", "First", "Second"),
    *("Objects", "Photos"),
)

# -- taking it away
EXPORT = "Take it away"
EXPORT_FORMAT = "Format"
EXPORT_FORMATS = {
    "parquet": "Parquet, one row per object and policy",
    "csv": "CSV, the same rows",
    "problems": "CSV of the problems",
    "html": "Report (HTML)",
}
EXPORT_START = "Prepare the file"
EXPORT_LARGE = (
    "Expected at most {most:,} rows to export as CSV here, got {rows:,}; export Parquet instead."
)
EXPORT_NO_PROBLEMS = (
    "Expected a run with a list of problems, got {name}, which keeps none; choose another format."
)
EXPORT_READY = "{name}, {size}. If the download does not start, press the button again."


def size(count: int) -> str:
    """Bytes as people read them: ``12 kB``, ``2.6 MB``."""
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.0f} kB"
