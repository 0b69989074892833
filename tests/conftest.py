"""Fixtures shared by all tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from factories import draw_shapes

from dynamask.categories import COCO_CATEGORIES
from dynamask.checkpoint import save_weights
from dynamask.config import preset
from dynamask.model.detector import DynaMask
from dynamask.predictor import Predictor

torch.set_num_threads(1)  # two test files run at a time

RANDOM_SCORE = 1e-4  # random weights spread the score over 81 classes
SHOWN = 12


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of random weights (seed 0) in the true format, of the smallest preset.

    Its configuration lets at most twelve boxes of any score through, so that something is found.
    """
    torch.manual_seed(0)
    config = preset("effnet_lite0_fpn")
    detector = replace(config.detector, score_threshold=RANDOM_SCORE, max_detections=SHOWN)
    model = DynaMask(config.replace(detector=detector))
    path = tmp_path_factory.mktemp("weights") / "tiny.safetensors"
    save_weights(model, path, categories=COCO_CATEGORIES, metadata={"seed": 0})
    return path


@pytest.fixture(scope="session")
def tiny_predictor(tiny_weights: Path) -> Predictor:
    """A predictor of :func:`tiny_weights` on the CPU."""
    return Predictor.from_weights(tiny_weights, device="cpu")


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo of 160x120 pixels with three drawn shapes, in a folder of its own."""
    path = tmp_path / "in" / "shapes.png"
    path.parent.mkdir()
    image, _ = draw_shapes(np.random.default_rng(3), 120, 160, 3)
    cv2.imwrite(str(path), image[..., ::-1])
    return path
