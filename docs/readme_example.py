"""The README's example; `tests/unit/test_readme.py` holds its output against the README."""

import skimage.data

from dynamask import Predictor

predictor = Predictor.from_weights()  # the bundled model
scene = predictor.encode(skimage.data.astronaut())  # the slow part, once
for policy in ("msm", "fixed:14", "fixed:112"):  # the quick part, as often as you like
    found = predictor.decode(scene, policy, min_score=0.5)
    print(policy, found.selection.counts(), f"{found.selection.total_gmac:.3f} GMAC")  # noqa: T201
