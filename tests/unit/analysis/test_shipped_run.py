"""The run that ships against an independent computation: pandas and pycocotools only.

In the manner of a notebook: the annotation file is read with pycocotools, the run's Parquet files
with pandas, and every number of the page is computed anew from them.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from factories import REPOSITORY, SHARED_DATA
from pycocotools import mask as mask_api
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from analysis import dashboards, selection, store
from analysis.figures_ap import NO_BUDGET
from analysis.filters import Filters, Folder

RUN = REPOSITORY / "assets" / "runs" / "coco_mini_val"
WEIGHTS = REPOSITORY / "assets" / "weights"
GRIDS = (14, 28, 56, 112)
pytestmark = pytest.mark.timeout(400)  # AP with its intervals, on a busy machine
needs_photos = pytest.mark.skipif(not SHARED_DATA.is_dir(), reason="needs ../shared/data")


def parquet(table: str) -> pd.DataFrame:
    return pd.concat([pd.read_parquet(p) for p in sorted(RUN.glob(f"{table}-*.parquet"))])


@pytest.fixture(scope="module")
def run() -> Folder:
    dashboards.forget()
    return store.open_run(RUN)


@pytest.fixture(scope="module")
def rows() -> pd.DataFrame:
    table = parquet("part")
    return table[(table["boxes"] == "gt") & ~table["crowd"]]


@pytest.fixture(scope="module")
def coco() -> COCO:
    with contextlib.redirect_stdout(io.StringIO()):
        return COCO(str(SHARED_DATA / "coco_mini" / "instances_val.json"))


def test_its_old_form_says_what_it_lacks(tmp_path: Path) -> None:
    """Runs had no overlaps and areas at all grids once: everything else is drawn of them."""
    old = tmp_path / "old"
    shutil.copytree(RUN, old)
    for table in ("areas", "pairs"):
        for shard in old.glob(f"{table}-*.parquet"):
            shard.unlink()
    run = store.open_run(old)
    names = set(dashboards.FIGURES) - {"ap_by_area", "error_costs"}
    for budget in (None, 0.1):
        drawn = dashboards.figures(run, Filters(), budget, names=tuple(sorted(names)))
        for name, figure in drawn.items():
            said = " ".join(a["text"] for a in figure["layout"].get("annotations", []))
            assert ("--detector-grids" in said) == (name in ("pareto_ap", "pareto_boundary_ap"))
    for name in ("ap_by_area", "error_costs"):
        figure = dashboards.figures(run, Filters(), 0.1, names=(name,))[name]
        said = figure["layout"]["annotations"][0]["text"].replace("<br>", " ")
        assert said == NO_BUDGET
    assert dashboards.scored(run, Filters(), budget=0.1) == NO_BUDGET
    assert not len(dashboards.ap_table(run, Filters(), limit=100, budget=0.1))


def test_it_was_made_with_the_bundled_weights() -> None:
    manifest = json.loads((RUN / "manifest.json").read_text())
    digest = hashlib.sha256((WEIGHTS / "effnet_lite2_fpn.safetensors").read_bytes()).hexdigest()
    assert manifest["weights_sha256"] == digest, "remake it: assets/runs/README.md says how"
    assert manifest["state"] == "done" and manifest["photos_done"] == 126


def test_it_is_small_and_has_no_photos() -> None:
    files = [p for p in RUN.rglob("*") if p.is_file()]
    assert {p.suffix for p in files} == {".json", ".parquet"}
    assert sum(p.stat().st_size for p in files) < 5_000_000


@needs_photos
def test_objects_are_the_annotations(rows: pd.DataFrame, coco: COCO) -> None:
    plain = {i: a for i, a in coco.anns.items() if not a["iscrowd"]}
    names = {c["id"]: c["name"] for c in coco.cats.values()}
    for _, part in rows.groupby("policy"):
        assert set(part["annotation_id"]) == set(plain) and len(part) == len(plain) == 1067
    for row in rows[rows["policy"] == "msm"].itertuples():
        a = plain[row.annotation_id]
        assert (row.image_id, row.category_id) == (a["image_id"], a["category_id"])
        assert row.category == names[a["category_id"]]
        assert row.area_px2 == np.float32(a["area"])
        bins = ["small", "medium", "large"]
        assert row.size_bin == bins[(a["area"] >= 32**2) + (a["area"] >= 96**2)]
        assert np.allclose([row.box_x, row.box_y], a["bbox"][:2], atol=0.02)


@needs_photos
def test_annotated_masks_are_pycocotools_own(coco: COCO) -> None:
    truths = parquet("truths").set_index("annotation_id")
    assert set(truths.index) == set(coco.anns)
    for number, row in truths.iterrows():
        expected = coco.annToRLE(coco.anns[number])
        assert row["rle"].encode() == expected["counts"]
        assert row["area_px2"] == pytest.approx(coco.anns[number]["area"], abs=1e-9)


def test_policies_follow_from_the_columns(rows: pd.DataFrame) -> None:
    iou = rows[[f"iou{g}" for g in GRIDS]].to_numpy()
    p = rows[[f"p{g}" for g in GRIDS]].to_numpy()
    column = np.searchsorted(GRIDS, rows["grid"])
    assert np.array_equal(rows["iou"], iou[np.arange(len(rows)), column])
    for policy, expected in (("msm", p.argmax(1)), ("oracle", iou.argmax(1))):
        kept = (rows["policy"] == policy).to_numpy()
        assert np.array_equal(column[kept], expected[kept])
    for k, grid in enumerate(GRIDS):
        assert (column[(rows["policy"] == f"fixed:{grid}").to_numpy()] == k).all()


def test_the_pages_numbers_are_those_of_pandas(rows: pd.DataFrame, run: Folder) -> None:
    table = dashboards.pareto_table(run, Filters()).set_index("name")
    for policy, part in rows.groupby("policy"):
        shown = table.loc[policy]
        assert shown["n"] == len(part)
        for name in ("iou", "biou", "gmac"):
            assert shown[name] == pytest.approx(part[name].astype(float).mean(), abs=1e-6), policy
        now = selection.totals(dashboards.narrow(run, Filters(policy=policy)), Filters(policy))
        shares = part["grid"].value_counts(normalize=True)
        for grid in GRIDS:
            assert now["share"][grid] == pytest.approx(shares.get(grid, 0.0), abs=1e-12)
        assert now["regret"] == pytest.approx(part["regret"].astype(float).mean(), abs=1e-6)
    msm = rows[rows["policy"] == "msm"]
    cells = dashboards.table(run, Filters(), "confusion").set_index(["oracle_grid", "grid"])["n"]
    counted = msm.groupby(["oracle_grid", "grid"]).size()
    assert all(cells[key] == counted.get(key, 0) for key in cells.index)
    by_class = dashboards.table(run, Filters(), "classes").drop_duplicates("bin").set_index("bin")
    assert by_class["n"].to_dict() == msm["category"].value_counts().to_dict()
    bins = np.floor(np.log10(np.maximum(msm["area_px2"].astype(float), 1)) * 4).astype(int)
    by_area = selection.by_area(dashboards.narrow(run, Filters()), Filters())
    shown = by_area.set_index(["bin", "grid"])["count"]
    counted = msm.groupby([bins, "grid"]).size()
    assert all(shown[key] == counted.get(key, 0) for key in shown.index)


def test_evaluate_measured_the_same(rows: pd.DataFrame, run: Folder) -> None:
    """assets/weights/val_gt.json comes from `python -m dynamask evaluate`."""
    table = dashboards.pareto_table(run, Filters()).set_index("name")
    measured = json.loads((WEIGHTS / "val_gt.json").read_text())
    assert {m["policy"] for m in measured} >= {"msm", "size", "oracle", "fixed:112"}
    for m in measured:
        part = rows[rows["policy"] == m["policy"]]
        if not len(part):
            continue
        assert len(part) == m["objects"]
        assert part["iou"].astype(float).mean() == pytest.approx(m["mean_iou"], abs=1e-5)
        assert part["biou"].astype(float).mean() == pytest.approx(m["mean_boundary_iou"], abs=1e-5)
        gmac = table.loc[m["policy"], "gmac_per_roi"]
        assert gmac == pytest.approx(m["gmac_per_roi"], rel=1e-3)
        shares = part["grid"].value_counts(normalize=True)
        for grid, share in m["share"].items():
            assert shares.get(int(grid), 0.0) == pytest.approx(share, abs=2e-3)


@needs_photos
def test_ap_is_pycocotools_own(coco: COCO, run: Folder) -> None:
    """From the run's detections and the annotation file, nothing of ours in between."""
    found = parquet("detections")
    found = found[found["policy"] == "msm"]
    results = [
        {
            "image_id": int(r.image_id),
            "category_id": int(r.category_id),
            "score": float(r.score),
            "segmentation": {
                "size": [int(r.image_height), int(r.image_width)],
                "counts": r.rle.encode(),
            },
        }
        for r in found.itertuples()
    ]
    with contextlib.redirect_stdout(io.StringIO()):
        evaluation = COCOeval(coco, coco.loadRes(results), "segm")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    row = dashboards.ap_table(run, Filters()).set_index("policy").loc["msm"]
    names = ("AP", "AP50", "AP75", "APS", "APM", "APL")
    for name, expected in zip(names, evaluation.stats, strict=False):
        assert row[name] == pytest.approx(expected, abs=1e-6), name


def test_ap_against_cost_has_the_switchs_own_ap(run: Folder) -> None:
    """The mixture of the switch's grids against the masks that were decoded under it."""
    table = dashboards.ap_pareto(run, Filters())
    mixed, row = table.set_index("name").loc["msm"], dashboards.ap_table(run, Filters())
    row = row.set_index("policy").loc["msm"]
    assert mixed["ap"] == pytest.approx(row["AP"], abs=1e-6)
    assert mixed["boundary_ap"] == pytest.approx(row["boundary_AP"], abs=1e-6)
    found = parquet("detections")
    assert mixed["n"] == len(found) and mixed["gmac"] == pytest.approx(found["gmac"].mean())


def test_ap_follows_a_budget(run: Folder) -> None:
    """At no budget worth the name every detection keeps the switch's grid; at the least, 14."""
    own = dashboards.ap_table(run, Filters()).set_index("policy").loc["msm"]
    table = dashboards.ap_table(run, Filters(), budget=1.0)
    assert list(table["policy"]) == ["budget 1.0000 GMAC", "msm"]
    for name in ("AP", "AP50", "AP75", "APS", "APM", "APL", "boundary_AP"):
        assert table[name].iloc[0] == pytest.approx(own[name], abs=1e-9), name
    pairs = dashboards.ap_pareto(run, Filters()).set_index("name")
    least = dashboards.ap_table(run, Filters(), budget=0.0622).iloc[0]
    assert least["AP"] == pytest.approx(pairs.loc["fixed:14", "ap"], abs=2e-3)
    assert least["AP"] < own["AP"]


def test_detections_are_those_that_evaluate_scored(run: Folder) -> None:
    measured = json.loads((WEIGHTS / "val_detector.json").read_text())
    row = dashboards.ap_table(run, Filters()).set_index("policy").loc["msm"]
    expected = next(m for m in measured if m["policy"] == "msm")
    for name in ("AP", "AP50", "AP75", "APS", "APM", "APL", "boundary_AP"):
        assert row[name] == pytest.approx(expected[name], abs=2e-4), name


@needs_photos
def test_ious_of_masks_at_the_detectors_boxes(coco: COCO) -> None:
    """The chosen grid's IoU of matched objects, from the two masks as they are stored."""
    objects, found = parquet("part"), parquet("detections").set_index("detection_id")
    matched = objects[(objects["boxes"] == "detector") & objects["matched"]]
    assert len(matched) > 200
    for row in matched.itertuples():
        detection = found.loc[row.detection_id]
        size = [int(row.image_height), int(row.image_width)]
        rle = {"size": size, "counts": detection["rle"].encode()}
        truth = coco.annToRLE(coco.anns[row.annotation_id])
        iou = mask_api.iou([rle], [truth], [0])[0, 0]
        assert row.iou == pytest.approx(iou, abs=2e-3)
        assert row.grid == detection["grid"]


def test_the_report_opens(run: Folder, tmp_path: Path) -> None:
    from analysis.report import write_report

    text = write_report(run, tmp_path / "r.html").read_text("utf-8")
    assert "1,067 objects on 12" in text and text.count('class="plot"') == len(dashboards.FIGURES)
    assert str(REPOSITORY) not in text
