"""Which device the model runs on, chosen when asked and never at import."""

from __future__ import annotations

import torch

from dynamask.errors import InputError


def pick_device(name: str = "auto") -> torch.device:
    """Return a device that is really there.

    Args:
        name: ``auto`` (CUDA, then Apple's MPS, then CPU), ``cpu``, ``cuda``, ``cuda:1``, ``mps``.

    Raises:
        InputError: the name is unknown or this machine has no such device.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InputError(
            f"Expected a device such as auto, cpu, cuda, cuda:0 or mps, got {name!r}; "
            "choose one of these."
        ) from error
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available() and (device.index or 0) < torch.cuda.device_count(),
        "mps": torch.backends.mps.is_available(),
    }
    if not there.get(device.type, False):
        raise InputError(
            f"Expected a device of this machine, got {name!r}, which it does not have; "
            "use --device auto or cpu."
        )
    return device


def describe_device(device: torch.device) -> str:
    """One line for people: type, and the name of the card where there is one."""
    if device.type == "cuda":
        return f"{device} ({torch.cuda.get_device_name(device)})"
    if device.type == "cpu":
        return f"cpu ({torch.get_num_threads()} threads)"
    return str(device)
