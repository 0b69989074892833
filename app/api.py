"""The HTTP API: /predict, /decode and /health; everything else on the page is private."""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from app import events, settings, text
from app.guard import sentences
from app.session import Ask, Opened, Session
from app.tabs.inspect import MODEL
from app.widgets.photo_input import check_uploaded
from dynamask.batch import result_dict
from dynamask.errors import InputError

MAX_POLICY_TEXT = 64
MAX_NAME = 200
SCORES = (0.0, 1.0)


def add_endpoints(session: Session) -> None:
    """Register the endpoints on the current Blocks."""

    def predict(
        photo: FileData,
        policy: str = settings.POLICY,
        threshold: float = settings.THRESHOLD,
        min_score: float = settings.MIN_SCORE,
    ) -> dict[str, Any]:
        """Find the objects of a photo and mask each at the grid that the policy chooses.

        Args:
            photo: an image file of at most 20 MB.
            policy: msm, size, fixed:14, fixed:28, fixed:56, fixed:112, budget:C or random:C.
            threshold: mask probability above which a pixel belongs to the object, 0 to 1.
            min_score: objects with a lower score are left out, 0 to 1.

        Returns:
            The same JSON as ``python -m dynamask predict --json``, and ``key`` for /decode.
        """
        facts = photo if isinstance(photo, dict) else getattr(photo, "__dict__", {})
        opened = session.open(check_uploaded(facts.get("path")))
        name = str(facts.get("orig_name") or "photo")[:MAX_NAME]
        return _answer(session, opened, name, policy, threshold, min_score)

    def decode(
        key: str,
        policy: str = settings.POLICY,
        threshold: float = settings.THRESHOLD,
        min_score: float = settings.MIN_SCORE,
    ) -> dict[str, Any]:
        """Decode a photo again under another policy, without sending or encoding it again.

        Args:
            key: from an answer of /predict.
            policy: as for /predict.
            threshold: as for /predict.
            min_score: as for /predict.

        Returns:
            The same as /predict.
        """
        return _answer(session, session.reopen(key), "photo", policy, threshold, min_score)

    def health() -> dict[str, Any]:
        """Whether the model is loading, ready or failed, and how many photos are in memory."""
        return {
            "status": session.state,
            "problem": session.problem,
            "scenes": len(session.scenes),
            "scene_bytes": session.scenes.nbytes,
        }

    gr.api(sentences(predict, clean=str), api_name="predict", **MODEL)
    gr.api(sentences(decode, clean=str), api_name="decode", **MODEL)
    gr.api(health, api_name="health", queue=False)


def _answer(
    session: Session, opened: Opened, name: str, policy: Any, threshold: Any, min_score: Any
) -> dict[str, Any]:
    if not isinstance(policy, str) or len(policy) > MAX_POLICY_TEXT:
        raise InputError(text.EVENT_ODD.format(what="a policy such as msm"))
    ask = Ask(
        policy=policy,
        threshold=events.read_number(threshold, (0.01, 0.99), "a mask threshold"),
        min_score=events.read_number(min_score, SCORES, "a smallest score"),
    )
    decoded = session.decode(opened, ask)
    facts = result_dict(decoded.instances, file_name=name)
    return {**facts, "key": opened.scene.key, "notices": list(opened.notices)}
