"""Dataset runs on tiny drawn photos: what the tables hold, stopping, resuming, refusing."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from factories import TinyCoco, tiny_coco
from run_compare import assert_same_run, tables

from analysis import store
from analysis.run import Run, RunConfig, run_dataset
from analysis.schema import SCHEMA_VERSION, TABLES, arrow_schema
from dynamask.config import GRIDS
from dynamask.errors import DataError, InputError, PolicyError
from dynamask.predictor import Predictor

PHOTOS, OBJECTS = 5, 3


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> TinyCoco:
    return tiny_coco(tmp_path_factory.mktemp("set"), PHOTOS, objects=OBJECTS, crowd=True)


@pytest.fixture(scope="module")
def results(coco: TinyCoco) -> str:
    """A detector of boxes near the annotated ones, some doubled, misnamed, missing or far off."""
    rng = np.random.default_rng(4)
    found = []
    for annotation in coco.data["annotations"]:
        for _ in range(int(rng.integers(0, 4))):
            x, y, w, h = annotation["bbox"]
            shift = rng.normal(0, 0.15, 2) * (w, h)
            number = annotation["category_id"] if rng.random() < 0.8 else 1
            found.append(
                {
                    "image_id": annotation["image_id"],
                    "category_id": number,
                    "bbox": [float(max(0, x + shift[0])), float(max(0, y + shift[1])), w, h],
                    "score": round(float(rng.uniform(0.1, 1)), 2),
                }
            )
    path = coco.annotations.with_name("results.json")
    path.write_text(json.dumps(found))
    return f"coco:{path}"


@pytest.fixture
def config(coco: TinyCoco, results: str, tiny_weights: Path, tmp_path: Path) -> RunConfig:
    return RunConfig(
        coco=coco.annotations,
        images=coco.images,
        out=tmp_path / "run",
        weights=tiny_weights,
        device="cpu",
        detector=results,
        photos_per_shard=3,
    )


@pytest.fixture(scope="module")
def whole(
    coco: TinyCoco,
    results: str,
    tiny_weights: Path,
    tiny_predictor: Predictor,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """A finished run."""
    path = tmp_path_factory.mktemp("runs") / "whole"
    config = RunConfig(
        coco=coco.annotations,
        images=coco.images,
        out=path,
        weights=tiny_weights,
        detector=results,
        photos_per_shard=3,
    )
    info = run_dataset(config, predictor=tiny_predictor)
    assert info.state == "done"
    return path


def test_every_object_under_every_policy(whole: Path, coco: TinyCoco) -> None:
    rows = tables(whole)["objects"]
    given = rows[rows["boxes"] == "gt"]
    ids = {a["id"] for a in coco.data["annotations"]}
    for _, part in given.groupby("policy"):
        assert set(part["annotation_id"]) == ids and len(part) == len(ids)
    plain = {a["id"] for a in coco.data["annotations"] if not a["iscrowd"]}
    found = rows[rows["boxes"] == "detector"]
    assert set(found["policy"]) == {"msm"}
    assert set(found["annotation_id"]) == plain and len(found) == len(plain)
    assert given["crowd"].sum() == PHOTOS * given["policy"].nunique()


def test_choices_follow_from_the_measurements(whole: Path) -> None:
    rows = tables(whole)["objects"]
    rows = rows[rows["boxes"] == "gt"]
    iou = rows[[f"iou{g}" for g in GRIDS]].to_numpy()
    p = rows[[f"p{g}" for g in GRIDS]].to_numpy()
    column = np.searchsorted(GRIDS, rows["grid"])
    place = np.arange(len(rows))
    assert (rows["iou"] == iou[place, column]).all()
    assert np.allclose(rows["regret"], iou.max(1) - iou[place, column], atol=1e-7)
    assert (rows["oracle_grid"] == np.array(GRIDS)[iou.argmax(1)]).all()
    assert np.allclose(p.sum(1), 1, atol=1e-6)
    policy = rows["policy"].to_numpy()
    assert (rows["grid"][policy == "oracle"] == rows["oracle_grid"][policy == "oracle"]).all()
    assert (column[policy == "msm"] == p[policy == "msm"].argmax(1)).all()
    assert (rows["grid"][policy == "fixed:28"] == 28).all()
    assert (rows[["encode_ms", "switch_ms", "decode_ms"]] > 0).all().all()
    by_grid = rows[policy != "msm"].groupby(["image_id", "grid"])["decode_ms"].max()
    assert by_grid.groupby("image_id").is_monotonic_increasing.all(), "later exits take longer"


def test_quality_and_cost_are_those_of_the_predictor(
    whole: Path, coco: TinyCoco, tiny_predictor: Predictor
) -> None:
    from dynamask.coco_read import decode_mask, read_coco, read_photo
    from dynamask.metrics import boundary_iou, mask_iou

    read = read_coco(coco.annotations)
    image = read.images[0]
    annotations = read.by_image[image.id]
    boxes = np.array([a.box_xyxy for a in annotations], dtype=np.float32)
    scene = tiny_predictor.encode(read_photo(coco.images, image), boxes)
    rows = tables(whole)["objects"]
    for policy in ("msm", "fixed:56"):
        instances = tiny_predictor.decode(scene, policy)
        here = rows[
            (rows["image_id"] == image.id) & (rows["policy"] == policy) & (rows["boxes"] == "gt")
        ].set_index("annotation_id")
        for k, annotation in enumerate(annotations):
            truth = decode_mask(annotation, image.height, image.width)
            row = here.loc[annotation.id]
            assert row["iou"] == pytest.approx(mask_iou(instances.paste(k), truth), abs=2e-3)
            assert row["biou"] == pytest.approx(boundary_iou(instances.paste(k), truth), abs=4e-3)
            assert row["gmac"] == pytest.approx(instances.selection.gmac[k], rel=1e-6)
            assert row["grid"] == instances.selection.grids[k]


def test_matches_are_by_box_and_class(whole: Path) -> None:
    """Computed anew, with loops, from the tables of detections and annotations."""
    every = tables(whole)
    rows, founds, truths = every["objects"], every["detections"], every["truths"]
    expected: dict[int, int] = {}
    for found in founds.sort_values("score", ascending=False, kind="stable").itertuples():
        best, overlap = None, 0.5
        for truth in truths[truths["image_id"] == found.image_id].itertuples():
            same = truth.category_id == found.category_id and not truth.crowd
            if same and truth.annotation_id not in expected:
                iou = corner_iou(found, truth)
                if iou >= overlap:
                    best, overlap = truth.annotation_id, iou
        if best is not None:
            expected[best] = found.detection_id
    assert 3 < len(expected) < len(founds), "both kinds are there"
    matched = rows[rows["matched"]]
    got = matched.drop_duplicates("annotation_id").set_index("annotation_id")["detection_id"]
    assert got.to_dict() == expected
    scores = founds.set_index("detection_id")["score"]
    assert np.allclose(matched["score"], scores[matched["detection_id"]], atol=1e-6)
    assert (rows["matched"] == rows["detection_id"].notna()).all()
    missed = rows[(rows["boxes"] == "detector") & ~rows["matched"]]
    assert len(missed)
    assert missed[["grid", "iou", "p14", "gmac"]].isna().all().all()


def corner_iou(a: Any, b: Any) -> float:
    width = min(a.box_x + a.box_w, b.box_x + b.box_w) - max(a.box_x, b.box_x)
    height = min(a.box_y + a.box_h, b.box_y + b.box_h) - max(a.box_y, b.box_y)
    both = max(width, 0) * max(height, 0)
    return both / (a.box_w * a.box_h + b.box_w * b.box_h - both)


def test_verdicts_of_photos_are_those_of_the_whole_set(whole: Path) -> None:
    """The run judges photo by photo; analysis.errors does all photos at once."""
    from analysis import detections, errors

    data = detections.load(store.open_run(whole), "msm")
    assert data is not None
    verdicts = errors.classify(data)
    every = tables(whole)
    found = every["detections"].set_index("detection_id")
    for verdict in verdicts.detections.itertuples():
        row = found.loc[verdict.id]
        assert row["error"] == verdict.error
        about = -1 if pd.isna(row["annotation_id"]) else row["annotation_id"]
        assert about == verdict.annotation_id
    rows = every["objects"].query("policy == 'msm' and not crowd").set_index("annotation_id")
    for verdict in verdicts.objects.itertuples():
        assert set(rows.loc[[verdict.annotation_id], "error"]) == {verdict.error}


def test_pairs_are_the_overlaps_of_the_stored_masks(whole: Path) -> None:
    """At the grid that the policy chose, from the two masks as they are stored."""
    from analysis import detections

    every = tables(whole)
    pairs = every["pairs"].set_index(["detection_id", "annotation_id"])
    grids = every["detections"].set_index("detection_id")["grid"]
    data = detections.load(store.open_run(whole), "msm")
    seen = 0
    for prefix, cells in (("iou", data.masks), ("rim", data.boundaries)):
        for cell in cells:
            for (d, t), overlap in np.ndenumerate(cell.iou):
                key = (cell.found[d], cell.truth[t])
                grid = grids[cell.found[d]]
                stored = pairs.loc[key, f"{prefix}{grid}"] if key in pairs.index else 0.0
                assert stored == pytest.approx(overlap, abs=2e-3)
                seen += overlap > 0
    assert seen > 10
    assert (pairs.filter(regex="iou").max(axis=1) > 0).all()


def test_without_grids_there_are_no_pairs(
    config: RunConfig, tiny_predictor: Predictor, whole: Path
) -> None:
    config = replace(config, detector_grids=False)
    assert run_dataset(config, predictor=tiny_predictor).state == "done"
    every = tables(Path(config.out))
    assert "pairs" not in every and len(every["detections"])
    manifest = json.loads((whole / "manifest.json").read_text())
    mine = json.loads((Path(config.out) / "manifest.json").read_text())
    assert mine["configuration_hash"] != manifest["configuration_hash"]
    # a run from before the option says nothing about it, and is resumed without the table
    del mine["asked"]["detector_grids"]
    (Path(config.out) / "manifest.json").write_text(json.dumps(mine))
    again = RunConfig.of_run(config.out)
    assert not again.detector_grids
    Run(again, resume=True, predictor=tiny_predictor)


def test_tables_have_the_schema(whole: Path) -> None:
    import pyarrow.parquet as pq

    for table in TABLES:
        for file in whole.glob(f"{table}-*.parquet"):
            read = pq.read_schema(file)
            assert read.equals(arrow_schema(table)), table
            assert read.metadata[b"schema_version"] == str(SCHEMA_VERSION).encode()
    assert not list(whole.glob(".*")) and not (whole / store.JOURNAL).exists()


def test_the_manifest_counts(whole: Path) -> None:
    manifest = json.loads((whole / "manifest.json").read_text())
    every = tables(whole)
    assert manifest["state"] == "done"
    assert manifest["photos"] == manifest["photos_done"] == PHOTOS
    assert manifest["objects"] == len(every["truths"]) == PHOTOS * (OBJECTS + 1)
    assert manifest["rows"] == len(every["objects"])
    assert manifest["detections"] == len(every["detections"])


def test_progress_tells_where_it_stands(config: RunConfig, tiny_predictor: Predictor) -> None:
    steps = list(Run(config, predictor=tiny_predictor).steps())
    assert [s.done for s in steps] == list(range(PHOTOS + 1))
    assert steps[1].eta_seconds is None and steps[-1].eta_seconds == 0
    assert steps[2].eta_seconds > 0
    assert all(s.total == PHOTOS for s in steps)
    assert steps[-1].objects == PHOTOS * (OBJECTS + 1)
    assert steps[3].file_name == f"{3:012d}.png"


@pytest.mark.parametrize("after", [0, 2, 4])
def test_a_cancelled_run_resumes_to_the_same_tables(
    config: RunConfig, tiny_predictor: Predictor, whole: Path, after: int
) -> None:
    stop = threading.Event()

    def progress(step: Any) -> None:
        if step.done == after:
            stop.set()

    first = run_dataset(config, predictor=tiny_predictor, progress=progress, cancel=stop)
    assert (first.state, first.photos_done) == ("stopped", after)
    if after:  # what is done can be looked at before the rest is
        query = "SELECT count(DISTINCT image_id) AS n FROM objects"
        assert store.open_run(config.out).query(query)["n"].iloc[0] == after
    done: list[str] = []
    second = run_dataset(
        RunConfig.of_run(config.out),
        resume=True,
        predictor=tiny_predictor,
        progress=lambda step: done.append(step.file_name),
    )
    assert second.state == "done"
    assert len([name for name in done if name]) == PHOTOS - after, "no photo twice"
    assert_same_run(whole, Path(config.out))


def test_a_closed_generator_keeps_what_is_done(
    config: RunConfig, tiny_predictor: Predictor
) -> None:
    steps = Run(config, predictor=tiny_predictor).steps()
    for step in steps:
        if step.done == 2:
            break
    steps.close()
    assert store.run_info(config.out).photos_done == 2
    assert store.run_info(config.out).state == "stopped"


def test_the_lock_is_held_and_given_back(config: RunConfig, tiny_predictor: Predictor) -> None:
    steps = Run(config, predictor=tiny_predictor).steps()
    next(steps)
    assert store.run_info(config.out).state == "running"
    with pytest.raises(InputError, match="another process"):
        Run(config, resume=True, predictor=tiny_predictor)
    with pytest.raises(InputError, match="another process"):
        store.delete_run(config.out)
    steps.close()
    assert store.run_info(config.out).state == "stopped"


def test_a_guard_is_held_around_each_photo(config: RunConfig, tiny_predictor: Predictor) -> None:
    class Guard:
        entered = 0

        def __enter__(self) -> None:
            self.entered += 1

        def __exit__(self, *_: object) -> None: ...

    guard = Guard()
    assert run_dataset(config, predictor=tiny_predictor, guard=guard).state == "done"
    assert guard.entered == PHOTOS


def test_only_ground_truth_boxes(config: RunConfig, tiny_predictor: Predictor) -> None:
    config = replace(config, detector_policies=(), policies=("msm", "random:0.1"))
    assert run_dataset(config, predictor=tiny_predictor).state == "done"
    every = tables(Path(config.out))
    assert "detections" not in every
    assert set(every["objects"]["boxes"]) == {"gt"}
    assert not every["objects"]["matched"].any()


def test_photos_that_cannot_be_used_are_reported(tmp_path: Path, tiny_predictor: Predictor) -> None:
    coco = tiny_coco(tmp_path, 4)
    names = [i["file_name"] for i in coco.data["images"]]
    (coco.images / names[0]).unlink()
    (coco.images / names[1]).write_bytes(b"no photo")
    coco.data["images"][2]["width"] += 1
    coco.rewrite()
    out = tmp_path / "run"
    info = run_dataset(RunConfig(coco.annotations, coco.images, out), predictor=tiny_predictor)
    assert (info.state, info.photos_done, info.objects) == ("done", 4, 3)
    every = tables(out)
    assert list(every["photos"]["state"]) == ["skipped"] * 3 + ["done"]
    reasons = every["problems"].set_index("id")["reason"]
    for number, words in ((1, "no such file"), (2, "cannot be decoded"), (3, "its COCO file says")):
        assert words in reasons[number]


def refused(config: RunConfig, predictor: Predictor, **changes: Any) -> str:
    with pytest.raises((DataError, InputError, PolicyError)) as error:
        Run(replace(config, **changes), predictor=predictor)
    return str(error.value)


def test_bad_options_are_refused_before_anything_is_made(
    config: RunConfig, tiny_predictor: Predictor, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    for changes, words in (
        ({"limit": 0}, "limit of at least 1"),
        ({"policies": ()}, "at least one policy"),
        ({"policies": ("msm", "msm")}, "every policy once"),
        ({"policies": ("best",)}, "Expected a policy"),
        ({"detector_policies": ("oracle",)}, "ground-truth boxes"),
        ({"images": tmp_path / "none"}, "folder of photos"),
        ({"images": tmp_path / "empty"}, "found none of 5"),
        ({"coco": tmp_path / "none.json"}, "no such file"),
        ({"out": tmp_path / "file"}, "got the file"),
        ({"out": tmp_path / "full"}, "holds other files"),
    ):
        assert words in refused(config, tiny_predictor, **changes), changes
        assert not Path(config.out).exists()
    assert (tmp_path / "full" / "notes.txt").read_text() == "mine"


def test_resume_refuses_another_configuration(
    whole: Path, coco: TinyCoco, config: RunConfig, tiny_predictor: Predictor
) -> None:
    config = replace(config, out=whole)
    with pytest.raises(InputError, match="holds a run"):
        Run(config, predictor=tiny_predictor)
    Run(config, predictor=tiny_predictor, resume=True)
    for changes, words in (
        ({"policies": ("msm",)}, "policies"),
        ({"limit": 2}, "photos"),
        ({"photos_per_shard": 4}, "photos_per_shard"),
    ):
        with pytest.raises(InputError, match=f"different: .*{words}"):
            Run(replace(config, **changes), predictor=tiny_predictor, resume=True)
    moved = coco.annotations.with_name("changed.json")
    moved.write_text(json.dumps({**coco.data, "info": 1}))
    with pytest.raises(InputError, match="annotations_sha256"):
        Run(replace(config, coco=moved), predictor=tiny_predictor, resume=True)


def test_a_full_disk_is_said_before_the_work(
    config: RunConfig, tiny_predictor: Predictor, monkeypatch: pytest.MonkeyPatch
) -> None:
    from types import SimpleNamespace

    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=10**6))
    assert "free disk" in refused(config, tiny_predictor)
