"""SortTable: a table whose rows a click on a column's head sorts, in the browser."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from app.widgets.show_only import ShowOnly
from app.widgets.stubless import no_stub_files

_SCRIPT = """
element.addEventListener('click', (event) => {
  const button = event.target.closest('th button');
  if (!button) return;
  const head = button.parentElement, at = head.cellIndex, table = head.closest('table');
  const numbers = head.dataset.kind === 'number';
  const first = numbers ? 'descending' : 'ascending';  // the best number is looked for first
  const other = numbers ? 'ascending' : 'descending';
  const order = head.getAttribute('aria-sort') === first ? other : first;
  for (const one of table.tHead.rows[0].cells) one.removeAttribute('aria-sort');
  head.setAttribute('aria-sort', order);
  const sign = order === 'ascending' ? 1 : -1;
  const said = (row) => row.cells[at].dataset.sort || row.cells[at].textContent;
  const compared = (a, b) => numbers ? Number(a) - Number(b) : a.localeCompare(b);
  const rows = [...table.tBodies[0].rows].sort((a, b) => {
    const [one, two] = [said(a), said(b)];
    if (!one || !two) return Number(!one) - Number(!two);  // empty cells stay last
    return sign * compared(one, two);
  });
  table.tBodies[0].append(...rows);
});
"""

with no_stub_files():

    class SortTable(ShowOnly):
        """Shows what :func:`sort_table_html` returns."""

        def __init__(self, value: str = "", **kwargs: Any) -> None:
            super().__init__(value, js_on_load=_SCRIPT, apply_default_css=False, **kwargs)


def sort_table_html(
    title: str,
    heads: Sequence[str],
    rows: Sequence[Sequence[Any]],
    *,
    decimals: int = 1,
    by: int | None = None,
) -> str:
    """A table under a title; the first cell of a row is its name, and every cell is text.

    Args:
        title: above the table.
        heads: of the columns.
        rows: texts, numbers, (text, number that it is sorted by), or None for nothing.
        decimals: of all numbers.
        by: the column that the rows already are sorted by: numbers falling, texts rising.
    """
    columns = [[row[k] for row in rows] for k in range(len(heads))]
    kinds = [any(isinstance(v, int | float | tuple) for v in column) for column in columns]
    right = [any(isinstance(v, int | float) for v in column) for column in columns]
    said = "".join(
        f'<th scope="col" data-kind="{"number" if kinds[k] else "text"}"'
        + (" class=number" if right[k] else "")
        + (f' aria-sort="{"descending" if kinds[k] else "ascending"}"' if k == by else "")
        + f'><button type="button">{escape(head)}<i aria-hidden="true"></i></button></th>'
        for k, head in enumerate(heads)
    )
    lines = []
    for row in rows:
        cells = "".join(
            f"<td{' class=number' if right[k] else ''}{_key(value)}>{_cell(value, decimals)}</td>"
            for k, value in enumerate(row)
            if k
        )
        name = f'<th scope="row"{_key(row[0])}>{_cell(row[0], decimals)}</th>'
        lines.append(f"<tr>{name}{cells}</tr>")
    return (
        f'<section class="dm-table dm-sort" data-testid="sort-table"><h3>{escape(title)}</h3>'
        f'<div class="dm-scroll" tabindex="0" role="region" aria-label="{escape(title)}">'
        f"<table><thead><tr>{said}</tr></thead><tbody>{''.join(lines)}</tbody></table>"
        "</div></section>"
    )


def _cell(value: Any, decimals: int) -> str:
    if value is None:
        return ""
    if isinstance(value, tuple):
        return escape(str(value[0]))
    return f"{value:.{decimals}f}" if isinstance(value, int | float) else escape(str(value))


def _key(value: Any) -> str:
    return f' data-sort="{float(value[1])}"' if isinstance(value, tuple) else ""
