"""What this machine has, what is missing, and what to do about it."""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

from dynamask.errors import DynaMaskError

OLDEST_PYTHON = (3, 11)
NEEDED = (
    "torch",
    "torchvision",
    "timm",
    "numpy",
    "opencv-python-headless",
    "pillow",
    "pycocotools",
    "safetensors",
)
FOR_THE_PAGE = ("gradio", "plotly", "pandas", "matplotlib", "scikit-image")
IMPORT_NAMES = {"opencv-python-headless": "cv2", "pillow": "PIL"}
TESTED_TORCH, TESTED_TORCHVISION = "2.12.1", "0.27.1"
LOW_RAM_GB = 2.0
LOW_DISK_GB = 1.0


def examine(weights: str | Path | None = None) -> dict[str, Any]:
    """Look at everything; nothing is changed.

    Args:
        weights: a weights file; None is the bundled one.

    Returns:
        JSON-able: ``python``, ``packages`` (name to version or None), ``torchvision_ops``
        (whether NMS runs), ``devices``, ``weights``, ``machine`` (cores, GB of RAM and disk),
        ``problems`` (sentences: something needed is broken) and ``advice`` (sentences: works, but
        could be better).
    """
    problems: list[str] = []
    advice: list[str] = []
    report: dict[str, Any] = {
        "dynamask": importlib.import_module("dynamask").__version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": _packages(problems, advice),
    }
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(str(v) for v in OLDEST_PYTHON)
        problems.append(
            f"Expected Python {oldest} or newer, got {platform.python_version()}; install it."
        )
    report["torchvision_ops"] = _torchvision_ops(problems)
    report["devices"] = _devices(problems)
    report["weights"] = _weights(weights, problems)
    report["machine"] = _machine(advice)
    report["problems"], report["advice"] = problems, advice
    return report


def as_text(report: dict[str, Any]) -> str:
    """The report for people."""
    machine, weights = report["machine"], report["weights"]
    packages = ", ".join(f"{n} {v or 'MISSING'}" for n, v in report["packages"].items())
    lines = [
        f"dynamask   {report['dynamask']}",
        f"python     {report['python']} on {report['platform']}",
        f"packages   {packages}",
        f"vision ops {'work' if report['torchvision_ops'] else 'BROKEN'}",
        f"devices    {', '.join(report['devices']) or 'none'}",
    ]
    if weights["preset"]:
        lines.append(
            f"weights    {weights['path']}: {weights['preset']}, "
            f"{weights['parameters'] / 1e6:.2f} M parameters, sha256 {weights['sha256'][:12]}..."
        )
    else:
        lines.append(f"weights    {weights['path']}: NOT USABLE")
    lines.append(
        f"machine    {machine['cores']} cores, {_gb(machine['ram_free_gb'])} of "
        f"{_gb(machine['ram_total_gb'])} memory free, {_gb(machine['disk_free_gb'])} disk free"
    )
    lines += [f"advice     {sentence}" for sentence in report["advice"]]
    lines += [f"PROBLEM    {sentence}" for sentence in report["problems"]]
    if not report["problems"]:
        lines.append("all that is needed works")
    return "\n".join(lines)


def _packages(problems: list[str], advice: list[str]) -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for name in (*NEEDED, *FOR_THE_PAGE):
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            versions[name] = None
            sentence = (
                f"Expected the package {name}, found none; run `pip install -r requirements.txt`."
            )
            # a package that imports counts, however it came (opencv has four distributions)
            if name in NEEDED and not _imports(IMPORT_NAMES.get(name, name)):
                problems.append(sentence)
            elif name not in NEEDED:
                advice.append(f"{sentence[:-1]} The page and the dataset tools need it.")
    return versions


def _imports(name: str) -> bool:
    try:
        importlib.import_module(name)
    except Exception:  # a broken build raises anything
        return False
    return True


def _torchvision_ops(problems: list[str]) -> bool:
    """Run NMS: the operator that a mismatched pair of builds lacks."""
    try:
        import torch
        from torchvision.ops import nms

        boxes = torch.tensor([[0.0, 0, 10, 10], [1, 1, 11, 11], [20, 20, 30, 30]])
        kept = nms(boxes, torch.tensor([0.9, 0.8, 0.7]), 0.5).tolist()
    except Exception as error:  # a broken build raises anything
        problems.append(
            "Expected torchvision's compiled operators to run, got "
            f"{type(error).__name__} ({_first_line(error)}); install builds that match, such as "
            f"torch {TESTED_TORCH} with torchvision {TESTED_TORCHVISION}."
        )
        return False
    if kept != [0, 2]:
        problems.append(
            f"Expected torchvision's NMS to keep boxes 0 and 2, got {kept}; reinstall torch and "
            "torchvision."
        )
    return kept == [0, 2]


def _devices(problems: list[str]) -> list[str]:
    try:
        import torch

        from dynamask.device import describe_device

        found = [describe_device(torch.device("cpu"))]
        if torch.cuda.is_available():
            count = torch.cuda.device_count()
            found += [describe_device(torch.device("cuda", i)) for i in range(count)]
        if torch.backends.mps.is_available():
            found.append("mps")
    except Exception as error:  # a broken build raises anything
        problems.append(
            f"Expected torch to list its devices, got {type(error).__name__} "
            f"({_first_line(error)}); reinstall torch."
        )
        return []
    return found


def _weights(path: str | Path | None, problems: list[str]) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "path": str(path or "(bundled)"),
        "preset": None,
        "sha256": None,
        "parameters": None,
        "megabytes": None,
    }
    try:
        from dynamask.checkpoint import BUNDLED_WEIGHTS, load_weights
        from dynamask.model.detector import count_parameters

        facts["path"] = str(path or BUNDLED_WEIGHTS)
        loaded = load_weights(facts["path"])
        facts["preset"] = loaded.model.config.preset
        facts["sha256"] = loaded.sha256
        facts["parameters"] = count_parameters(loaded.model)
        facts["megabytes"] = round(Path(facts["path"]).stat().st_size / 1e6, 1)
    except DynaMaskError as error:
        problems.append(str(error))
    except Exception as error:  # a broken build raises anything
        problems.append(
            f"Expected the weights to load, got {type(error).__name__} ({_first_line(error)}); "
            "solve the problems above first."
        )
    return facts


def _machine(advice: list[str]) -> dict[str, Any]:
    total, free = _memory_gb()
    disk = shutil.disk_usage(Path.cwd()).free / 1e9
    if free is not None and free < LOW_RAM_GB:
        advice.append(
            f"Only {free:.1f} GB of memory is free; close other programs before large photos."
        )
    if disk < LOW_DISK_GB:
        advice.append(f"Only {disk:.1f} GB of disk is free here; results may not fit.")
    return {
        "cores": os.process_cpu_count() if hasattr(os, "process_cpu_count") else os.cpu_count(),
        "ram_total_gb": total,
        "ram_free_gb": free,
        "disk_free_gb": round(disk, 1),
    }


def _memory_gb() -> tuple[float | None, float | None]:
    """Total and available memory in GB (10^9 bytes); None where the system does not say."""
    values = {}
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            name, _, rest = line.partition(":")
            values[name] = int(rest.split()[0]) * 1024 / 1e9
        return round(values["MemTotal"], 1), round(values["MemAvailable"], 1)
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    except (AttributeError, ValueError, OSError):
        return None, None
    return round(total, 1), None


def _gb(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.1f} GB"


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or ["no message"])[0].rstrip(".")
