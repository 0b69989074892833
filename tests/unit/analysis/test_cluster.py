"""A local Ray cluster of two workers, and a process that a photo brings down."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path
from typing import Any

import pytest
from factories import TinyCoco, tiny_coco
from run_compare import assert_same_run, tables

from analysis import cluster, measure
from analysis.run import RunConfig, run_dataset
from analysis.schema import TABLES
from dynamask.errors import InputError


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> TinyCoco:
    return tiny_coco(tmp_path_factory.mktemp("set"), 9, objects=2, size=(48, 64), crowd=True)


def config(coco: TinyCoco, weights: Path, out: Path) -> RunConfig:
    return RunConfig(
        coco=coco.annotations,
        images=coco.images,
        out=out,
        policies=("msm", "size", "oracle"),
        weights=weights,
        device="cpu",
        photos_per_shard=4,
    )


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_ray_and_local_write_identical_rows(
    coco: TinyCoco, tiny_weights: Path, tmp_path: Path
) -> None:
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    import ray

    local = run_dataset(config(coco, tiny_weights, tmp_path / "local"), processes=1)
    assert local.state == "done"
    ray.init(
        num_cpus=2,
        include_dashboard=False,
        log_to_driver=False,
        object_store_memory=120_000_000,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(cluster.__file__).parents[1])}},
    )
    try:
        far = config(coco, tiny_weights, tmp_path / "ray")
        stop = threading.Event()
        seen: list[int] = []

        def progress(step: Any) -> None:
            seen.append(step.done)
            if step.done == 2:
                stop.set()

        first = run_dataset(far, workers="ray", processes=2, cancel=stop, progress=progress)
        assert first.state == "stopped" and first.photos_done == 2
        second = run_dataset(far, workers="ray", processes=2, resume=True)
        assert second.state == "done"
    finally:
        ray.shutdown()
    assert_same_run(tmp_path / "local", tmp_path / "ray")


def test_without_ray_it_says_what_to_install(
    coco: TinyCoco, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="requirements-cluster"):
        run_dataset(config(coco, tiny_weights, tmp_path / "run"), workers="ray")


class Crashing:
    """Stands in for the model in a worker: the third photo is one that crashes C code."""

    ending = signal.SIGSEGV

    def __init__(self, plan: measure.Plan) -> None:
        del plan

    def __call__(self, item: measure.Item) -> dict[str, list]:
        if item.position == 2:
            os.kill(os.getpid(), self.ending)
        rows: dict[str, list] = {k: [] for k in TABLES}
        return {**rows, "photos": [measure.photo_row(item.image, "done")]}


class Killed(Crashing):
    ending = signal.SIGKILL


def crashing_worker(connection: Any, plan: measure.Plan, device: str) -> None:
    cluster.Meter = Crashing
    cluster._serve(connection, plan, device)


def killed_worker(connection: Any, plan: measure.Plan, device: str) -> None:
    cluster.Meter = Killed
    cluster._serve(connection, plan, device)


@pytest.mark.timeout(300)
def test_a_photo_that_crashes_its_process_is_reported(
    coco: TinyCoco, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_serve", crashing_worker)
    info = run_dataset(config(coco, tiny_weights, tmp_path / "run"), processes=2)
    assert (info.state, info.photos_done) == ("done", 9)
    problems = tables(tmp_path / "run")["problems"]
    photos = problems[problems["place"] == "photo"]
    assert photos["id"].tolist() == [3] and "SIGSEGV" in photos["reason"].iloc[0]


@pytest.mark.timeout(300)
def test_a_process_that_is_killed_stops_the_run(
    coco: TinyCoco, tiny_weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster, "_serve", killed_worker)
    with pytest.raises(InputError, match="status -9, often for lack of memory"):
        run_dataset(config(coco, tiny_weights, tmp_path / "run"), processes=2)
