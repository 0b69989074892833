"""Boxes from elsewhere: names, files in torchvision's true format, COCO results, ground truth."""

from __future__ import annotations

import json
import logging
import urllib.error
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from factories import tiny_coco

from dynamask import detectors
from dynamask.cli import main
from dynamask.coco_read import read_coco, read_photo
from dynamask.detectors import TORCHVISION, Found, encode_found, parse_detector
from dynamask.errors import DataError, DynaMaskError, InputError, WeightsError
from dynamask.predictor import Predictor

SMALL = "fasterrcnn_mobilenet_v3_large_320_fpn"


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random weights of the small detector as torchvision publishes them, sure of its classes."""
    torch.manual_seed(0)
    model = torchvision.models.get_model_builder(SMALL)(weights=None, weights_backbone=None)
    state = model.state_dict()
    state["roi_heads.box_predictor.cls_score.bias"][[1, 12, 18]] += 4  # 12 has no name
    path = tmp_path_factory.mktemp("weights") / "detector.pth"
    torch.save(state, path)
    return path


def photo() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)


@pytest.mark.parametrize("spec", [None, "own", " own "])
def test_the_models_own(spec: str | None) -> None:
    assert parse_detector(spec) is None


@pytest.mark.parametrize("spec", ["yolo", "torchvision:nope", "coco:", "own:x", "torchvision"])
def test_unknown_detectors_are_refused_with_the_known_ones(spec: str) -> None:
    with pytest.raises(InputError, match="maskrcnn_resnet50_fpn_v2"):
        parse_detector(spec)


def test_weights_need_a_torchvision_detector(weights: Path) -> None:
    with pytest.raises(InputError, match="--detector-weights"):
        parse_detector("own", weights)


@pytest.mark.slow
def test_torchvision_detector_from_a_local_file(weights: Path, tiny_predictor: Predictor) -> None:
    detector = parse_detector(f"torchvision:{SMALL}", weights, device="cpu")
    found = detector(photo())
    assert len(found.boxes) > 0, "random weights that are sure of something"
    assert found.boxes.dtype == np.float32 and found.boxes.shape == (len(found.names), 4)
    assert found.boxes.min() >= 0 and found.boxes[:, 2].max() <= 128
    assert ((found.boxes[:, 2:] - found.boxes[:, :2]) >= 1).all()
    assert detectors.NO_CLASS not in found.names and "__background__" not in found.names
    reference = torchvision.models.get_model_builder(SMALL)(weights=None, weights_backbone=None)
    reference.load_state_dict(torch.load(weights, weights_only=True))
    pixels = torch.from_numpy(photo()).permute(2, 0, 1).float() / 255
    with torch.inference_mode():
        (out,) = reference.eval()([pixels])
    kept = [i for i, k in enumerate(out["labels"]) if detector.categories[k] != detectors.NO_CLASS]
    assert np.allclose(found.scores, out["scores"][kept].numpy(), atol=1e-5)
    scene = encode_found(tiny_predictor, photo(), detector)
    assert scene.box_source == "given"
    assert torch.allclose(scene.scores, torch.from_numpy(found.scores))
    names = [tiny_predictor.categories[i] if i >= 0 else "" for i in scene.labels]
    assert names == [n if n in tiny_predictor.categories else "" for n in found.names]


@pytest.mark.slow
def test_weights_of_another_network(weights: Path) -> None:
    with pytest.raises(WeightsError, match="another network"):
        parse_detector("torchvision:fasterrcnn_resnet50_fpn", weights, device="cpu")


def test_damaged_and_missing_weights(tmp_path: Path) -> None:
    bad = tmp_path / "bad.pth"
    bad.write_bytes(b"not weights")
    for path in (bad, tmp_path / "none.pth"):
        with pytest.raises(WeightsError):
            parse_detector(f"torchvision:{SMALL}", path, device="cpu")


def test_a_download_is_announced_and_its_failure_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def offline(*args: object, **kwargs: object) -> None:
        raise urllib.error.URLError("no network here")

    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", offline)
    with caplog.at_level(logging.WARNING), pytest.raises(WeightsError) as error:
        parse_detector(f"torchvision:{SMALL}", device="cpu")
    assert "--detector-weights" in str(error.value) and "URLError" in str(error.value)
    said = caplog.text
    assert "MB" in said and "https://" in said and str(tmp_path) in said


@pytest.mark.parametrize("name", TORCHVISION)
def test_every_name_is_one_of_torchvision_with_published_coco_weights(name: str) -> None:
    published = torchvision.models.get_model_weights(name).DEFAULT
    assert len(published.meta["categories"]) == 91
    assert published.meta["_file_size"] > 1


def results(tmp_path: Path, entries: object) -> str:
    path = tmp_path / "results.json"
    path.write_text(json.dumps(entries))
    return f"coco:{path}"


def test_coco_results_by_image_id_and_by_file_name(tmp_path: Path) -> None:
    entries = [
        {"image_id": 42, "category_id": 18, "bbox": [10, 20, 30, 40], "score": 0.4},
        {"image_id": 42, "category_id": 1, "bbox": [-5, 0, 300, 50], "score": 0.9},
        {"image_id": 7, "category_id": 1, "bbox": [1, 1, 5, 5], "score": 0.5, "file_name": "a.png"},
    ]
    detector = parse_detector(results(tmp_path, entries))
    found = detector(photo(), "000000000042.jpg")
    assert found.names == ("person", "dog"), "by falling score"
    assert found.boxes.tolist() == [[0, 0, 128, 50], [10, 20, 40, 60]]
    assert detector(photo(), "a.png").scores.tolist() == [0.5]
    assert len(detector(photo(), "other.jpg").boxes) == 0


@pytest.mark.parametrize(
    "entries",
    [
        {"images": []},
        [{"image_id": 1}],
        [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 0, 4], "score": 0.5}],
        [{"image_id": 1, "category_id": 1, "bbox": [0, 0, 4, 4], "score": 1.5}],
        [{"image_id": "x", "category_id": 1, "bbox": [0, 0, 4, 4], "score": 0.5}],
        ["no"],
    ],
)
def test_odd_results_are_refused(tmp_path: Path, entries: object) -> None:
    with pytest.raises(DataError):
        parse_detector(results(tmp_path, entries))


def test_files_that_are_no_json(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_bytes(b"\x00{")
    for name in ("x.json", "none.json"):
        with pytest.raises(DynaMaskError):
            parse_detector(f"coco:{tmp_path / name}")


def test_ground_truth_boxes(tmp_path: Path, tiny_predictor: Predictor) -> None:
    made = tiny_coco(tmp_path, 2, objects=3, name="shapes")
    coco = read_coco(made.annotations)
    detector = parse_detector(f"gt:{made.annotations}")
    image = coco.images[0]
    pixels = read_photo(made.images, image)
    scene = encode_found(tiny_predictor, pixels, detector, image.file_name)
    assert len(scene) == 3 and scene.scores.tolist() == [1, 1, 1]
    with pytest.raises(DataError, match="no such"):
        detector(pixels, "unknown.jpg")


def test_nothing_found_is_an_empty_scene(tiny_predictor: Predictor) -> None:
    class Blind:
        name = "blind"

        def __call__(self, image: np.ndarray, file_name: str = "") -> Found:
            return Found(np.zeros((0, 4), np.float32), (), np.zeros(0, np.float32))

    scene = encode_found(tiny_predictor, photo(), Blind())
    assert len(scene) == 0
    assert len(tiny_predictor.decode(scene, "msm")) == 0


@pytest.mark.slow
def test_predict_with_boxes_from_a_file(tmp_path: Path, tiny_weights: Path) -> None:
    made = tiny_coco(tmp_path, 1, objects=2, name="shapes")
    image = read_coco(made.annotations).images[0]
    command = ["predict", str(made.images / image.file_name), "--out", str(tmp_path / "out")]
    command += ["--weights", str(tiny_weights), "--device", "cpu", "--json"]
    assert main([*command, "--detector", f"gt:{made.annotations}"]) == 0
    facts = json.loads((tmp_path / "out" / f"{Path(image.file_name).stem}.json").read_text())
    assert len(facts["objects"]) == 2
    assert main([*command, "--detector", "nonsense"]) == 2
