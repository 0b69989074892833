"""The card of the selected object: why it got its grid, and what each grid would cost."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

import numpy as np

from app import filmstrip, text
from app import text_page as words
from app.picture import object_name
from app.session import Decoded
from dynamask.allocation import budget_path
from dynamask.config import GRIDS
from dynamask.cost import CostTable
from dynamask.palette import GRID_COLOURS

if TYPE_CHECKING:
    from dynamask.strip import Strip


def empty_card(sentence: str = text.CARD_EMPTY) -> str:
    """The card while nothing is selected."""
    return (
        '<section class="dm-card" data-testid="detail" data-selected="">'
        f"<h3>{escape(text.CARD_TITLE)}</h3><p class='dm-muted'>{escape(sentence)}</p></section>"
    )


def object_card(
    decoded: Decoded,
    object_id: int | None,
    costs: CostTable,
    strip: Strip | None = None,
    pixels: np.ndarray | None = None,
) -> str:
    """HTML of one object's card.

    Args:
        decoded: the photo's objects.
        object_id: which one; the empty card where it is not among them.
        costs: of the model.
        strip: the object at every grid; without it the card has no pictures.
        pixels: (H, W, 3) uint8 RGB photo, for the crop.
    """
    row = decoded.row(object_id)
    if row is None:
        return empty_card()
    instances, selection = decoded.instances, decoded.instances.selection
    identity = int(decoded.ids[row])
    drawn = identity >= decoded.first_drawn
    grid = int(selection.grids[row])
    hand = f" · {text.BY_HAND}" if identity in decoded.by_hand else ""
    unknown = drawn and int(instances.labels[row]) < 0
    note = f"<p class='dm-muted'>{escape(text.CARD_UNKNOWN_CLASS)}</p>" if unknown else ""
    pictures = ("", "")
    if strip is not None and pixels is not None:
        pictures = _pictures(decoded, row, strip, pixels)
    return (
        f'<section class="dm-card" data-testid="detail" data-selected="{identity}" '
        f'data-grid="{grid}">'
        f"<h3>{escape(object_name(decoded, row))}"
        f'<span class="dm-badge"><i style="background:{GRID_COLOURS[grid]}"></i>'
        f"grid {grid}{escape(hand)}</span></h3>{note}<div class='dm-top'>{pictures[0]}"
        f"{_bars(text.CARD_PROBABILITY, _probabilities(decoded, row), grid)}</div>"
        f"{_flips(decoded, row, costs)}{pictures[1]}"
        f"{_facts(decoded, row, strip, costs)}</section>"
    )


def _pictures(decoded: Decoded, row: int, strip: Strip, pixels: np.ndarray) -> tuple[str, str]:
    instances = decoded.instances
    grid = int(instances.selection.grids[row])
    box = instances.boxes_xyxy_px[row].numpy()
    window = filmstrip.window_of(box, instances.image_size)
    frame = strip.frames[GRIDS.index(grid)]
    label = text.CARD_CROP.format(name=object_name(decoded, row), grid=grid)
    crop = filmstrip.frame_svg(strip, frame, window, box, label)
    source = filmstrip.source_svg(pixels, window)
    return (
        f"{source}<div class='dm-cropbox' data-testid='crop'>{crop}</div>",
        filmstrip.strip_html(strip, window, box, grid),
    )


def _facts(decoded: Decoded, row: int, strip: Strip | None, costs: CostTable) -> str:
    instances, selection = decoded.instances, decoded.instances.selection
    drawn = int(decoded.ids[row]) >= decoded.first_drawn
    x1, y1, x2, y2 = (float(v) for v in instances.boxes_xyxy_px[row])
    facts = [
        (words.FACT_SCORE, "\u2013" if drawn else f"{float(instances.scores[row]):.2f}"),
        (words.FACT_BOX, words.FACT_BOX_VALUE.format(x1=x1, y1=y1, x2=x2, y2=y2)),
    ]
    if strip is not None:
        frame = strip.frames[GRIDS.index(int(selection.grids[row]))]
        facts.append((words.FACT_MASK, f"{int(frame.mask.sum()):,} px²"))
    facts.append((words.FACT_COST, f"{text.gmac(float(selection.gmac[row]))} GMAC"))
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts)
    switch = (
        text.CARD_SWITCH.format(gmac=text.gmac(costs.switch_mac / 1e9))
        if selection.pays_switch
        else text.CARD_NO_SWITCH
    )
    return f"<dl>{rows}</dl><p class='dm-muted dm-small'>{escape(switch)}</p>"


def _flips(decoded: Decoded, row: int, costs: CostTable) -> str:
    """The budgets at which the shared budget gives this object another grid."""
    selection = decoded.instances.selection
    path = budget_path(selection.probabilities, costs.exit_macs(pays_switch=True))
    steps = path.steps_of(row)
    if not steps:
        said = text.CARD_FLIP_NEVER.format(grid=GRIDS[0])
        return f"<p data-testid='flips'>{escape(said)}</p>"
    parts = [text.CARD_FLIP_START.format(grid=steps[0][0])]
    parts += [
        text.CARD_FLIP_FROM.format(grid=after, budget=text.gmac(budget / 1e9))
        for _, after, budget in steps
    ]
    said = text.CARD_FLIP_OTHER.format(path=", ".join(parts))
    now = [(before, b) for before, after, b in steps if after == int(selection.grids[row])]
    first = ""
    if now:
        words = text.CARD_FLIP.format(grid=now[0][0], budget=text.gmac(now[0][1] / 1e9))
        first = f"<strong>{escape(words)}</strong> "
    return f"<p data-testid='flips'>{first}<span class='dm-muted'>{escape(said)}</span></p>"


def reach_line(decoded: Decoded, costs: CostTable, bounds: tuple[float, float]) -> str:
    """Which budgets change anything on this photo: a band below the slider, and a sentence.

    Args:
        decoded: the photo's objects.
        costs: of the model.
        bounds: the slider's ends in GMAC per object.
    """
    if not len(decoded.instances):
        return ""
    probabilities = decoded.instances.selection.probabilities
    low, high = (
        mac / 1e9 for mac in budget_path(probabilities, costs.exit_macs(pays_switch=True)).range_mac
    )
    band = ""
    if high <= low:
        said = text.REACH_NONE
    else:
        ends = {"low": text.gmac(low), "high": text.gmac(high)}
        said = text.REACH.format(**ends)
        left, right = (
            100 * min(max((end - bounds[0]) / max(bounds[1] - bounds[0], 1e-9), 0), 1)
            for end in (low, high)
        )
        band = (
            f"<div class='dm-band' role='img' aria-label='{escape(words.BAND.format(**ends))}'>"
            f"<i style='left:{left:.1f}%;width:{max(right - left, 1):.1f}%'></i></div>"
        )
    return f"{band}<p class='dm-muted dm-small' data-testid='reach'>{escape(said)}</p>"


def _probabilities(decoded: Decoded, row: int) -> list[tuple[int, float, str]]:
    values = decoded.instances.selection.probabilities[row]
    return [(g, float(p), f"{float(p):.0%}") for g, p in zip(GRIDS, values, strict=True)]


def _bars(title: str, values: list[tuple[int, float, str]], chosen: int) -> str:
    """A small bar chart that is a table to those who do not see it."""
    rows = "".join(
        f"<tr{' class=chosen' if grid == chosen else ''}><th scope='row'>{grid}</th>"
        f"<td class='bar'><i style='width:{100 * min(max(share, 0), 1):.1f}%;"
        f"background:{GRID_COLOURS[grid]}'></i></td><td>{escape(shown)}</td></tr>"
        for grid, share, shown in values
    )
    return f"<table class='dm-bars'><caption>{escape(title)}</caption>{rows}</table>"
