"""Options of a run: what a resume must repeat, and that old runs can still be resumed."""

from __future__ import annotations

import argparse

import pytest

from dynamask.training import train
from dynamask.training.options import LATER, run_options
from dynamask.training.state import options_hash

LONG_RUN = (
    "--preset effnet_lite2_fpn --data ../shared/data --run runs/masks2 "
    "--export runs/masks2/w.safetensors --init assets/weights/effnet_lite2_fpn.safetensors "
    "--steps 3400 --lr 4e-4 --backbone-lr 1.5e-4 --backbone-from 2 "
    "--batch coco=1,extra=0.3,person=0.3 --copy-paste 0.15 --sides 480,704 --rois 16 --bf16 "
    "--switch-loss gain --threads 2 --workers 1 --seed 3"
)


def options(text: str = "") -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    train.add_arguments(parser)
    return parser.parse_args(text.split())


@pytest.mark.parametrize(
    ("text", "known"), [("", "ce629b9eb6173a25"), (LONG_RUN, "b48e1562336a198f")]
)
def test_hash_of_runs_made_before_the_later_options(text: str, known: str) -> None:
    """Computed by the code of commit d0961fe: a run of that time must still resume."""
    assert options_hash(run_options(options(text))) == known


@pytest.mark.parametrize(
    "change",
    [
        "--lr 1e-3",
        "--temperature 1",
        "--temperature-end 0.1",
        "--schedule 1x",
        "--own-padding",
        "--data-coco a.json b",
        "--seed 1",
    ],
)
def test_what_changes_the_run_changes_the_hash(change: str) -> None:
    assert options_hash(run_options(options(change))) != options_hash(run_options(options()))


@pytest.mark.parametrize(
    "change",
    [
        "--resume",
        "--stop-after 3",
        "--workers 2",
        "--threads 1",
        "--device cpu",
        "--log-every 1",
        "--export x",
        "--estimate 5",
        "--run elsewhere",
    ],
)
def test_what_does_not_change_the_run_does_not(change: str) -> None:
    assert options_hash(run_options(options(change))) == options_hash(run_options(options()))


def test_team_and_moved_data() -> None:
    alone, two = (run_options(options(), n) for n in (1, 2))
    assert options_hash(alone) != options_hash(two), "another batch"
    here = run_options(options("--data-coco one/a.json one/photos"))
    there = run_options(options("--data-coco two/a.json two/photos"))
    assert options_hash(here) == options_hash(there)


def test_later_options_exist() -> None:
    parsed = vars(options())
    assert all(parsed[k] == v for k, v in LATER.items() if k != "processes")
