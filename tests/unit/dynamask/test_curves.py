"""The page of training curves: every number of the log, titles, units, n, and no network."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest

from dynamask.cli import main
from dynamask.errors import DataError
from dynamask.training.curves import (
    LOSSES,
    MAX_POINTS,
    figures,
    read_log,
    smoothed,
    smoothing_window,
    write_curves,
)
from dynamask.training.records import RunRecords, tag

COLUMNS = [*LOSSES, *(f"share_{g}" for g in (14, 28, 56, 112))]
COLUMNS += ["cost_ratio", "temperature", "lr", "grad_norm", "seconds"]


def write_log(folder: Path, steps: int = 80, without: str = "") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    with open(folder / "log.csv", "w", newline="") as file:
        writer = csv.DictWriter(file, ["step", *COLUMNS])
        writer.writeheader()
        for step in range(steps):
            row = {c: f"{rng.uniform(0.1, 1):.6g}" for c in COLUMNS if c != without}
            if step % 3 == 0:
                row["loss_classifier"] = ""  # a batch without classes
            writer.writerow({"step": step, **row})
    return folder


def test_page_is_complete_and_needs_no_network(tmp_path: Path) -> None:
    run = write_log(tmp_path / "my <run>")
    out = tmp_path / "deep" / "F.html"
    count = write_curves(run, out)
    assert count == len(LOSSES) + 6
    page = out.read_text(encoding="utf-8")
    assert "my &lt;run&gt;" in page and "my <run>" not in page
    assert page.count("Plotly.newPlot(") == count
    for identity in (*LOSSES, "share_14", "cost_ratio", "temperature", "lr", "grad_norm"):
        assert f'id="{identity}"' in page
    assert not re.search(r"<(?:script|link|img)[^>]+(?:src|href)=", page), "all is inside"
    assert len(page) > 1_000_000, "plotly.js itself"
    assert [p.name for p in out.parent.iterdir()] == ["F.html"], "no temporary file stays"


def test_every_plot_has_title_unit_and_n(tmp_path: Path) -> None:
    made = dict(figures(read_log(write_log(tmp_path) / "log.csv")))
    for figure in made.values():
        layout = figure["layout"]
        assert "n = " in layout["title"]["text"] and layout["yaxis"]["title"]["text"]
        assert layout["xaxis"]["title"]["text"] == "step"
    assert "n = 80 steps" in made["loss"]["layout"]["title"]["text"]
    assert "n = 53 steps" in made["loss_classifier"]["layout"]["title"]["text"]
    assert [t["name"] for t in made["share_14"]["data"][::2]] == [
        f"{g} x {g}, each step" for g in (14, 28, 56, 112)
    ]
    assert made["cost_ratio"]["layout"]["shapes"][0]["y0"] == 1
    raw, smooth = made["loss"]["data"]
    assert raw["name"].endswith("each step") and smooth["name"].endswith("smoothed")
    assert np.std(smooth["y"]) < np.std(raw["y"])


def test_columns_that_a_run_has_not_are_left_out(tmp_path: Path) -> None:
    table = read_log(write_log(tmp_path, without="loss_gain") / "log.csv")
    assert "loss_gain" not in dict(figures(table))


def test_smoothing_is_a_mean_that_leaves_gaps_out() -> None:
    values = np.array([1.0, np.nan, 3.0, 5.0, 100.0])
    assert smoothed(values, 3).tolist() == [1.0, 2.0, 4.0, 36.0, 52.5]
    assert smoothed(values, 1)[0] == 1 and np.isnan(smoothed(values, 1)[1])
    assert np.isnan(smoothed(np.full(4, np.nan), 3)).all()
    assert smoothing_window(3) == 1 and smoothing_window(4000) == 100


def test_long_runs_are_thinned(tmp_path: Path) -> None:
    table = {"step": np.arange(100_000.0), "loss": np.ones(100_000)}
    figure = dict(figures(table))["loss"]
    assert len(figure["data"][0]["x"]) == MAX_POINTS
    assert figure["data"][0]["x"][-1] == 99_999


@pytest.mark.parametrize("text", [None, "", "step,loss\n", "step,loss\n1,abc\n", "loss\n1\n"])
def test_no_or_damaged_log(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "log.csv").write_text(text)
    with pytest.raises(DataError, match="Expected"):
        write_curves(tmp_path, tmp_path / "x.html")
    assert not (tmp_path / "x.html").exists()


def test_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = write_log(tmp_path / "r")
    assert main(["curves", str(run)]) == 0
    assert (run / "curves.html").is_file()
    assert "plots in" in capsys.readouterr().out
    assert main(["curves", str(run), "--out", str(tmp_path)]) == 2
    assert "--out F.html" in capsys.readouterr().err
    assert main(["curves", str(tmp_path / "none")]) == 2
    (tmp_path / "file").write_text("")
    assert main(["curves", str(run), "--out", str(tmp_path / "file" / "x.html")]) == 2


def test_records_write_csv_events_and_page(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    records = RunRecords(tmp_path, first_step=0, resumed=False)
    for step in range(4):
        records.write(step, {"loss": 4.0 - step, "loss_mask": 1.0, "share_14": 0.5, "lr": 0.1})
    records.close()
    records = RunRecords(tmp_path, first_step=2, resumed=True)  # killed after a checkpoint at 2
    records.write(2, {"loss": 7.0, "loss_mask": 1.0, "share_14": 0.5, "lr": 0.1})
    records.draw()
    records.close()
    assert read_log(tmp_path / "log.csv")["loss"].tolist() == [4.0, 3.0, 7.0]
    events = EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"loss/total", "loss/mask", "share/14", "run/lr"}
    assert [(e.step, e.value) for e in events.Scalars("loss/total")] == [(0, 4), (1, 3), (2, 7)]
    assert (tmp_path / "curves.html").is_file()


def test_tags() -> None:
    assert [tag(n) for n in ("loss", "loss_edge", "share_56", "seconds")] == [
        "loss/total",
        "loss/edge",
        "share/56",
        "run/seconds",
    ]
