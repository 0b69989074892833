"""The card of the selected object: why it got its grid, and what each grid would cost."""

from __future__ import annotations

from html import escape

from app import text
from app.picture import object_name
from app.session import Decoded
from dynamask.config import GRIDS
from dynamask.cost import CostTable
from dynamask.palette import GRID_COLOURS


def empty_card(sentence: str = text.CARD_EMPTY) -> str:
    """The card while nothing is selected."""
    return (
        '<section class="dm-card" data-testid="detail" data-selected="">'
        f"<h3>{escape(text.CARD_TITLE)}</h3><p class='dm-muted'>{escape(sentence)}</p></section>"
    )


def object_card(decoded: Decoded, object_id: int | None, costs: CostTable, area: int | None) -> str:
    """HTML of one object's card.

    Args:
        decoded: the photo's objects.
        object_id: which one; the empty card where it is not among them.
        costs: of the model.
        area: of the mask in photo pixels; None leaves it out.
    """
    row = decoded.row(object_id)
    if row is None:
        return empty_card()
    instances, selection = decoded.instances, decoded.instances.selection
    drawn = int(decoded.ids[row]) >= decoded.first_drawn
    grid = int(selection.grids[row])
    x1, y1, x2, y2 = (float(v) for v in instances.boxes_xyxy_px[row])
    facts = [
        ("Score", "\u2013" if drawn else f"{float(instances.scores[row]):.2f}"),
        ("Box", f"{x1:.0f}, {y1:.0f} to {x2:.0f}, {y2:.0f} px"),
    ]
    if area is not None:
        facts.append(("Mask", f"{area:,} px²"))
    facts.append(("Cost", f"{text.gmac(float(selection.gmac[row]))} GMAC"))
    rows = "".join(f"<dt>{escape(k)}</dt><dd>{escape(v)}</dd>" for k, v in facts)
    note = f"<p class='dm-muted'>{escape(text.CARD_UNKNOWN_CLASS)}</p>" if drawn else ""
    switch = (
        text.CARD_SWITCH.format(gmac=text.gmac(costs.switch_mac / 1e9))
        if selection.pays_switch
        else text.CARD_NO_SWITCH
    )
    return (
        f'<section class="dm-card" data-testid="detail" data-selected="{int(decoded.ids[row])}" '
        f'data-grid="{grid}">'
        f"<h3>{escape(object_name(decoded, row))}"
        f'<span class="dm-badge"><i style="background:{GRID_COLOURS[grid]}"></i>'
        f"grid {grid}</span></h3>{note}<dl>{rows}</dl>"
        f"{_bars(text.CARD_PROBABILITY, _probabilities(decoded, row), grid)}"
        f"{_bars(text.CARD_COST, _costs(costs), grid)}"
        f"<p class='dm-muted'>{escape(switch)}</p></section>"
    )


def _probabilities(decoded: Decoded, row: int) -> list[tuple[int, float, str]]:
    values = decoded.instances.selection.probabilities[row]
    return [(g, float(p), f"{float(p):.0%}") for g, p in zip(GRIDS, values, strict=True)]


def _costs(costs: CostTable) -> list[tuple[int, float, str]]:
    most = max(costs.exits)
    return [(g, mac / most, text.gmac(mac / 1e9)) for g, mac in costs.exit_mac.items()]


def _bars(title: str, values: list[tuple[int, float, str]], chosen: int) -> str:
    """A small bar chart that is a table to those who do not see it."""
    rows = "".join(
        f"<tr{' class=chosen' if grid == chosen else ''}><th scope='row'>{grid}</th>"
        f"<td class='bar'><i style='width:{100 * min(max(share, 0), 1):.1f}%;"
        f"background:{GRID_COLOURS[grid]}'></i></td><td>{escape(shown)}</td></tr>"
        for grid, share, shown in values
    )
    return f"<table class='dm-bars'><caption>{escape(title)}</caption>{rows}</table>"
