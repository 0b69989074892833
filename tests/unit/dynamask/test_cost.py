"""The cost table against published numbers, counted operations and counted stage calls."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from dynamask.config import GRIDS, PRESETS, STRIDES, MaskHeadConfig, SwitchConfig, preset
from dynamask.cost import cost_table
from dynamask.errors import InputError
from dynamask.model.mask_switch import MaskSwitch
from dynamask.model.region_fpn import RegionFPN

LEVEL_SHAPES = {"p4": (50, 84), "p3": (100, 168), "p2": (200, 336)}  # of a 800x1344 input
COMPACT = [name for name in PRESETS if name.startswith("effnet")]


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def make_head(config: MaskHeadConfig) -> RegionFPN:
    torch.manual_seed(0)
    return RegionFPN(config).eval()


def make_pyramid(channels: int, height: int = 96, width: int = 128) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {
        name: torch.randn(1, channels, -(-height // s), -(-width // s), generator=generator)
        for name, s in STRIDES.items()
    }


def make_rois(count: int) -> torch.Tensor:
    sides = torch.linspace(12, 90, count)
    corner = torch.full((count,), 3.0)
    return torch.stack((torch.zeros(count), corner, corner, corner + sides, corner + sides), dim=1)


def shapes_of(pyramid: dict[str, torch.Tensor]) -> dict[str, tuple[int, int]]:
    return {name: tuple(t.shape[-2:]) for name, t in pyramid.items()}


def decode(head: RegionFPN, pyramid, grids: list[int]):
    count = len(grids)
    labels = torch.arange(count) % head.config.num_classes
    with torch.no_grad():
        return head.decode(pyramid, make_rois(count), labels, torch.tensor(grids))


# ---- arithmetic


def test_published_table() -> None:
    table = cost_table(preset("resnet50_fpn"))
    gmac = {grid: round(mac / 1e9, 3) for grid, mac in table.exit_mac.items()}
    assert gmac == {14: 0.231, 28: 0.395, 56: 0.576, 112: 0.789}
    assert round(table.switch_mac / 1e9, 3) == 0.119
    assert round(table.image_mac([112], LEVEL_SHAPES) / 1e9, 2) == 1.93
    assert table.mask_parameters == 2_502_632
    assert table.switch_parameters == 1_659_828


@pytest.mark.parametrize("name", COMPACT)
def test_compact_switch_is_cheap(name: str) -> None:
    table = cost_table(preset(name))
    assert table.switch_mac <= 0.15 * table.exit_mac[14]


@pytest.mark.parametrize("name", PRESETS)
def test_parameters_are_the_models(name: str) -> None:
    config = preset(name)
    table = cost_table(config)
    assert table.mask_parameters == sum(p.numel() for p in RegionFPN(config.mask).parameters())
    switch = MaskSwitch(config.switch)
    assert table.switch_parameters == sum(p.numel() for p in switch.parameters())


@pytest.mark.parametrize(
    ("grids", "levels"),
    [
        ([], ()),
        ([14, 14], ()),
        ([14, 28], ("p4",)),
        ([56], ("p4", "p3")),
        ([112, 14], ("p4", "p3", "p2")),
    ],
)
def test_image_branches_only_where_needed(grids: list[int], levels: tuple[str, ...]) -> None:
    table = cost_table(preset("effnet_lite0_fpn"))
    each = table.image_branch_mac(LEVEL_SHAPES)
    assert table.image_mac(grids, LEVEL_SHAPES) == sum(each[name] for name in levels)


def test_object_mac_adds_the_switch() -> None:
    table = cost_table(preset("effnet_lite0_fpn"))
    grids = np.array([112, 14, 28])
    plain = table.object_mac(grids, pays_switch=False)
    assert plain.tolist() == [table.exit_mac[112], table.exit_mac[14], table.exit_mac[28]]
    assert (table.object_mac(grids, pays_switch=True) - plain == table.switch_mac).all()
    assert table.object_mac(np.zeros(0, dtype=np.int64), pays_switch=True).shape == (0,)
    assert table.full_mac(0, LEVEL_SHAPES) == 0


def test_unknown_grid_and_missing_level_are_sentences() -> None:
    table = cost_table(preset("effnet_lite0_fpn"))
    with pytest.raises(InputError, match=r"grids from .*got \[13, 14\]"):
        table.object_mac(np.array([14, 13]), pays_switch=False)
    with pytest.raises(InputError, match="p3, p2 missing"):
        table.image_branch_mac({"p4": (3, 4)})


# ---- against counted operations (2 % is the contract; the arithmetic is exact)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("name", ["resnet50_fpn", "effnet_lite2_fpn"])
def test_exits_agree_with_counted_operations(name: str, grid: int) -> None:
    config = preset(name)
    head, pyramid = make_head(config.mask), make_pyramid(config.mask.in_channels)
    with FlopCounterMode(display=False) as counter:
        decode(head, pyramid, [grid] * 2)
    table = cost_table(config)
    expected = 2 * table.exit_mac[grid] + table.image_mac([grid], shapes_of(pyramid))
    assert counter.get_total_flops() / 2 == pytest.approx(expected, rel=1e-3)


def test_mixed_grids_agree_with_counted_operations() -> None:
    config = preset("effnet_lite2_fpn")
    head, pyramid = make_head(config.mask), make_pyramid(config.mask.in_channels)
    grids = [28, 14, 112, 14, 56, 28]
    with FlopCounterMode(display=False) as counter:
        decode(head, pyramid, grids)
    table = cost_table(config)
    expected = int(table.object_mac(np.array(grids), pays_switch=False).sum())
    expected += table.image_mac(grids, shapes_of(pyramid))
    assert counter.get_total_flops() / 2 == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    "switch",
    [
        preset("resnet50_fpn").switch,
        preset("effnet_lite2_fpn").switch,
        SwitchConfig(in_channels=16, crop=30, channels=(8, 4), hidden=12),  # sides that are odd
    ],
)
def test_switch_agrees_with_counted_operations(switch: SwitchConfig) -> None:
    torch.manual_seed(0)
    model = MaskSwitch(switch).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(make_pyramid(switch.in_channels)["p2"], make_rois(3))
    table = cost_table(dataclasses.replace(preset("resnet50_fpn"), switch=switch))
    assert counter.get_total_flops() / 2 == pytest.approx(3 * table.switch_mac, rel=1e-3)


# ---- stages really do not run (by counting calls, not by timing)


def count_calls(grids: list[int]) -> dict[str, list[int]]:
    """Return layer name -> RoIs (or images) it saw, one entry per call, over one decode."""
    config = MaskHeadConfig(in_channels=16, stage_channels=(32, 16, 8), num_classes=1)
    head, pyramid = make_head(config), make_pyramid(16)
    calls: dict[str, list[int]] = {}

    def watch(name: str, module: torch.nn.Module) -> None:
        def hook(_module, inputs, _output) -> None:
            calls.setdefault(name, []).append(len(inputs[0]))

        module.register_forward_hook(hook)

    for name, module in head.named_modules():
        leaf = not list(module.children()) and list(module.parameters(recurse=False))
        if leaf or name in ("stages.0", "stages.1", "stages.2"):
            watch(name, module)
    masks, edges = decode(head, pyramid, grids)
    assert [tuple(m.shape) for m in masks] == [(g, g) for g in grids]
    assert [tuple(e.shape) for e in edges] == [(g, g) for g in grids]
    return calls


def stages_that_ran(calls: dict[str, list[int]]) -> set[str]:
    return {name.split(".")[1] for name in calls if name.startswith("stages.") and "fuse" in name}


def test_fixed_14_runs_no_finer_stage() -> None:
    calls = count_calls([14, 14, 14])
    assert set(calls) == {
        "instance_convs.0.conv",
        "instance_convs.1.conv",
        "stages.0.instance_logits",
        "stages.0.detail_logits",
    }
    assert all(seen == [3] for seen in calls.values())


def test_fixed_28_runs_the_first_stage_only() -> None:
    calls = count_calls([28, 28])
    assert stages_that_ran(calls) == {"0"}
    assert calls["stages.0.semantic_transform_in"] == [1]
    assert calls["stages.1.instance_logits"] == [2]
    beyond = [n for n in calls if n.startswith(("stages.2", "final")) or n == "stages.1"]
    assert beyond == []
    assert "stages.1.semantic_transform_in" not in calls


def test_mixed_grids_run_each_stage_on_the_rois_that_need_it() -> None:
    calls = count_calls([14, 112, 28, 14, 56, 14, 112])
    assert calls["instance_convs.0.conv"] == [7]
    assert calls["stages.0"] == [4]
    assert calls["stages.1"] == [3]
    assert calls["stages.2"] == [2]
    assert calls["stages.1.instance_logits"] == [4]  # those that leave at 28 need its logits
    assert calls["stages.2.instance_logits"] == [3]
    assert calls["final_instance_logits"] == [2]
    for stage in range(3):
        assert calls[f"stages.{stage}.semantic_transform_in"] == [1]  # once per photo


def test_no_objects_run_nothing() -> None:
    assert count_calls([]) == {}
