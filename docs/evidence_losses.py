"""Teach the switch by the paper's loss and by measured gains, on the same objects.

    PYTHONPATH=. python docs/evidence_losses.py WEIGHTS GAINS.safetensors

GAINS is what ``python -m dynamask fit-switch --cache GAINS.safetensors`` kept. Writes
evidence_losses.json beside this file; docs/evidence.py puts it into words.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dynamask.checkpoint import load_weights
from dynamask.config import LossConfig
from dynamask.cost import cost_table
from dynamask.model.mask_switch import MaskSwitch
from dynamask.training.switch_data import SwitchData
from dynamask.training.switch_fit import (
    HELD_OUT,
    FitOptions,
    fit_switch,
    held_out_report,
    switch_logits,
)

FRACTIONS = (0.4, 0.55, 0.75)
OPTIONS = FitOptions(epochs=6, lr=1e-3, weight_decay=0.3)


def losses() -> dict[str, LossConfig]:
    """Name to loss: the paper's at three budgets, with a heavier hinge, and the gains."""
    base = LossConfig(edge_every_grid=0.25)
    out = {"measured gains": replace(base, switch_loss="gain")}
    for fraction in FRACTIONS:
        out[f"paper, C_t {fraction:g}"] = replace(base, budget_fraction=fraction)
    out["paper, C_t 0.55, hinge x 10"] = replace(base, budget_fraction=0.55, budget_weight=3.0)
    return out


def main(weights: str, gains: str) -> None:
    """Fit, report on the held-out photos, write."""
    config = load_weights(weights).model.config
    data = SwitchData.load(gains)
    held = data.photos % HELD_OUT == 0
    train, test = data.rows(~held), data.rows(held)
    mac = cost_table(config).exit_macs().astype(np.float64)
    rows = []
    for name, loss in losses().items():
        torch.manual_seed(0)
        switch = MaskSwitch(config.switch)
        fit_switch(switch, train, loss, mac, OPTIONS)
        report = held_out_report(switch_logits(switch, test.crops), test, mac, FRACTIONS)
        rows.append({"name": name, "taught_on": len(train), "held_out": report})
        sys.stderr.write(f"{name}: {report['argmax']}\n")
    (Path(__file__).parent / "evidence_losses.json").write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
