"""The method's published comparison table, and where this project's presets stand in it.

The numbers are those of assets/published_results.csv (COCO test-dev mask AP in percent, from the
slides of "DynaMask: Dynamic Mask Selection for Instance Segmentation", CVPR 2023). A
dagger in that table is kept as its column ``dagger``. Nothing of it was measured here.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import pandas as pd

from analysis.figures import THEMES, Figure, frame
from dynamask.errors import DataError

CSV_FILE = Path(__file__).resolve().parents[1] / "assets" / "published_results.csv"
TEXT_COLUMNS = ("method", "backbone", "schedule")
AP_COLUMNS = ("AP", "AP50", "AP75", "APS", "APM", "APL")
NOT_REPRODUCED = "not reproduced"
LABEL_AP = 0.3
"""Labels of marks closer than this, in percent of AP, would lie on one another."""

PRESET_OF = {"ResNet-50-FPN": "resnet50_fpn", "ResNet-101-FPN": "resnet101_fpn"}
PRESET_OF["ResNeXt-101-FPN"] = "resnext101_64x4d_fpn"
"""Backbone as the table writes it -> the preset of this project with the same layer shapes."""


def read_published(path: str | Path = CSV_FILE) -> pd.DataFrame:
    """Read the table.

    Returns:
        method, backbone, schedule (text), AP to APL (percent, NaN where not published), dagger
        (bool), preset (ours with these shapes, "" for other methods), status ("not reproduced"
        for rows with a preset, "" otherwise).

    Raises:
        DataError: the file is missing or not this table.
    """
    wanted = [*TEXT_COLUMNS, *AP_COLUMNS, "dagger"]
    try:
        with Path(path).open(newline="", encoding="utf-8") as file:
            lines = (line for line in file if not line.startswith("#"))
            rows = list(csv.DictReader(lines))
        frame_ = pd.DataFrame(rows)[wanted]
        for name in AP_COLUMNS:
            frame_[name] = pd.to_numeric(frame_[name].replace("", None))
        frame_["dagger"] = frame_["dagger"].astype(int).astype(bool)
    except (OSError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"Expected the published table with columns {', '.join(wanted)} at {path}, got none "
            f"({error}); restore the file from the repository."
        ) from error
    own = frame_["method"] == "DynaMask"
    frame_["preset"] = frame_["backbone"].map(PRESET_OF).where(own, "").fillna("")
    frame_["status"] = frame_["preset"].map(lambda p: NOT_REPRODUCED if p else "")
    return frame_


def published_table(by: str = "AP", falling: bool = True) -> pd.DataFrame:
    """The table sorted by a column; unpublished numbers last.

    Raises:
        DataError: an unknown column, or no table.
    """
    table = read_published()
    if by not in table.columns:
        raise DataError(
            f"Expected a column of {', '.join(table.columns)} to sort by; got {by!r}. Choose one."
        )
    return table.sort_values(
        by, ascending=not falling, na_position="last", kind="stable", ignore_index=True
    )


def published_figure(theme: str = "light") -> Figure:
    """Chart of AP against backbone and schedule, this project's presets marked not reproduced."""
    table = read_published()
    table["group"] = table["backbone"] + ", " + table["schedule"]
    # from the smaller backbone to the larger, and from short to long training
    table = table.assign(
        size=table["backbone"].map(_backbone_size), long=table["schedule"].map(epochs)
    )
    order = list(table.sort_values(["size", "long"], kind="stable")["group"].unique())
    table["place"] = _label_places(table)
    data = []
    for own, name, symbol in (
        (False, "other methods", "circle-open"),
        (True, f"DynaMask, published ({NOT_REPRODUCED} here)", "star"),
    ):
        rows = table[(table["preset"] != "") == own]
        label = rows["method"] + rows["dagger"].map({True: " †", False: ""})
        data.append(
            {
                "type": "scatter",
                "mode": "markers+text",
                "name": name,
                "x": rows["group"],
                "y": rows["AP"],
                "text": label,
                "textposition": rows["place"],
                "textfont": {"size": 10},
                "marker": {"symbol": symbol, "size": 12, "color": THEMES[theme]["accent"]},
                "hovertext": [
                    f"{m}{f'<br>preset {p}: {s}' if p else ''}<br>AP {a:.1f}"
                    for m, p, s, a in zip(
                        label, rows["preset"], rows["status"], rows["AP"], strict=True
                    )
                ],
                "hoverinfo": "text",
            }
        )
    xaxis = {"type": "category", "categoryorder": "array", "categoryarray": order}
    xaxis["range"] = [-0.6, len(order) - 0.1]  # room for the labels right of the last marks
    note = "COCO test-dev, as published; n counts table rows, nothing was measured here"
    y = "mask AP (percent, COCO 0.50 to 0.95)"
    title, x = "Published mask AP", "backbone and schedule (1x is 12 epochs)"
    return frame(data, title, len(table), x, y, theme=theme, note=note, xaxis=xaxis)


def epochs(schedule: str) -> int:
    """Epochs of a schedule as the table writes it: ``18e``, ``3x`` (times 12); else 0."""
    number, unit = schedule[:-1], schedule[-1:]
    if not number.isdecimal() or unit not in ("e", "x"):
        return 0
    return int(number) * (12 if unit == "x" else 1)


def _backbone_size(name: str) -> tuple[int, bool]:
    """Depth, and whether it is the wider ResNeXt."""
    depth = re.search(r"-(\d+)", name)
    return int(depth[1]) if depth else 0, "X" in name


def _label_places(table: pd.DataFrame) -> pd.Series:
    """Where each mark's label goes: right of it, or left where a label close by is on the right."""
    places, last = {}, {}
    for row in table.sort_values(["group", "AP"]).itertuples():
        group, ap = row.group, row.AP
        before, side = last.get(group, (float("-inf"), ""))
        near = ap - before < LABEL_AP and side == "middle right"
        places[row.Index] = "middle left" if near else "middle right"
        last[group] = (ap, places[row.Index])
    return pd.Series(places).reindex(table.index)
