"""What a run is, in words: from its manifest to the Runs tab's details."""

from __future__ import annotations

from html import escape
from typing import Any

import pandas as pd

from analysis.compare import verdict
from analysis.policy_words import policy_words
from app import text_dataset
from app import text_runs as words
from app.dataset_runs import Shelved
from app.dataset_views import table_html

MAX_PROBLEMS = 200


def details_html(
    info: Shelved,
    problems: pd.DataFrame,
    count: int | None,
    *,
    public: bool,
    crowds: int = 0,
) -> str:
    """Sentences about a run, then the report of what was left out.

    Args:
        info: the run.
        problems: the first rows of its problems.
        count: all of them; None where the run keeps no list.
        public: leave the server's folder out.
        crowds: how many of its objects are crowds.
    """
    facts = info.facts
    said = "".join(f"<p>{escape(s)}</p>" for s in sentences(info, public=public, crowds=crowds))
    return (
        f'<section class="dm-card" data-testid="run-details"><h3>{escape(info.name)}</h3>{said}'
        f"</section>{problems_html(problems, count) if facts.photos_done else ''}"
    )


def sentences(info: Shelved, *, public: bool, crowds: int = 0) -> list[str]:
    """The manifest in words; what it does not say is left out."""
    facts, manifest = info.facts, dict(info.facts.manifest or {})
    where = {"done": facts.photos_done, "total": facts.photos, "problem": facts.problem}
    if public:  # the sentence of a damaged run names its folder
        where["problem"] = str(facts.problem).replace(str(info.path), info.name)
    state = {
        "done": words.STATE_DONE,
        "running": words.STATE_RUNNING,
        "stopped": words.STATE_STOPPED,
    }.get(facts.state, words.STATE_UNREADABLE)
    out = [state.format(**where)]
    if facts.objects:
        part = words.FACT_CROWDS.format(crowds=crowds) if crowds > 1 else ""
        out.append(
            words.FACT_OBJECTS.format(
                objects=facts.objects,
                photos=facts.photos_done,
                crowds=words.FACT_CROWD if crowds == 1 else part,
            )
        )
    if facts.policies:
        out.append(words.FACT_POLICIES.format(policies=_listed(list(facts.policies))))
    if detector := _listed(manifest.get("detector_policies")):
        out.append(words.FACT_DETECTOR.format(policies=detector))
    if facts.weights:
        sha = str(manifest.get("weights_sha256") or "")[:12]
        out.append(words.FACT_WEIGHTS.format(weights=facts.weights, sha=sha))
    if isinstance(manifest.get("annotations"), str):
        out.append(words.FACT_DATA.format(coco=manifest["annotations"]))
    if facts.created:
        made = facts.created.replace("T", " ").removesuffix("+00:00") + " UTC"
        out.append(words.FACT_MADE.format(made=made))
    out.append(words.FACT_SIZE.format(size=words.size(facts.size_bytes)))
    if not public and not info.shipped:
        out.append(words.NOT_PUBLIC.format(path=info.path))
    return out


def problems_html(problems: pd.DataFrame, count: int | None) -> str:
    """The report of entries that were left out or repaired; ``count`` None: there is no list."""
    if not count:
        none = words.PROBLEMS_UNKNOWN if count is None else words.PROBLEMS_NONE
        return f'<p class="dm-muted" data-testid="problems">{escape(none)}</p>'
    names = ("place", "id", "image_id", "outcome", "reason")
    body = [[_cell(row[n]) for n in names] for row in problems.to_dict("records")]
    many = words.PROBLEMS_HINT.format(count=count, shown=len(body))
    said = words.PROBLEMS_ONE if count == 1 else many
    return table_html(words.PROBLEMS, said, list(words.PROBLEM_HEADS), body, test="problems")


def differences_html(found: pd.DataFrame, names: tuple[str, str], policy: str, boxes: str) -> str:
    """Two runs against one another.

    Args:
        found: of analysis.compare.
        names: of the first and of the second run.
        policy: whose rows were compared, as files name it.
        boxes: ``gt`` or ``detector``.
    """
    if not len(found):
        said = words.COMPARE_NOTHING.format(policy=policy_words(policy))
        return f'<p data-testid="differences">{escape(said)}</p>'
    body = []
    for _, row in found.iterrows():
        said = verdict(row)
        interval = f"{row['low']:+.4f} to {row['high']:+.4f}"
        body.append(
            [
                words.COMPARE_METRIC.format(metric=row["metric"], unit=row["unit"]),
                words.COMPARE_VERDICTS[said],
                _value(row["difference"], "+.4f"),
                words.COMPARE_NO_INTERVAL if said == "not known" else interval,
                *(_value(row[c], ".4f") for c in ("first", "second")),
                *(f"{row[c]:,}" for c in ("n", "photos")),
            ]
        )
    title = words.COMPARE_TITLE.format(
        first=names[0],
        second=names[1],
        policy=policy_words(policy),
        boxes=text_dataset.BOXES_CHOICES[boxes],
    )
    return table_html(title, "", list(words.COMPARE_HEADS), body, test="differences")


def _value(value: float, how: str) -> str:
    return text_dataset.UNKNOWN if value != value else format(value, how)


def _listed(value: Any) -> str:
    good = isinstance(value, list) and all(isinstance(v, str) for v in value)
    return ", ".join(map(policy_words, value)) if good else ""


def _cell(value: Any) -> str:
    if value is None or value != value:
        return ""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
