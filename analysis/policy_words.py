"""What people read where files say ``msm`` or ``fixed:14``: the same words on every page."""

from __future__ import annotations

WORDS = {"msm": "switch", "size": "size rule", "oracle": "oracle", "random": "random"}


def policy_words(policy: object) -> str:
    """A policy's name as people read it; a name that is not known stays as it is.

    Args:
        policy: as it stands in files: ``msm``, ``size``, ``oracle``, ``random``, ``fixed:28``,
            ``budget:0.1`` or ``random:0.1`` (GMAC per object).
    """
    name = str(policy)
    kind, _, number = name.partition(":")
    if kind == "fixed" and number:
        return f"all {number}"
    if kind == "budget" and number:
        return f"budget of {number} GMAC"
    if kind == "random" and number and number != "equal":
        return f"random at {number} GMAC"
    return WORDS.get(name, WORDS["random"] if name == "random:equal" else name)
