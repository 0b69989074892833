"""One vocabulary for people: figures, tables and controls say the same words."""

from __future__ import annotations

import pytest

from analysis.policy_words import policy_words
from analysis.synthetic import POLICIES
from app import text


@pytest.mark.parametrize("policy", [p for p in text.POLICIES if p != "budget"])
def test_the_inspector_says_the_same(policy: str) -> None:
    assert text.POLICIES[policy].lower() == policy_words(policy)


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        ("budget:0.08", "budget of 0.08 GMAC"),
        ("random:0.1", "random at 0.1 GMAC"),
        ("fixed:", "fixed:"),
        ("somebody's", "somebody's"),
        ("", ""),
    ],
)
def test_numbers_are_told_and_other_names_stay(policy: str, said: str) -> None:
    assert policy_words(policy) == said


def test_no_policy_of_a_run_is_told_by_its_name_in_files() -> None:
    assert not {p for p in POLICIES if policy_words(p) in (p, "")} - {"oracle"}
