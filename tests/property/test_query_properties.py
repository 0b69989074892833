"""A page's address: what is written is read back, and nothing that is sent breaks the reader."""

from __future__ import annotations

import string
from urllib.parse import parse_qsl, urlencode

from hypothesis import example, given
from hypothesis import strategies as st

from app import query, text
from dynamask.config import GRIDS

EXAMPLES = ("astronaut", "coffee")
TABS = ("inspect", "batch")
POLICIES = [p for p in text.POLICIES if p != query.NEEDS_TRUTH]
names = st.text(min_size=1, max_size=query.MAX_ITEM).filter(str.isprintable)
few_names = st.frozensets(
    st.one_of(
        names.filter(lambda n: len(n) <= 20), st.sampled_from(["a,b", "%2C", "hot dog", "&=#"])
    ),
    max_size=6,
)
filters = st.builds(
    query.Filters,
    classes=few_names,
    sizes=st.frozensets(st.sampled_from(query.SIZES)),
    grids=st.frozensets(st.sampled_from(GRIDS)),
    score=st.integers(0, 100),
)
views = st.builds(
    query.PageView,
    tab=st.sampled_from(("", *TABS)),
    example=st.sampled_from(("", *EXAMPLES)),
    policy=st.sampled_from(("", *POLICIES)),
    budget=st.none() | st.integers(0, 999_999),
    filters=filters,
    classes=st.sampled_from(("", *query.CLASSES)),
)


def read(sent: dict) -> tuple[query.PageView, tuple[str, ...]]:
    return query.decode(sent, examples=EXAMPLES, tabs=TABS)


@given(views)
@example(query.PageView())
def test_what_is_written_is_read_back(view: query.PageView) -> None:
    written = query.encode(view)
    if sum(map(len, written.values())) > query.MAX_VALUE:
        return  # names of many foreign letters; the page then shares a shorter address
    address = urlencode(written)
    assert read(dict(parse_qsl(address, strict_parsing=bool(address)))) == (view, ())


KEYS = ["tab", "example", "policy", "budget", "hide-class", "hide-size", "hide-grid", "score", "x"]
values = st.one_of(
    st.text(max_size=40),
    st.text(string.digits + ".,-+e%_", max_size=14),
    st.integers(),
    st.none(),
    st.lists(st.text(max_size=3), max_size=3),
)


@given(st.dictionaries(st.sampled_from(KEYS), values))
@example({"budget": "nan", "score": "inf", "hide-grid": "14,15", "tab": "<script>"})
@example({"budget": "١٢", "score": "1_0", "hide-class": "%ff", "policy": "oracle"})
@example({"hide-class": "," * 5000, "example": "../../etc/passwd", "hide-size": "%"})
def test_anything_may_arrive(sent: dict) -> None:
    view, ignored = read(sent)
    assert set(ignored) <= set(sent) & set(KEYS) - {"x"}
    assert view.tab in ("", *TABS) and view.example in ("", *EXAMPLES)
    assert view.policy in ("", *POLICIES) and set(view.filters.grids) <= set(GRIDS)
    assert view.budget is None or 0 <= view.budget <= 1_000_000
    assert 0 <= view.filters.score <= 100 and set(view.filters.sizes) <= set(query.SIZES)
    assert all(n.isprintable() and 0 < len(n) <= query.MAX_ITEM for n in view.filters.classes)
    # what was understood survives another round trip, so that addresses settle
    assert read(query.encode(view)) == (view, ())


@given(
    st.sampled_from(KEYS[:-1]), st.text(min_size=query.MAX_VALUE + 1, max_size=query.MAX_VALUE + 9)
)
def test_endless_values_are_ignored(key: str, value: str) -> None:
    assert read({key: value}) == (query.PageView(), (key,))
