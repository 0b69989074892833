"""Who does the photos of a run: this process, several of this machine, or a Ray cluster.

All three are iterators of (position in the set, rows) in any order, and only they differ: what is
measured, written and resumed is the same code.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.measure import Item, Meter, Plan
from analysis.rows import Rows, skipped_photo
from dynamask.errors import DynaMaskError, InputError

if TYPE_CHECKING:
    from dynamask.checkpoint import LoadedWeights
    from dynamask.detectors import Detector
    from dynamask.predictor import Predictor

Result = tuple[int, Rows]

WORKER_BYTES = 1_500_000_000
"""Memory that one process needs with the bundled model: measured 0.9 GB, with room."""
THREADS = 1
"""Of torch in every worker. Sums of several threads differ in the last bits, so one thread each is
what makes rows equal however many workers there are; cores are used by having more workers."""
CRASHES = {
    getattr(signal, name)
    for name in ("SIGSEGV", "SIGABRT", "SIGBUS", "SIGFPE", "SIGILL")
    if hasattr(signal, name)  # Windows lacks one
}
"""Ends of a worker that the photo in work is to blame for; others stop the run."""
BLOCK_PHOTOS = 4
"""Photos that a Ray actor takes at once: few, so that what is done is soon stored."""


def inline(
    plan: Plan,
    items: Sequence[Item],
    cancel: threading.Event,
    guard: AbstractContextManager[Any] | None = None,
    predictor: Predictor | None = None,
    detector: Detector | None = None,
) -> Iterator[Result]:
    """One photo after the other in this thread, with ``guard`` held around each."""
    if cancel.is_set():
        return
    meter = Meter(plan, predictor, detector)
    for item in items:
        if cancel.is_set():
            return
        with guard or contextlib.nullcontext():
            rows = meter(item)
        yield item.position, rows


@contextlib.contextmanager
def _threads(count: int) -> Iterator[None]:
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


# -- processes of this machine -------------------------------------------------------------


def fitting(photos: int) -> int:
    """How many processes this machine holds: one per GPU, else by cores and free memory."""
    import torch

    if torch.cuda.is_available():
        return max(1, min(torch.cuda.device_count(), photos))
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return max(1, min(cores or 1, _free_bytes() // WORKER_BYTES, photos // 4))


def local(
    plan: Plan,
    items: Sequence[Item],
    cancel: threading.Event,
    processes: int | None = None,
    loaded: LoadedWeights | None = None,
) -> Iterator[Result]:
    """Processes of this machine, each with a model of its own; with one, no other process.

    A process that a photo brings down is replaced, and the photo reported. ``loaded`` saves a
    single process from reading the weights again.

    Raises:
        InputError: a process was killed, or failed for another reason.
    """
    count = min(processes or fitting(len(items)), len(items))
    if count == 1:
        from dynamask.predictor import Predictor as Ready

        predictor = None if loaded is None else Ready(loaded, device=plan.device)
        with _threads(THREADS):
            yield from inline(plan, items, cancel, predictor=predictor)
        return
    del loaded
    pool = _Pool(plan, count)
    try:
        yield from pool.run(items, cancel)
    finally:
        pool.close()


class _Worker:
    """One process and the photo that it works on."""

    def __init__(self, plan: Plan, device: str) -> None:
        # not fork: torch's threads do not survive it
        context = multiprocessing.get_context("spawn")
        self.connection, there = context.Pipe()
        self.process = context.Process(target=_serve, args=(there, plan, device), daemon=True)
        self.device = device
        self.item: Item | None = None
        self.process.start()
        there.close()  # so that the pipe ends with the process

    def give(self, item: Item | None) -> None:
        """Hand over a photo; None says that there are no more."""
        self.item = item
        with contextlib.suppress(OSError):  # its end is noticed when its answer is read
            self.connection.send(item)


class _Pool:
    def __init__(self, plan: Plan, count: int) -> None:
        self.plan = plan
        devices = _devices(plan.device, count)
        self.workers = [_Worker(plan, d) for d in devices]

    def run(self, items: Sequence[Item], cancel: threading.Event) -> Iterator[Result]:
        waiting = iter(items)
        for worker in list(self.workers):
            self._next(worker, waiting, cancel)
        while self.workers:
            ready = wait([w.connection for w in self.workers], timeout=1.0)
            for worker in [w for w in self.workers if w.connection in ready]:
                free, result = self._answer(worker)
                yield result
                self._next(free, waiting, cancel)

    def _answer(self, worker: _Worker) -> tuple[_Worker, Result]:
        """What a worker says about its photo, and who is free for the next."""
        try:
            kind, what = worker.connection.recv()
        except (EOFError, OSError):
            return self._ended(worker)
        if kind == "failed" or worker.item is None:
            raise InputError(what)
        return worker, (worker.item.position, what)

    def _ended(self, worker: _Worker) -> tuple[_Worker, Result]:
        worker.process.join()
        code, item = worker.process.exitcode or 0, worker.item
        self.workers.remove(worker)
        if item is None or -code not in CRASHES:
            raise InputError(
                f"Expected a worker process to go on, got its end with status {code}, often for "
                "lack of memory; go on with --resume, with fewer --processes."
            )
        fresh = _Worker(self.plan, worker.device)
        self.workers.append(fresh)
        reason = f"ended the process that read it ({signal.Signals(-code).name})"
        return fresh, (item.position, skipped_photo(item.image, reason))

    def _next(self, worker: _Worker, waiting: Iterator[Item], cancel: threading.Event) -> None:
        item = None if cancel.is_set() else next(waiting, None)
        worker.give(item)
        if item is None:
            self.workers.remove(worker)
            worker.process.join(timeout=30)
            worker.connection.close()

    def close(self) -> None:
        """End what still runs, after an error or when nobody asks for more."""
        for worker in self.workers:
            worker.process.kill()
            worker.process.join()
            worker.connection.close()


def _serve(connection: Connection, plan: Plan, device: str) -> None:
    """The work of one process."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)  # the parent decides when the work ends
    threading.Thread(target=_end_with_parent, daemon=True).start()
    import dataclasses

    import torch

    torch.set_num_threads(THREADS)
    try:
        meter = Meter(dataclasses.replace(plan, device=device))
        while (item := connection.recv()) is not None:
            connection.send(("rows", meter(item)))
    except DynaMaskError as error:
        connection.send(("failed", str(error)))
    except (EOFError, BrokenPipeError):
        return


def _end_with_parent() -> None:
    """A process whose parent was killed must not go on working unseen."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(1)


def _devices(device: str, count: int) -> list[str]:
    import torch

    if device in ("auto", "cuda") and torch.cuda.is_available():
        return [f"cuda:{k % torch.cuda.device_count()}" for k in range(count)]
    return [device] * count


def _free_bytes() -> int:
    """Memory that is free now, the container's limit respected where it can be read."""
    free = [2**62]
    with contextlib.suppress(OSError, ValueError, StopIteration, IndexError):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free.append(int(next(x for x in lines if x.startswith("MemAvailable")).split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):
        group = Path("/sys/fs/cgroup")
        most = int((group / "memory.max").read_text())
        free.append(most - int((group / "memory.current").read_text()))
    return min(free)


# -- a Ray cluster -------------------------------------------------------------------------


def ray(
    plan: Plan, items: Sequence[Item], cancel: threading.Event, actors: int | None = None
) -> Iterator[Result]:
    """Actors of a Ray cluster through Ray Data: one per GPU, else one per core.

    Uses the cluster that ``RAY_ADDRESS`` names, or starts one on this machine. Every node must see
    the photos, the weights and this project at the same paths.

    Raises:
        InputError: Ray is not installed, cannot start, or an actor failed.
    """
    if cancel.is_set():
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # no connection that nobody asked for
    try:
        import ray as engine
        import ray.data
    except ImportError as error:
        raise InputError(
            "Expected Ray for --workers ray, which is not installed; install "
            "requirements-cluster.txt, or use --workers local."
        ) from error
    own = not engine.is_initialized()
    if own:
        _start(engine)
    try:
        yield from _through_ray(engine, plan, items, cancel, actors)
    finally:
        if own:
            engine.shutdown()


def _start(engine: Any) -> None:
    root = str(Path(__file__).resolve().parents[1])
    try:
        engine.init(
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
            runtime_env={"env_vars": {"PYTHONPATH": root}},
        )
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        raise InputError(
            f"Expected a Ray cluster, got none ({' '.join(str(error).split())[:120]}); check "
            "RAY_ADDRESS, or use --workers local."
        ) from error


def _through_ray(
    engine: Any, plan: Plan, items: Sequence[Item], cancel: threading.Event, actors: int | None
) -> Iterator[Result]:
    there = engine.cluster_resources()
    gpus = int(there.get("GPU", 0)) if plan.device in ("auto", "cuda") else 0
    count = max(1, min(actors or gpus or int(there.get("CPU", 1)), len(items)))
    context = engine.data.DataContext.get_current()
    context.enable_progress_bars = False
    blocks = -(-len(items) // BLOCK_PHOTOS)
    data = engine.data.from_items(
        [{"item": pickle.dumps(item)} for item in items], override_num_blocks=blocks
    ).map(
        _Actor,
        fn_constructor_args=(plan,),
        concurrency=count,
        **({"num_gpus": 1} if gpus else {"num_cpus": 1}),
    )
    try:
        for row in data.iter_rows():
            yield int(row["position"]), json.loads(row["rows"])
            if cancel.is_set():
                return
    except engine.exceptions.RayError as error:
        raise InputError(
            f"Expected Ray's actors to go on, got {type(error).__name__} "
            f"({' '.join(str(error).split())[-160:]}); go on with --resume."
        ) from error


class _Actor:
    """A model in an actor: photos in, rows as JSON out."""

    def __init__(self, plan: Plan) -> None:
        import torch

        torch.set_num_threads(THREADS)
        self._meter = Meter(plan)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        # from our own driver, through Ray's own pickles
        item: Item = pickle.loads(row["item"])  # noqa: S301
        return {"position": item.position, "rows": json.dumps(self._meter(item))}
