"""PhotoInput: Gradio's image input, which hands the file over without opening it.

Gradio would open the file with every decoder that Pillow has, before our limits apply, and answer a
damaged one with an unreadable message. Here :mod:`app.uploads` is the first to look at it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gradio as gr
from gradio.components.image import ImageData
from gradio.utils import get_upload_folder

from app import text
from app.discretion import DISCRETION
from app.widgets.stubless import no_stub_files
from dynamask.errors import InputError


def check_uploaded(path: object) -> str:
    """Return the path of a file that a client uploaded.

    Gradio looks at what is marked as a file only, so a bare path must be stopped here.

    Raises:
        InputError: it is no path into Gradio's upload folder.
    """
    if not isinstance(path, str) or not path or "\0" in path:
        raise InputError(text.NO_FILE)
    resolved = Path(path).resolve()
    if not resolved.is_relative_to(Path(get_upload_folder()).resolve()):
        raise InputError(text.NOT_UPLOADED)
    return str(resolved)


with no_stub_files():

    class PhotoInput(gr.Image):
        """A ``gr.Image`` whose handlers get the path of the uploaded file, or None."""

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(type="filepath", **kwargs)

        def get_block_name(self) -> str:
            """The front end's name of the component."""
            return "image"

        def get_config(self, cls: type | None = None) -> dict[str, Any]:
            """Gradio reads the names of an image's settings off its own ``__init__``."""
            return super().get_config(cls or gr.Image)

        def preprocess(self, payload: ImageData | None) -> str | None:
            """Path of the upload, which lies in Gradio's upload folder."""
            if payload is None:
                return None
            try:
                return check_uploaded(payload.path)
            except InputError as error:
                raise gr.Error(DISCRETION.told(error), title="", print_exception=False) from None
