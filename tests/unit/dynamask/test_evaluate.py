"""Evaluation against a predictor whose answers are known in advance."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from dynamask.checkpoint import LoadedWeights
from dynamask.coco_read import decode_mask, read_coco, read_photo
from dynamask.config import GRIDS, preset
from dynamask.cost import cost_table
from dynamask.errors import DataError, PolicyError
from dynamask.model.detector import DynaMask
from dynamask.policies import RoIs, parse_policy, select
from dynamask.predictor import Predictor
from dynamask.targets import crop_masks
from dynamask.training.coco_ap import Detection, Scorer
from dynamask.training.evaluate import evaluate
from dynamask.types import Instances, Scene
from tests.factories import TinyCoco, tiny_coco

SIZE = (96, 128)
KNOWN = ("person", "car", "dog")


class KnowingPredictor:
    """Answers with the ground-truth masks, sampled on whatever grid the policy chose.

    ``miss`` objects per photo are not detected; every box moves right by ``shift`` pixels.
    """

    def __init__(self, coco: TinyCoco, miss: int = 0, shift: float = 0.0) -> None:
        self.config = preset("effnet_lite0_fpn")
        self.cost_table = cost_table(self.config)
        self.categories = ("dog", "person", "cat", "car")  # another order than the set's
        self.miss, self.shift = miss, shift
        self.encoded = 0
        self.photos = {}
        self.truth: dict[str, tuple[torch.Tensor, torch.Tensor]] = {}
        whole = read_coco(coco.annotations)
        for image in whole.images:
            pixels = read_photo(coco.images, image)
            objects = [a for a in whole.by_image[image.id] if not a.crowd]
            masks = np.stack([decode_mask(a, *SIZE) for a in objects])
            boxes = torch.tensor([a.box_xyxy for a in objects])
            names = [whole.category_names[a.label] for a in objects]
            labels = torch.tensor([self.categories.index(n) for n in names])
            self.photos[pixels.tobytes()] = (boxes, labels, torch.from_numpy(masks))

    def encode(self, image: np.ndarray, boxes: Any = None, labels: Any = None) -> Scene:
        self.encoded += 1
        found, own, _ = self.photos[image.tobytes()]
        count = max(0, len(found) - self.miss)
        shape = {f"p{i}": torch.zeros((1, 1, 24 // 2**k, 32 // 2**k)) for k, i in enumerate("2345")}
        scene = Scene(
            image_size=SIZE,
            input_size=SIZE,
            pyramid=shape,
            boxes_xyxy_px=found[:count] + self.shift * torch.tensor([1.0, 0, 1, 0]),
            labels=own[:count],
            scores=torch.linspace(0.9, 0.5, count),
            probabilities=torch.tensor([[0.1, 0.2, 0.3, 0.4]]).repeat(count, 1),
            key=image.tobytes().hex(),
        )
        if boxes is None:
            return scene
        empty = replace(
            scene,
            boxes_xyxy_px=found[:0],
            labels=own[:0],
            scores=scene.scores[:0],
            probabilities=scene.probabilities[:0],
            box_source="given",
        )
        scene = self.add_boxes(empty, boxes)
        return replace(scene, labels=torch.as_tensor(labels))

    def add_boxes(self, scene: Scene, boxes: Any) -> Scene:
        boxes = torch.as_tensor(boxes)
        n = len(boxes)
        return replace(
            scene,
            boxes_xyxy_px=torch.cat([scene.boxes_xyxy_px, boxes]),
            labels=torch.cat([scene.labels, torch.full((n,), -1)]),
            scores=torch.cat([scene.scores, torch.ones(n)]),
            probabilities=torch.cat(
                [scene.probabilities, torch.tensor([[0.7, 0.1, 0.1, 0.1]]).repeat(n, 1)]
            ),
        )

    def logits(self, scene: Scene, i: int, grid: int) -> torch.Tensor:
        found, _, masks = self.photos[bytes.fromhex(scene.key)]
        boxes = scene.boxes_xyxy_px[i : i + 1]
        nearest = torch.cdist(boxes, found).argmin(1)
        at = boxes - self.shift * torch.tensor([1.0, 0, 1, 0])
        return crop_masks(masks, at, nearest, grid)[0] * 20 - 10

    def decode_all_grids(self, scene: Scene) -> dict:
        stacks = {g: [self.logits(scene, i, g) for i in range(len(scene))] for g in GRIDS}
        return {g: (torch.stack(s), torch.stack(s)) for g, s in stacks.items()}

    def decode(
        self, scene: Scene, policy: Any = "msm", *, threshold: float = 0.5, ious: Any = None
    ) -> Instances:
        boxes = scene.boxes_xyxy_px
        rois = RoIs(
            scene.probabilities.numpy(),
            boxes.numpy(),
            {n: tuple(t.shape[-2:]) for n, t in scene.pyramid.items()},
            self.cost_table,
            ious,
        )
        if isinstance(policy, str):
            policy = parse_policy(policy, config=self.config)
        selection = select(policy, rois)
        logits = [self.logits(scene, i, int(g)) for i, g in enumerate(selection.grids)]
        return Instances(
            image_size=SIZE,
            boxes_xyxy_px=boxes,
            labels=scene.labels,
            scores=scene.scores,
            mask_logits=tuple(logits),
            edge_logits=tuple(logits),
            selection=selection,
            categories=self.categories,
            threshold=threshold,
        )


@pytest.fixture
def coco(tmp_path: Path) -> TinyCoco:
    return tiny_coco(tmp_path, photos=3, crowd=True)


def run(predictor: KnowingPredictor, coco: TinyCoco, *policies: str, **more: Any) -> list[dict]:
    return evaluate(predictor, coco.annotations, coco.images, policies, **more)


def test_right_answers_score_high_and_have_every_column(coco: TinyCoco) -> None:
    predictor = KnowingPredictor(coco)
    seen: list[tuple[int, int]] = []
    rows = run(predictor, coco, "fixed:112", "msm", progress=lambda *a: seen.append(a))
    assert [r["policy"] for r in rows] == ["fixed:112", "msm"]
    assert seen == [(1, 3), (2, 3), (3, 3)]
    assert predictor.encoded == 3, "once per photo, whatever the number of policies"
    row = rows[0]
    assert row["boxes"] == "detector" and row["images"] == 3 and row["objects"] == 9
    assert row["AP50"] == row["AP75"] == row["box_AP50"] == row["box_AP50_person"] == 1.0
    assert row["AP"] > 0.9 and row["mean_iou"] > 0.9 and row["mean_boundary_iou"] > 0.8
    assert row["boundary_AP"] <= row["AP"]
    assert row["APL"] is None, "the photos hold no large object"
    assert row["share"] == {"14": 0.0, "28": 0.0, "56": 0.0, "112": 1.0}
    assert row["seconds_per_image"] > 0
    assert json.loads(json.dumps(rows, allow_nan=False)) == rows


def test_coarser_grids_fit_worse_and_cost_less(coco: TinyCoco) -> None:
    rows = run(KnowingPredictor(coco), coco, *(f"fixed:{g}" for g in GRIDS), boxes="gt")
    for key in ("mean_iou", "mean_boundary_iou", "gmac_per_roi"):
        values = [r[key] for r in rows]
        assert values[0] < values[-1], key
    assert [r["gmac_per_roi"] for r in rows] == sorted(r["gmac_per_roi"] for r in rows)


def test_cost_per_object_is_that_of_the_whole_set(coco: TinyCoco) -> None:
    predictor = KnowingPredictor(coco, miss=1)
    row = run(predictor, coco, "fixed:28")[0]
    table = predictor.cost_table
    branch = table.image_branch_mac({"p2": (24, 32), "p3": (12, 16), "p4": (6, 8)})["p4"]
    expected = (6 * table.exit_mac[28] + 3 * branch) / 6 / 1e9  # two objects in each of 3 photos
    assert row["gmac_per_roi"] == pytest.approx(expected)
    assert run(predictor, coco, "msm")[0]["share"]["112"] == 1.0, "the detector's objects"


def test_missed_objects_lower_ap_but_not_the_iou_on_given_boxes(coco: TinyCoco) -> None:
    whole = run(KnowingPredictor(coco), coco, "fixed:112")[0]
    missed = run(KnowingPredictor(coco, miss=1), coco, "fixed:112")[0]
    assert missed["AP50"] == pytest.approx(2 / 3, abs=0.01), "one of three classes is never found"
    assert missed["box_AP50_person"] == 1.0
    assert missed["mean_iou"] == whole["mean_iou"]


def test_shifted_answers_lose_boundary_first(coco: TinyCoco) -> None:
    row = run(KnowingPredictor(coco, shift=2.0), coco, "fixed:112")[0]
    assert row["boundary_AP"] < row["AP"] - 0.2


def test_intervals_and_differences_are_of_the_same_objects(coco: TinyCoco) -> None:
    predictor = KnowingPredictor(coco)
    fine, coarse = evaluate(
        predictor, coco.annotations, coco.images, ["fixed:112", "fixed:14"], "gt"
    )
    for row in (fine, coarse):
        for name in ("mean_iou", "mean_boundary_iou"):
            low, high = row["ci95"][name]
            assert low <= row[name] <= high
            told = row["against_first"][name]
            assert told["difference"] == pytest.approx(row[name] - fine[name])
            assert told["ci95"][0] <= told["difference"] <= told["ci95"][1]
    assert fine["against_first"]["mean_iou"] == {"difference": 0.0, "ci95": [0.0, 0.0]}
    assert coarse["against_first"]["mean_iou"]["ci95"][1] < 0, "worse on every photo"


def test_ap_of_each_class(coco: TinyCoco) -> None:
    (row,) = evaluate(KnowingPredictor(coco), coco.annotations, coco.images, ["msm"])
    classes = row["box_AP50_per_class"]
    assert set(classes) <= set(KNOWN) and classes
    assert np.mean(list(classes.values())) == pytest.approx(row["box_AP50"])
    assert row["box_AP50_person"] == classes.get("person")


def test_nothing_found_is_zero_and_not_an_error(coco: TinyCoco) -> None:
    row = run(KnowingPredictor(coco, miss=3), coco, "msm")[0]
    assert row["AP"] == row["boundary_AP"] == row["box_AP50"] == 0.0
    assert row["gmac_per_roi"] == 0.0 and sum(row["share"].values()) == 0.0
    assert row["mean_iou"] > 0.5


def test_oracle_picks_the_best_grid_on_given_boxes(coco: TinyCoco) -> None:
    predictor = KnowingPredictor(coco)
    rows = run(predictor, coco, "oracle", *(f"fixed:{g}" for g in GRIDS), boxes="gt")
    assert rows[0]["mean_iou"] >= max(r["mean_iou"] for r in rows[1:])
    assert sum(rows[0]["share"].values()) == pytest.approx(1.0)
    assert "box_AP50" not in rows[0]
    with pytest.raises(PolicyError, match="boxes 'gt'"):
        run(predictor, coco, "oracle")


def test_limit_takes_the_first_photos(coco: TinyCoco) -> None:
    row = run(KnowingPredictor(coco), coco, "msm", limit=2)[0]
    assert row["images"] == 2 and row["objects"] == 6 and row["AP50"] == 1.0


def test_boxes_thinner_than_a_pixel_are_still_measured(tmp_path: Path) -> None:
    coco = tiny_coco(tmp_path, photos=1)
    coco.data["annotations"][0].update(
        segmentation=[[100, 95.4, 128, 95.4, 128, 96, 100, 96]], bbox=[100, 95.4, 28, 0.6]
    )
    coco.rewrite()
    weights = DynaMask(preset("effnet_lite0_fpn"))
    predictor = Predictor(LoadedWeights(weights, KNOWN, {}, "0" * 64), device="cpu")
    row = run(predictor, coco, "msm", "oracle", boxes="gt")[1]
    assert row["objects"] == 3 and 0.0 <= row["mean_iou"] <= 1.0


def test_the_real_predictor_runs_every_policy(coco: TinyCoco) -> None:
    torch.manual_seed(0)
    weights = DynaMask(preset("effnet_lite0_fpn"))
    predictor = Predictor(LoadedWeights(weights, KNOWN, {}, "0" * 64), device="cpu")
    rows = run(predictor, coco, "msm", "fixed:14", "size", limit=1)
    assert len(rows) == 3
    for row in rows:
        assert 0.0 <= row["mean_iou"] <= 1.0 and row["AP"] is not None
    assert rows[1]["share"]["14"] in (0.0, 1.0)


def test_a_set_without_objects_has_no_numbers_to_show(coco: TinyCoco) -> None:
    predictor = KnowingPredictor(coco)
    coco.data["annotations"] = []
    coco.rewrite()
    for boxes in ("gt", "detector"):
        row = run(predictor, coco, "msm", boxes=boxes)[0]
        assert row["AP"] is None and row["mean_iou"] is None and row["objects"] == 0
    coco.data["images"] = []
    coco.rewrite()
    row = run(predictor, coco, "msm")[0]
    assert row["seconds_per_image"] is None and row["images"] == 0


def test_bad_requests_are_refused_before_any_photo(coco: TinyCoco) -> None:
    predictor = KnowingPredictor(coco)
    for bad in ({"boxes": "mine"}, {}):
        with pytest.raises((DataError, PolicyError), match="Expected"):
            run(predictor, coco, *(["msm"] if bad else []), **bad)
    with pytest.raises(PolicyError):
        run(predictor, coco, "msm", "magic")
    predictor.categories = ("tree",)
    with pytest.raises(DataError, match="categories that the model knows"):
        run(predictor, coco, "msm")
    assert predictor.encoded == 0


def test_ap_equals_pycocotools_on_plain_files(coco: TinyCoco, tmp_path: Path) -> None:
    """Our checked and renumbered path gives the same AP as pycocotools reading plain JSON."""
    rng = np.random.default_rng(0)
    whole = read_coco(coco.annotations)
    detections = []
    for image in whole.images:
        for a in whole.by_image[image.id]:
            mask = np.roll(decode_mask(a, *SIZE), int(rng.integers(-6, 7)), axis=1)
            score = float(rng.random())
            detections.append(
                Detection.of_mask(image.id, a.category_id, score, mask, np.array(a.box_xyxy))
            )
    got = Scorer(whole, whole.images).masks(detections)
    results = [
        {
            "image_id": d.image_id,
            "category_id": d.category_id,
            "score": d.score,
            "segmentation": {**d.rle, "counts": d.rle["counts"].decode()},
        }
        for d in detections
    ]
    path = tmp_path / "found.json"
    path.write_text(json.dumps(results))
    truth = COCO(str(coco.annotations))
    plain = COCOeval(truth, truth.loadRes(str(path)), "segm")
    plain.evaluate()
    plain.accumulate()
    plain.summarize()
    assert 0.1 < plain.stats[0] < 0.95
    for name, value in zip(("AP", "AP50", "AP75"), plain.stats, strict=False):
        assert got[name] == pytest.approx(value)
    assert got["boundary_AP"] < got["AP"]
