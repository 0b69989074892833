"""Component classes without side effects on disk.

Gradio's metaclass writes a ``.pyi`` stub beside the source of every component class as it is
defined. An installed page must not write into its own folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from gradio import component_meta


@contextmanager
def no_stub_files() -> Iterator[None]:
    """Define component classes inside this context to keep Gradio from writing stubs."""
    name = "create_or_modify_pyi"
    original = getattr(component_meta, name, None)
    if original is None:  # a Gradio that no longer writes stubs
        yield
        return
    setattr(component_meta, name, lambda *_: None)
    try:
        yield
    finally:
        setattr(component_meta, name, original)
