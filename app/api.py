"""The HTTP API: /predict, /decode, /analyze and /health; the rest of the page is private.

With ``python -m app --mcp`` the same four are tools of an MCP server; docs/api.md has examples.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.data_classes import FileData

from app import events, query, settings, text
from app.guard import sentences
from app.session import Ask, Opened, Session
from app.tabs.inspect import MODEL
from app.widgets.photo_input import check_uploaded
from dynamask.batch import result_dict
from dynamask.config import GRIDS
from dynamask.errors import InputError

MAX_POLICY_TEXT = 64
MAX_NAME = 200
SCORES = (0.0, 1.0)
CLASSES = {**query.CLASSES, "page": None}


def add_endpoints(session: Session) -> None:
    """Register the endpoints on the current Blocks."""

    def predict(
        photo: FileData,
        policy: str = settings.POLICY,
        threshold: float = settings.THRESHOLD,
        min_score: float = settings.MIN_SCORE,
        classes: str = "all",
    ) -> dict[str, Any]:
        """Find the objects of a photo and mask each at the grid that the policy chooses.

        Args:
            photo: an image file of at most 20 MB.
            policy: msm, size, fixed:14, fixed:28, fixed:56, fixed:112, budget:C or random:C.
            threshold: mask probability above which a pixel belongs to the object, 0 to 1.
            min_score: objects with a lower score are left out, 0 to 1.
            classes: all, known (those that the model is good at, no doubles) or page (known, unless
                the photo has nothing else: as the page begins).

        Returns:
            The same JSON as ``python -m dynamask predict --json``, and ``key`` for /decode.
        """
        facts = photo if isinstance(photo, dict) else getattr(photo, "__dict__", {})
        opened = session.open(check_uploaded(facts.get("path")))
        name = str(facts.get("orig_name") or "photo")[:MAX_NAME]
        return _answer(session, opened, name, _ask(policy, threshold, min_score, classes))

    def decode(
        key: str,
        policy: str = settings.POLICY,
        threshold: float = settings.THRESHOLD,
        min_score: float = settings.MIN_SCORE,
        classes: str = "all",
    ) -> dict[str, Any]:
        """Decode a photo again under another policy, without sending or encoding it again.

        Args:
            key: from an answer of /predict.
            policy: as for /predict.
            threshold: as for /predict.
            min_score: as for /predict.
            classes: as for /predict.

        Returns:
            The same as /predict.
        """
        ask = _ask(policy, threshold, min_score, classes)
        return _answer(session, session.reopen(key), "photo", ask)

    def analyze(
        key: str,
        policy: str = settings.POLICY,
        threshold: float = settings.THRESHOLD,
        min_score: float = settings.MIN_SCORE,
        classes: str = "all",
    ) -> dict[str, Any]:
        """Say for each object why it got its grid and what the other grids would have given.

        Args:
            key: from an answer of /predict.
            policy: as for /predict.
            threshold: as for /predict.
            min_score: as for /predict.
            classes: as for /predict.

        Returns:
            For each object its probabilities, each grid's cost in GMAC and IoU and boundary IoU
            to the mask of grid 112, and the budgets at which its grid flips on this photo.
        """
        opened = session.reopen(key)
        return _analysis(session, opened, _ask(policy, threshold, min_score, classes))

    def health() -> dict[str, Any]:
        """Whether the model is loading, ready or failed, and how many photos are in memory.

        Returns:
            status, problem, scenes and scene_bytes.
        """
        return {
            "status": session.state,
            "problem": session.problem,
            "scenes": len(session.scenes),
            "scene_bytes": session.scenes.nbytes,
        }

    gr.api(sentences(predict, clean=str), api_name="predict", **MODEL)
    gr.api(sentences(decode, clean=str), api_name="decode", **MODEL)
    gr.api(sentences(analyze, clean=str), api_name="analyze", **MODEL)
    gr.api(health, api_name="health", queue=False)


def _answer(session: Session, opened: Opened, name: str, ask: Ask) -> dict[str, Any]:
    decoded = session.decode(opened, ask)
    facts = result_dict(decoded.instances, file_name=name)
    notices = [*opened.notices, *decoded.notices]
    return {**facts, "key": opened.scene.key, "notices": notices}


def _ask(policy: Any, threshold: Any, min_score: Any, classes: Any) -> Ask:
    if not isinstance(classes, str) or classes not in CLASSES:
        raise InputError(text.EVENT_ODD.format(what="all, known or page for classes"))
    if not isinstance(policy, str) or len(policy) > MAX_POLICY_TEXT:
        raise InputError(text.EVENT_ODD.format(what="a policy such as msm"))
    return Ask(
        policy=policy,
        threshold=events.read_number(threshold, (0.01, 0.99), "a mask threshold"),
        min_score=events.read_number(min_score, SCORES, "a smallest score"),
        everything=CLASSES[classes],
    )


def _analysis(session: Session, opened: Opened, ask: Ask) -> dict[str, Any]:
    from analysis.per_object import agreement
    from dynamask.allocation import budget_path
    from dynamask.predictor import keep_objects

    predictor = session.predictor()
    decoded = session.decode(opened, ask)
    instances, selection = decoded.instances, decoded.instances.selection
    agreed = agreement(predictor, keep_objects(opened.scene, decoded.ids - 1), ask.threshold)
    costs = predictor.cost_table
    path = budget_path(selection.probabilities, costs.exit_macs(pays_switch=True))
    objects = []
    for row, object_id in enumerate(decoded.ids):
        x1, y1, x2, y2 = (float(v) for v in instances.boxes_xyxy_px[row])
        p = selection.probabilities[row]
        objects.append(
            {
                "id": int(object_id),
                "category": instances.category(row),
                "score": round(float(instances.scores[row]), 4),
                "bbox": [round(v, 2) for v in (x1, y1, x2 - x1, y2 - y1)],  # as /predict has it
                "grid": int(selection.grids[row]),
                "probabilities": {str(g): float(v) for g, v in zip(GRIDS, p, strict=True)},
                "grids": {
                    str(grid): {
                        "gmac": costs.exit_mac[grid] / 1e9,
                        "iou_to_112": round(float(agreed.iou[row, k]), 4),
                        "boundary_iou_to_112": round(float(agreed.boundary_iou[row, k]), 4),
                    }
                    for k, grid in enumerate(GRIDS)
                },
                "flips": [
                    {"budget_gmac": round(mac / 1e9, 6), "grid": grid}
                    for _, grid, mac in [(0, GRIDS[0], path.range_mac[0]), *path.steps_of(row)]
                ],
            }
        )
    return {
        "key": opened.scene.key,
        "policy": selection.policy,
        "switch_gmac": costs.switch_mac / 1e9,
        "budget_range_gmac": list(predictor.budget_range()),
        "objects": objects,
    }
