"""What the Dataset tab says of a new run as HTML: its COCO file, its zip, and how far it is."""

from __future__ import annotations

from html import escape

from analysis.coco_io import Dataset
from app import text
from app import text_dataset as words
from app.batch_job import time_left
from app.dataset_job import Look
from app.dataset_make import Unpacked
from app.dataset_views import table_html

MAX_ROWS = 200  # of the report on the page


def report_html(dataset: Dataset) -> str:
    """What a COCO file holds, and what of it is left out or repaired, with the reason."""
    coco, problems = dataset.coco, dataset.problems
    counts = {
        "images": text.several(len(coco.images), "photo"),
        "annotations": text.several(coco.annotation_count, "annotation"),
        "categories": text.several(len(coco.category_names), "class", "classes"),
    }
    if not problems:
        said = escape(words.REPORT_OK.format(**counts))
        return f'<p role="status" data-testid="coco-report">{said}</p>'
    skipped = text.several(len(problems), "entry is", "entries are")
    said = words.REPORT_SKIPPED.format(skipped=skipped, **counts)
    body = [
        [p["place"], _known(p["id"]), _known(p["image_id"]), p["outcome"], p["reason"]]
        for p in problems[:MAX_ROWS]
    ]
    table = table_html(words.REPORT_TITLE, said, list(words.REPORT_COLUMNS), body)
    more = ""
    if len(problems) > MAX_ROWS:
        note = words.REPORT_MORE.format(shown=MAX_ROWS, total=len(problems))
        more = f'<p class="dm-muted">{escape(note)}</p>'
    return f'<div data-testid="coco-report">{table}{more}</div>'


def unpacked_html(done: Unpacked) -> str:
    """Photos of a zip that could not be used."""
    lines = "".join(
        f"<li><strong>{escape(name)}</strong> {escape(why)}</li>" for name, why in done.problems
    )
    return f'<ul data-testid="zip-problems">{lines}</ul>' if lines else ""


def progress_html(look: Look) -> str:
    """A bar and a sentence."""
    if look.state == "failed":
        return (
            '<div class="dm-alert" role="alert" data-testid="make" data-state="failed">'
            f"{escape(look.problem)}</div>"
        )
    facts: dict = {"done": look.done, "total": text.several(look.total, "photo")}
    if look.state == "stopping":
        said = words.MAKE_STOPPING
    elif look.state == "stopped":
        said = words.MAKE_STOPPED.format(**facts)
    elif look.state == "done":
        said = words.MAKE_DONE.format(**facts)
    elif not look.total:
        said = words.MAKE_STARTING
    elif look.left is None:
        said = words.MAKE_FIRST.format(**facts)
    else:
        said = words.MAKE_RUNNING.format(left=time_left(look.left), speed=look.speed, **facts)
    return (
        f'<div data-testid="make" data-state="{look.state}" data-done="{look.done}">'
        f'<progress max="{max(look.total, 1)}" value="{look.done}" '
        f'aria-label="{escape(words.MAKE_PROGRESS)}"></progress>'
        f'<p role="status">{escape(f"{look.name}: {said}")}</p></div>'
    )


def _known(value: object) -> object:
    return "" if value is None else value
