"""Every number of the selection plots against pandas, from the written files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis import selection
from analysis.filters import Filters, Folder, counts, policies
from analysis.synthetic import POLICIES, write_run
from dynamask.config import GRIDS
from dynamask.errors import DataError, InputError


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_run(tmp_path_factory.mktemp("run"), 2500, 120, seed=3)


@pytest.fixture(scope="module")
def run(folder: Path) -> Folder:
    return Folder(folder)


@pytest.fixture(scope="module")
def msm(folder: Path) -> pd.DataFrame:
    rows = pd.concat([pd.read_parquet(p) for p in sorted(folder.glob("part-*.parquet"))])
    rows = rows[rows["policy"] == "msm"].reset_index(drop=True)
    return rows.assign(bin=np.floor(np.log10(rows["area_px2"].clip(lower=1)) * 4).astype(int))


def test_policies(run: Folder) -> None:
    found = policies(run)
    assert set(found["policy"]) == set(POLICIES)
    assert (found["n"] == 2500).all()


def test_by_area_equals_pandas(run: Folder, msm: pd.DataFrame) -> None:
    found = selection.by_area(run, Filters()).set_index(["bin", "grid"])
    for b, rows in msm.groupby("bin"):
        for grid in GRIDS:
            cell = found.loc[(b, grid)]
            assert cell["n"] == len(rows)
            assert cell["share"] == pytest.approx((rows["grid"] == grid).mean())
            assert cell["upto"] == pytest.approx((rows["grid"] <= grid).mean())
            assert cell["probability"] == pytest.approx(rows[f"p{grid}"].mean(), abs=1e-6)
            assert cell["share_low"] <= cell["share"] <= cell["share_high"]
    assert found["count"].sum() == len(msm)
    assert (found["low_px2"] < found["high_px2"]).all()


def test_by_class_equals_pandas(run: Folder, msm: pd.DataFrame) -> None:
    found = selection.by_class(run, Filters())
    expected = pd.crosstab(msm["category"].astype(str), msm["grid"], normalize="index")
    for row in found.itertuples():
        assert row.share == pytest.approx(expected.loc[row.bin, row.grid])
    assert found["n"].is_monotonic_decreasing


def test_complexity_groups_have_equal_sizes_and_match_pandas(
    run: Folder, msm: pd.DataFrame
) -> None:
    found = selection.by_complexity(run, Filters())
    each = found.drop_duplicates("bin")
    assert each["compactness"].is_monotonic_decreasing
    assert np.ptp(each["log10_area"]) < 0.03
    parts = []
    for _, rows in msm.groupby("bin"):
        if len(rows) < 5:
            continue
        rows = rows.sort_values(["compactness", "annotation_id"], ascending=[False, True])
        sizes = [len(rows) // 5 + (i < len(rows) % 5) for i in range(5)]
        parts.append(rows.assign(level=np.repeat(range(1, 6), sizes)))
    cut = pd.concat(parts)
    for row in found.itertuples():
        group = cut[cut["level"] == row.bin]
        assert row.share == pytest.approx((group["grid"] == row.grid).mean())
    # the synthetic objects are made so that ragged ones get finer grids
    fine = found[found["grid"] == 112].set_index("bin")["share"]
    assert fine[5] > fine[1]


def test_totals_confusion_and_regret_equal_pandas(run: Folder, msm: pd.DataFrame) -> None:
    now = selection.totals(run, Filters())
    assert now["n"] == len(msm)
    assert now["photos"] == msm["image_id"].nunique()
    for name, column in (("iou", "iou"), ("biou", "biou"), ("gmac", "gmac"), ("regret", "regret")):
        assert now[name] == pytest.approx(msm[column].mean(), abs=1e-6)
    cells = selection.confusion(run, Filters()).set_index(["oracle_grid", "grid"])
    table = pd.crosstab(msm["oracle_grid"], msm["grid"])
    for (oracle, grid), cell in cells.iterrows():
        assert cell["n"] == table.loc[oracle, grid]
        assert cell["share"] == pytest.approx(table.loc[oracle, grid] / table.loc[oracle].sum())
    for by, column in (("area", "bin"), ("class", "category")):
        lost = selection.regret(run, Filters(), by=by).set_index("bin")["mean"]
        expected = msm.groupby(column, observed=True)["regret"].mean()
        for key, value in expected.items():
            assert lost[key] == pytest.approx(value, abs=1e-6)


def test_calibration_equals_pandas(run: Folder, msm: pd.DataFrame) -> None:
    found = selection.calibration(run, Filters())
    p = msm[[f"p{g}" for g in GRIDS]].to_numpy()
    right = np.array(GRIDS)[p.argmax(1)] == msm["oracle_grid"]
    cut = pd.Series(np.minimum(np.floor(p.max(1) * 10), 9).astype(int))
    for row in found.itertuples():
        assert row.n == (cut == row.bin).sum()
        assert row.mean == pytest.approx(right[cut == row.bin].mean())
        assert row.confidence == pytest.approx(p.max(1)[cut == row.bin].mean(), abs=1e-6)
    gap = sum(abs(r.mean - r.confidence) * r.n for r in found.itertuples()) / len(msm)
    assert selection.calibration_error(found) == pytest.approx(gap)


def test_bands_are_a_bootstrap_over_photos(run: Folder, msm: pd.DataFrame) -> None:
    """The interval of one cell, resampled the slow way with another generator."""
    b = int(msm["bin"].mode()[0])
    rows = msm[msm["bin"] == b]
    cell = selection.by_area(run, Filters()).set_index(["bin", "grid"]).loc[(b, 112)]
    photos = msm["image_id"].unique()
    above = rows[rows["grid"] == 112].groupby("image_id").size().reindex(photos, fill_value=0)
    below = rows.groupby("image_id").size().reindex(photos, fill_value=0)
    rng = np.random.default_rng(99)
    again = []
    for _ in range(2000):
        drawn = rng.integers(0, len(photos), len(photos))
        again.append(above.to_numpy()[drawn].sum() / below.to_numpy()[drawn].sum())
    low, high = np.percentile(again, [2.5, 97.5])
    assert cell["share_low"] == pytest.approx(low, abs=0.02)
    assert cell["share_high"] == pytest.approx(high, abs=0.02)


@pytest.mark.parametrize(
    ("filters", "keep"),
    [
        (Filters(categories=("person", "car")), lambda t: t["category"].isin(["person", "car"])),
        (Filters(area_px2=(100, 5000)), lambda t: t["area_px2"].between(100, 5000)),
        (Filters(grids=(14, 112)), lambda t: t["grid"].isin([14, 112])),
        (Filters(truncated=True), lambda t: t["truncated"]),
        (Filters(crowd=True), lambda t: t["crowd"]),
        (Filters(score=(0, 1)), lambda t: t["score"].between(0, 1)),
        (Filters(categories=()), lambda t: t["crowd"] & ~t["crowd"]),
        (Filters(categories=("'; DROP TABLE objects; --",)), lambda t: t["category"] == "?"),
    ],
    ids=["class", "size", "grid", "truncated", "crowd", "score", "none", "injection"],
)
def test_filters_equal_pandas(run: Folder, msm: pd.DataFrame, filters: Filters, keep) -> None:
    kept = msm[keep(msm)]
    assert counts(run, filters) == (len(kept), kept["image_id"].nunique())
    assert selection.by_area(run, filters)["count"].sum() == len(kept)
    now = selection.totals(run, filters)
    assert now["iou"] == pytest.approx(kept["iou"].mean(), abs=1e-6, nan_ok=True)


def test_wrong_filters_are_refused() -> None:
    with pytest.raises(InputError, match="Expected boxes"):
        Filters(boxes="mine")
    with pytest.raises(InputError, match="Expected grids"):
        Filters(grids=(15,))
    with pytest.raises(InputError, match="smallest"):
        Filters(area_px2=(5, 1))


def test_hexagons_hold_every_object(
    run: Folder, msm: pd.DataFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    points, aggregated = selection.points(run, Filters())
    assert not aggregated
    assert len(points) == len(msm)
    monkeypatch.setattr(selection, "MAX_POINTS", 100)
    hexes, aggregated = selection.points(run, Filters())
    assert aggregated
    assert hexes["n"].sum() == len(msm)
    level = np.log2(msm["grid"] / 14).mean()
    assert (hexes["n"] * hexes["level"]).sum() / len(msm) == pytest.approx(level)
    # every object lies in the box around its hexagon's centre, so centres are within one step
    assert (hexes["low10"] < hexes["log10_area"]).all()


def test_folder_without_shards(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="manifest"):
        Folder(tmp_path)
    (tmp_path / "manifest.json").write_text("{}")
    with pytest.raises(DataError, match="shard"):
        counts(Folder(tmp_path), Filters())
