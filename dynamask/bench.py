"""``python -m dynamask bench``: speed as ratios, each measured in one run on the same input.

Seconds differ between machines and hours; a ratio of two things timed in turn, repetition by
repetition, does not. Every ratio here is the median of such pairs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from dynamask.config import GRIDS, DynaMaskConfig
from dynamask.errors import InputError

if TYPE_CHECKING:
    from dynamask.predictor import Predictor
    from dynamask.types import Scene

BASELINE = f"fixed:{GRIDS[-1]}"
POLICIES: tuple[str, ...] = (*(f"fixed:{g}" for g in GRIDS[:-1]), "msm")
DEFORM_ROIS = 8
BOXES_PER_SIDE = 4  # laid over a photo in which nothing was found
MAX_REPEATS = 1000


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of ``bench`` to a parser."""
    parser.add_argument("--image", help="photo to decode (default: scikit-image's astronaut)")
    parser.add_argument("--weights", help="weights file (default: the bundled one)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or mps")
    parser.add_argument("--repeats", type=int, default=7, help="paired repetitions, 1 to 1000")
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")


def run(args: argparse.Namespace) -> int:
    """Measure and print; returns exit status 0.

    Raises:
        DynaMaskError: weights, photo or number of repetitions that cannot be used.
    """
    check_repeats(args.repeats)
    image = _read(args.image)

    from dynamask.predictor import Predictor

    predictor = Predictor.from_weights(args.weights, device=args.device)
    result = run_bench(predictor, image, args.repeats)
    print(json.dumps(result, indent=2) if args.json else as_text(result))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Stand-alone entry: parse ``argv``, then :func:`run`."""
    parser = argparse.ArgumentParser(prog="dynamask bench", description=__doc__)
    add_arguments(parser)
    return run(parser.parse_args(argv))


def run_bench(predictor: Predictor, image: np.ndarray, repeats: int = 7) -> dict[str, Any]:
    """Measure everything on one photo.

    Args:
        predictor: a loaded model.
        image: (H, W, 3) uint8 RGB.
        repeats: paired repetitions of each measurement, after one that is not counted.

    Returns:
        JSON-able: ``machine``, ``input``, ``deformable_convolution`` (one entry per grid),
        ``decode`` (one entry per policy, ratios to ``fixed:112``) and ``shares`` (of encode and
        decode under ``msm``). Times in seconds.

    Raises:
        InputError: repeats out of range.
    """
    check_repeats(repeats)
    scene = predictor.encode(image)
    found = len(scene) > 0
    if not found:
        boxes = grid_boxes(*image.shape[:2])
        scene = predictor.encode(image, boxes, np.zeros(len(boxes), dtype=np.int64))
    return {
        "machine": {
            "device": str(predictor.device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
        },
        "input": {
            "height": int(image.shape[0]),
            "width": int(image.shape[1]),
            "objects": len(scene),
            "boxes": "detector" if found else "a fixed pattern, because nothing was found",
            "preset": predictor.config.preset,
            "repeats": repeats,
        },
        "deformable_convolution": bench_deform(predictor.config, repeats),
        **bench_decode(predictor, scene, image, repeats),
    }


def bench_deform(
    config: DynaMaskConfig, repeats: int, rois: int = DEFORM_ROIS
) -> list[dict[str, Any]]:
    """The CPU form of deformable convolution against torchvision's kernel, at every stage.

    Args:
        config: gives each stage's channels and offset groups.
        repeats: paired repetitions.
        rois: batch size.

    Returns:
        One dict per stage: grid, channels, rois, seconds of both, ``speedup`` (reference over
        ours) and ``max_relative_error`` (largest difference over largest value).
    """
    from torchvision.ops import deform_conv2d

    from dynamask.model.deform_conv import deform_conv2d_by_sampling

    groups = config.mask.offset_groups
    results = []
    for grid, channels in zip(GRIDS, config.mask.stage_channels, strict=False):
        generator = torch.Generator().manual_seed(grid)
        x = torch.randn(rois, channels, grid, grid, generator=generator)
        offset = 2.0 * torch.randn(rois, groups * 18, grid, grid, generator=generator)
        weight = torch.randn(channels, channels, 3, 3, generator=generator) / channels

        def ours(x=x, offset=offset, weight=weight) -> torch.Tensor:
            return deform_conv2d_by_sampling(x, offset, weight, groups)

        def reference(x=x, offset=offset, weight=weight) -> torch.Tensor:
            return deform_conv2d(x, offset, weight, padding=1)

        with torch.inference_mode():
            expected = reference()
            error = float((ours() - expected).abs().max() / expected.abs().max())
            times = interleaved({"ours": ours, "reference": reference}, repeats)
        results.append(
            {
                "grid": grid,
                "channels": channels,
                "rois": rois,
                "seconds": statistics.median(times["ours"]),
                "seconds_torchvision": statistics.median(times["reference"]),
                "speedup": median_ratio(times["reference"], times["ours"]),
                "max_relative_error": error,
            }
        )
    return results


def bench_decode(
    predictor: Predictor, scene: Scene, image: np.ndarray, repeats: int
) -> dict[str, Any]:
    """Decode one scene under every policy, against ``fixed:112``, and encode against decode.

    The switch runs when a photo is encoded, so its time is measured by itself and added to
    ``msm``: the ratio is what a user pays who wants only masks.

    Args:
        predictor: a loaded model.
        scene: an encoded photo with at least one object.
        image: (H, W, 3) uint8 RGB, the photo of the scene.
        repeats: paired repetitions.

    Returns:
        ``decode`` and ``shares`` as :func:`run_bench` documents them.
    """
    selections = {spec: predictor.decode(scene, spec).selection for spec in (*POLICIES, BASELINE)}
    jobs: dict[str, Callable[[], object]] = {
        spec: _timed_job(predictor, lambda spec=spec: predictor.decode(scene, spec))
        for spec in selections
    }
    jobs["switch"] = _timed_job(predictor, lambda: _run_switch(predictor, scene))
    jobs["encode"] = _timed_job(predictor, lambda: predictor.encode(image))
    times = interleaved(jobs, repeats)
    times["msm"] = [a + b for a, b in zip(times["msm"], times["switch"], strict=True)]
    decode = [
        {
            "policy": spec,
            "seconds": statistics.median(times[spec]),
            "time_ratio": median_ratio(times[spec], times[BASELINE]),
            "cost_ratio": selection.share_of_full,
            "gmac": selection.total_gmac,
            "grids": {str(grid): count for grid, count in selection.counts().items()},
        }
        for spec, selection in selections.items()
    ]
    photo = [a + b for a, b in zip(times["encode"], times["msm"], strict=True)]
    encode_share = median_ratio(times["encode"], photo)
    return {
        "decode": decode,
        "seconds_switch": statistics.median(times["switch"]),
        "shares": {
            "seconds_encode": statistics.median(times["encode"]),
            "encode": encode_share,
            "decode": 1.0 - encode_share,
        },
    }


def interleaved(jobs: dict[str, Callable[[], object]], repeats: int) -> dict[str, list[float]]:
    """Time all jobs in turn, so that a slow moment of the machine meets all of them.

    Args:
        jobs: name to a function without arguments.
        repeats: rounds; one more, not counted, goes first.

    Returns:
        Name to seconds, one per round.
    """
    times: dict[str, list[float]] = {name: [] for name in jobs}
    names = list(jobs)
    for round_number in range(repeats + 1):
        # every other round backwards: being first or last is nobody's privilege
        for name in names if round_number % 2 else reversed(names):
            start = time.perf_counter()
            jobs[name]()
            if round_number:
                times[name].append(time.perf_counter() - start)
    return times


def median_ratio(numerator: Sequence[float], denominator: Sequence[float]) -> float:
    """Median of the ratios of paired times."""
    return statistics.median(a / b for a, b in zip(numerator, denominator, strict=True))


def grid_boxes(height: int, width: int) -> np.ndarray:
    """(16, 4) float32 xyxy boxes of three sizes over a photo, for one in which nothing is."""
    cell_h, cell_w = height / BOXES_PER_SIDE, width / BOXES_PER_SIDE
    boxes = []
    for row in range(BOXES_PER_SIDE):
        for column in range(BOXES_PER_SIDE):
            scale = (0.3, 0.6, 0.9)[(row + column) % 3]
            x, y = column * cell_w, row * cell_h
            boxes.append([x, y, x + scale * cell_w, y + scale * cell_h])
    return np.asarray(boxes, dtype=np.float32)


def check_repeats(repeats: int) -> None:
    """Raise InputError unless 1 <= repeats <= 1000."""
    if not 1 <= repeats <= MAX_REPEATS:
        raise InputError(
            f"Expected 1 to {MAX_REPEATS} repeats; got {repeats}. Choose a number in this range."
        )


def as_text(result: dict[str, Any]) -> str:
    """The result of :func:`run_bench` as lines for a terminal."""
    machine, source = result["machine"], result["input"]
    lines = [
        f"{source['preset']} on {machine['device']}, {machine['threads']} threads, "
        f"torch {machine['torch']}; photo {source['width']}x{source['height']}, "
        f"{source['objects']} objects ({source['boxes']}), {source['repeats']} paired repeats",
        "",
        "deformable convolution on the CPU against torchvision's kernel",
        "  grid  channels  times faster  max relative error",
    ]
    lines += [
        f"  {d['grid']:4d}  {d['channels']:8d}  {d['speedup']:12.2f}  {d['max_relative_error']:.1e}"
        for d in result["deformable_convolution"]
    ]
    lines += [
        "",
        f"decode against {BASELINE} (msm includes the switch)",
        "  policy     seconds  time ratio  cost ratio",
    ]
    lines += [
        f"  {d['policy']:9s}  {d['seconds']:7.3f}  {d['time_ratio']:10.2f}  {d['cost_ratio']:10.2f}"
        for d in result["decode"]
    ]
    shares = result["shares"]
    lines += [
        "",
        f"encode {shares['seconds_encode']:.3f} s: {shares['encode']:.0%} of a photo under msm, "
        f"decode {shares['decode']:.0%}",
    ]
    return "\n".join(lines)


def _run_switch(predictor: Predictor, scene: Scene) -> torch.Tensor:
    scale = [inner / outer for inner, outer in zip(scene.input_size, scene.image_size, strict=True)]
    boxes = scene.boxes_xyxy_px * torch.tensor([scale[1], scale[0]] * 2)
    rois = torch.cat((torch.zeros(len(boxes), 1), boxes), dim=1).to(predictor.device)
    with torch.inference_mode():
        return predictor.model.mask_switch(scene.pyramid["p2"], rois).softmax(dim=1).cpu()


def _timed_job(predictor: Predictor, job: Callable[[], object]) -> Callable[[], object]:
    if predictor.device.type != "cuda":
        return job

    def synchronised() -> None:
        job()
        torch.cuda.synchronize(predictor.device)  # kernels run behind the clock otherwise

    return synchronised


def _read(path: str | None) -> np.ndarray:
    if path is not None:
        from dynamask.images import read_image

        return read_image(path).pixels
    from skimage import data

    return data.astronaut()
