"""Write into the bundled weights which classes the page shows by default.

    PYTHONPATH=. python assets/weights/show_classes.py

Those whose box AP50 on coco_mini val (val_detector.json beside this file) is at least MIN_AP50: the
others are mostly wrong where they are named at all. The page says so and can show them.
"""

from __future__ import annotations

import json
from pathlib import Path

from dynamask.checkpoint import BUNDLED_WEIGHTS, load_weights, save_weights

HERE = Path(__file__).resolve().parent
MIN_AP50 = 0.3


def main() -> None:
    """Read the measured file, write the weights' metadata."""
    row = json.loads((HERE / "val_detector.json").read_text())[0]
    good = {k: round(v, 3) for k, v in row["box_AP50_per_class"].items() if v >= MIN_AP50}
    loaded = load_weights(BUNDLED_WEIGHTS)
    metadata = {
        **loaded.metadata,
        "shown_classes": sorted(good, key=lambda name: -good[name]),
        "shown_classes_ap50": good,
        "shown_min_ap50": MIN_AP50,
        "shown_measured_on": f"coco_mini val, {row['images']} photos",
    }
    save_weights(loaded.model, BUNDLED_WEIGHTS, categories=loaded.categories, metadata=metadata)


if __name__ == "__main__":
    main()
