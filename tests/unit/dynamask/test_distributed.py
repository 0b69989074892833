"""Two real processes make the step that one process makes with twice the batch."""

from __future__ import annotations

import csv
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from factories import REPOSITORY, tiny_coco, tiny_mask_folder

from dynamask.training.distributed import Team, TeamBatchNorm, TeamSampler
from dynamask.training.sampler import MixedSampler
from dynamask.training.state import load_checkpoint

SIZES = {"coco": 7, "person": 5, "extra": 3}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project's data layout with drawn shapes, photos of two sizes."""
    root = tmp_path_factory.mktemp("data")
    coco = root / "coco_mini"
    coco.mkdir()
    sets = (
        ("train", "instances_train.json", (96, 128), 3),
        ("person_single", "person_single.json", (128, 96), 1),
    )
    for name, file, size, objects in sets:
        made = tiny_coco(coco, 6, name=name, seed=len(name), size=size, objects=objects)
        shutil.move(made.annotations, coco / file)
    shutil.move(tiny_mask_folder(root, photos=4), root / "masks_extra")
    return root


def train(
    data: Path, run: Path, *options: str, processes: int = 1, self_signal: str = ""
) -> subprocess.CompletedProcess[str]:
    """Run the command in its own process, or in several through torchrun."""
    script = str(REPOSITORY / "tests" / "training_worker.py")
    start = [sys.executable, script]
    if processes > 1:
        start = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        # torchrun takes a later --run for an abbreviation of its own options, but for the dashes
        start += ["--nproc-per-node", str(processes), "--", script]
    fixed = ["--preset", "effnet_lite0_fpn", "--data", str(data), "--run", str(run)]
    fixed += ["--sides", "96,128", "--rois", "3", "--warmup", "1", "--backbone-lr", "1e-4"]
    fixed += ["--device", "cpu", "--threads", "1", "--steps", "3"]
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}
    environment["SELF_SIGNAL"] = self_signal
    return subprocess.run(
        [*start, "train", *fixed, *options],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        timeout=540,
        check=False,
    )


def log(run: Path) -> list[dict[str, str]]:
    with open(run / "log.csv", newline="") as file:
        return list(csv.DictReader(file))


def assert_same_run(one: Path, two: Path, *, movement: float) -> None:
    """The logged loss to 1e-3, and the weights to a small part of what a step moves."""
    first, second = log(one), log(two)
    assert len(first) == len(second) == 3
    for a, b in zip(first, second, strict=True):
        assert a.keys() == b.keys()
        for name in a:
            if name in ("seconds", "step"):
                continue
            # the gain loss squares differences of IoU over 0.02
            allowed = 1e-3 if name == "loss" else 5e-3
            assert float(a[name]) == pytest.approx(float(b[name]), rel=allowed, abs=1e-4), name
    states = [load_checkpoint(run / "checkpoint.pt") for run in (one, two)]
    assert states[0]["model"].keys() == states[1]["model"].keys()
    for part in ("model", "average"):
        far = total = 0
        for name, tensor in states[0][part].items():
            off = (tensor.float() - states[1][part][name].float()).abs()
            scale = movement + 4e-4 * float(tensor.float().abs().max())
            assert float(off.mean()) < 0.05 * scale, name
            far += int((off > 0.25 * scale).sum())
            total += off.numel()
        # AdamW turns the rounding of a gradient near 0 into part of a whole step
        assert far <= 1e-5 * total, f"{far} of {total}"


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("two", "one", "more"),
    [
        ("coco=1,person=1", "coco=2,person=2", []),
        # the second process never has a photo with classes, and the switch learns by gain
        ("extra=1,coco=0.5", "extra=2,coco=1", ["--switch-loss", "gain"]),
    ],
    ids=["paper", "gain"],
)
def test_two_processes_equal_one_with_twice_the_batch(
    data: Path, tmp_path: Path, two: str, one: str, more: list[str]
) -> None:
    alone = train(data, tmp_path / "one", "--batch", one, *more)
    assert alone.returncode == 0, alone.stderr[-2000:]
    export = tmp_path / "w.safetensors"
    both = train(
        data, tmp_path / "two", "--batch", two, "--export", str(export), *more, processes=2
    )
    assert both.returncode == 0, both.stderr[-3000:]
    assert both.stderr.count("step 3/3") == 1, "one process speaks"
    assert_same_run(tmp_path / "one", tmp_path / "two", movement=4e-4)
    assert export.is_file()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_sigterm_on_any_rank_stops_all_with_a_checkpoint_that_resumes(
    data: Path, tmp_path: Path
) -> None:
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    done = train(data, whole, processes=2)
    assert done.returncode == 0, done.stderr[-3000:]
    stopped = train(data, parts, processes=2, self_signal=f"1:1:{int(signal.SIGTERM)}")
    assert stopped.returncode != 0
    assert "stopped by SIGTERM after step 2" in stopped.stderr, stopped.stderr[-3000:]
    assert load_checkpoint(parts / "checkpoint.pt")["step"] == 2, "the step at hand was finished"
    again = train(data, parts, "--resume", processes=2)
    assert again.returncode == 0, again.stderr[-3000:]
    a, b = (load_checkpoint(run / "checkpoint.pt")["model"] for run in (whole, parts))
    assert all(torch.allclose(a[k].float(), b[k].float(), atol=1e-6) for k in a)
    other = train(data, parts, "--resume")
    assert other.returncode == 2 and "options of the run" in other.stderr, "another team"


@pytest.mark.parametrize("world", [2, 3])
def test_shards_are_the_larger_batch_dealt_out(world: int) -> None:
    plan = {"coco": 1.0, "person": 0.5, "extra": 0.3}
    whole = MixedSampler(SIZES, {n: c * world for n, c in plan.items()}, seed=4, steps=40)
    shards = [MixedSampler(SIZES, plan, 4, 40, rank=r, world=world) for r in range(world)]
    for step in range(40):
        parts = [shard.batch(step) for shard in shards]
        assert all(parts), "no process stands idle"
        dealt = [
            parts[r][place]
            for place in range(max(map(len, parts)))
            for r in range(world)
            if place < len(parts[r])
        ]
        assert dealt == whole.batch(step)


def test_team_of_one_samples_as_torchvision_does() -> None:
    from torchvision.models.detection._utils import BalancedPositiveNegativeSampler

    generator = torch.Generator().manual_seed(0)
    labels = [torch.randint(-1, 3, (500,), generator=generator) for _ in range(3)]
    theirs, ours = BalancedPositiveNegativeSampler(64, 0.25), TeamSampler(Team(), 64, 0.25)
    ours.places, ours.team.slots = [0, 1, 3], 4
    torch.manual_seed(5)
    expected = theirs(labels)
    torch.manual_seed(5)
    found = ours(labels)
    for a, b in zip((*expected[0], *expected[1]), (*found[0], *found[1]), strict=True):
        assert torch.equal(a, b)
    assert ours.own == ours.total == 3 * 64


def test_team_batch_norm_is_batch_norm() -> None:
    torch.manual_seed(0)
    theirs = torch.nn.BatchNorm2d(5)
    torch.nn.init.uniform_(theirs.weight)
    ours = TeamBatchNorm.of(torch.nn.BatchNorm2d(5), Team())
    ours.load_state_dict(theirs.state_dict())
    x = (torch.randn(7, 5, 6, 6) * 3 + 10).requires_grad_()
    y = x.detach().clone().requires_grad_()
    pull = torch.randn(7, 5, 6, 6)
    for layer, values in ((theirs, x), (ours, y)):
        (layer(values) * pull).sum().backward()
    assert torch.allclose(x.grad, y.grad, atol=1e-4)
    assert torch.allclose(theirs.weight.grad, ours.weight.grad, rtol=1e-4, atol=1e-3)
    for name, tensor in theirs.state_dict().items():
        assert torch.allclose(tensor.float(), ours.state_dict()[name].float(), rtol=1e-4), name
    theirs.eval(), ours.eval()
    assert torch.allclose(theirs(x), ours(x), atol=1e-4)
