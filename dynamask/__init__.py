"""DynaMask: masks whose resolution is chosen object by object, and what that costs.

``import dynamask`` is light: torch is imported when a name that needs it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dynamask.config import GRIDS, PRESETS, DynaMaskConfig, preset
    from dynamask.errors import DynaMaskError, InputError
    from dynamask.images import read_image
    from dynamask.overlay import draw_overlay
    from dynamask.policies import parse_policy
    from dynamask.predictor import Predictor
    from dynamask.types import Instances, Scene, Selection

__version__ = "0.1.0"

__all__ = [
    "GRIDS",
    "PRESETS",
    "DynaMaskConfig",
    "DynaMaskError",
    "InputError",
    "Instances",
    "Predictor",
    "Scene",
    "Selection",
    "__version__",
    "draw_overlay",
    "parse_policy",
    "preset",
    "read_image",
]

_HOMES = {
    "GRIDS": "config",
    "PRESETS": "config",
    "DynaMaskConfig": "config",
    "DynaMaskError": "errors",
    "InputError": "errors",
    "Instances": "types",
    "Predictor": "predictor",
    "Scene": "types",
    "Selection": "types",
    "draw_overlay": "overlay",
    "parse_policy": "policies",
    "preset": "config",
    "read_image": "images",
}


def __getattr__(name: str) -> Any:
    """Import a public name's module when the name is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value  # the next use does not come here
    return value


def __dir__() -> list[str]:
    """Public names, imported or not."""
    return sorted(set(globals()) | set(__all__))
