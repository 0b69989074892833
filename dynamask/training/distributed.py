"""Data parallel training with ``torchrun``: one process per device, one shard of each batch.

W processes with a plan of B photos each make the step that one process makes with W x B photos:
the same photos, the same random draws (every process replays the draws of the whole batch and
keeps its own), the same padding, batch norm over all RoIs, and every loss a mean over all RoIs
or anchors of all processes. What is left is the rounding of sums taken in another order.

Started by ``torchrun`` (environment RANK, WORLD_SIZE, LOCAL_RANK); gloo on CPUs, nccl on GPUs.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from dynamask.errors import InputError

PAD_MULTIPLE = 32


@dataclass
class Team:
    """The processes that train one model together; a team of one does nothing extra.

    Attributes:
        rank: this process, from 0.
        world: number of processes.
        ledger: group for counts and flags, CPU tensors.
        sums: group for sums with a gradient, on the training device; its own, because these sums
            and the gradient buckets of DistributedDataParallel may meet in any order.
        slots: photos per process of the batch at hand, at most.
    """

    rank: int = 0
    world: int = 1
    ledger: Any = None
    sums: Any = None
    slots: int = field(default=0, repr=False)

    @property
    def leads(self) -> bool:
        """Whether this process writes the files and the progress."""
        return self.rank == 0

    def begin(self, batch: dict[str, Any], *, stop: bool, alike: bool = True) -> bool:
        """Agree on what concerns a whole step, before its forward pass.

        Args:
            batch: collated; ``images`` is padded in place to the largest of all processes.
            stop: whether this process was asked to stop.
            alike: False leaves the padding as it is (cheaper; not the single process's numbers).

        Returns:
            Whether any process was asked to stop: all of them leave at the same step.
        """
        if self.world == 1:
            return stop
        height, width = batch["images"].shape[2:]
        agreed = torch.tensor([height, width, len(batch["sizes"]), int(stop)])
        dist.all_reduce(agreed, dist.ReduceOp.MAX, group=self.ledger)
        self.slots = int(agreed[2])
        if alike:
            right, below = int(agreed[1]) - width, int(agreed[0]) - height
            batch["images"] = functional.pad(batch["images"], (0, right, 0, below))
        return bool(agreed[3])

    def in_order(
        self, rows: Sequence[tuple[int, ...] | None], columns: int
    ) -> list[tuple[int, int, tuple[int, ...]]]:
        """Numbers about each photo of the whole batch, in the order one process would have.

        Args:
            rows: one per photo of this process; None where there is nothing to say.
            columns: numbers in a row.

        Returns:
            (rank, place in that rank's batch, row) of every photo that has a row.
        """
        if self.world == 1:
            return [(0, i, row) for i, row in enumerate(rows) if row is not None]
        own = torch.full((self.slots, columns), -1, dtype=torch.int64)
        for place, row in enumerate(rows):
            if row is not None:
                own[place] = torch.tensor(row, dtype=torch.int64)
        gathered = [torch.empty_like(own) for _ in range(self.world)]
        dist.all_gather(gathered, own, group=self.ledger)
        return [
            (rank, place, tuple(int(v) for v in gathered[rank][place]))
            for place in range(self.slots)  # the sampler deals photos out like cards
            for rank in range(self.world)
            if gathered[rank][place, 0] >= 0
        ]

    def total(self, numbers: Iterable[float]) -> list[float]:
        """Sum each number over the processes (no gradient)."""
        values = list(numbers)
        if self.world == 1:
            return values
        tensor = torch.tensor(values, dtype=torch.float64)
        dist.all_reduce(tensor, group=self.ledger)
        return [float(v) for v in tensor]

    def sum_with_gradient(self, tensor: Tensor) -> Tensor:
        """Sum a tensor over the processes; the gradient of it is summed back."""
        return tensor if self.world == 1 else _SumOverTeam.apply(tensor, self.sums)

    def wait(self) -> None:
        """Return once every process has come here."""
        if self.world > 1:
            dist.barrier(group=self.ledger)


class _SumOverTeam(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, tensor: Tensor, group: Any) -> Tensor:
        ctx.group = group
        out = tensor.contiguous().clone()
        dist.all_reduce(out, group=group)
        return out

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        out = gradient.contiguous().clone()
        dist.all_reduce(out, group=ctx.group)
        return out, None


def torchrun_size() -> int:
    """Number of processes that ``torchrun`` started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def device_name(name: str) -> str:
    """``auto`` and ``cuda`` become this process's own card under ``torchrun``."""
    if torchrun_size() > 1 and name in ("auto", "cuda") and torch.cuda.is_available():
        return f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    return name


def start_team(device: torch.device) -> Team:
    """Join the processes that ``torchrun`` started; a team of one without it.

    Raises:
        InputError: the processes do not find each other, or the variables are incomplete.
    """
    world = torchrun_size()
    if world == 1:
        return Team()
    try:
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
        ledger = dist.new_group(backend="gloo")
        return Team(dist.get_rank(), world, ledger, dist.new_group())
    except (RuntimeError, ValueError) as error:
        raise InputError(
            f"Expected {world} processes that find each other, got {type(error).__name__} "
            f"({' '.join(str(error).split())[:200]}); start them with torchrun and give each a "
            "device of its own."
        ) from error


def leave_team(team: Team) -> None:
    """Close the connections."""
    if team.world > 1 and dist.is_initialized():
        dist.destroy_process_group()


class TeamBatchNorm(nn.BatchNorm2d):
    """Batch norm over the RoIs of all processes, on any device and for any number of RoIs.

    torch's own SyncBatchNorm refuses CPU tensors. Parameters and buffers keep their names.
    """

    team: Team

    @classmethod
    def of(cls, norm: nn.BatchNorm2d, team: Team) -> TeamBatchNorm:
        """The same layer, sharing its parameters and buffers."""
        new = cls(norm.num_features, norm.eps, norm.momentum)
        new.weight, new.bias = norm.weight, norm.bias
        for name, buffer in norm.named_buffers():
            setattr(new, name, buffer)
        new.team = team
        return new.train(norm.training)

    def forward(self, x: Tensor) -> Tensor:
        """(n, C, h, w), n may be 0 here as long as some process has RoIs -> the same shape."""
        if not self.training:
            return super().forward(x)
        wide = x.float()
        axes = (0, 2, 3)
        local = wide.new_tensor([float(x.shape[0] * x.shape[2] * x.shape[3])])
        sums = self.team.sum_with_gradient(torch.cat((wide.sum(axes), local)))
        count = sums[-1].detach().clamp(min=1)
        mean = sums[:-1] / count
        centred = wide - mean[:, None, None]
        # two passes: E[x^2] - E[x]^2 would cancel
        variance = self.team.sum_with_gradient(centred.square().sum(axes)) / count
        with torch.no_grad():
            unbiased = variance * count / (count - 1).clamp(min=1)
            self.running_mean.lerp_(mean.to(self.running_mean), self.momentum)
            self.running_var.lerp_(unbiased.to(self.running_var), self.momentum)
            self.num_batches_tracked += 1
        out = centred * (variance + self.eps).rsqrt()[:, None, None]
        return (out * self.weight[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class TeamSampler:
    """torchvision's sampler of positives and negatives, drawing for the whole batch.

    Every process draws for all photos in the single process's order from torch's global
    generator, which all have seeded alike, and keeps its own photos' draws.

    Attributes:
        places: batch places of the photos that the next call is about.
        own, total: regions that the last call took here, and in all processes.
    """

    def __init__(self, team: Team, batch_size_per_image: int, positive_fraction: float) -> None:
        self.team = team
        self.batch_size_per_image = batch_size_per_image
        self.positive_fraction = positive_fraction
        self.places: list[int] = []
        self.own = 0
        self.total = 0

    def __call__(self, labels: list[Tensor]) -> tuple[list[Tensor], list[Tensor]]:
        """Labels (-1 leave out, 0 negative, above 0 positive) -> two lists of 0/1 uint8 masks.

        One entry per photo of ``places``; a process without any still calls, to keep in step.
        """
        positive = [torch.where(label >= 1)[0] for label in labels]
        negative = [torch.where(label == 0)[0] for label in labels]
        rows: list[tuple[int, ...] | None] = [None] * self.team.slots
        for place, p, n in zip(self.places, positive, negative, strict=True):
            rows[place] = (len(p), len(n))
        device = labels[0].device if labels else None
        masks_of: dict[int, tuple[Tensor, Tensor]] = {}
        self.own = self.total = 0
        quota = int(self.batch_size_per_image * self.positive_fraction)
        for rank, place, (n_positive, n_negative) in self.team.in_order(rows, 2):
            take_positive = min(n_positive, quota)
            take_negative = min(n_negative, self.batch_size_per_image - take_positive)
            self.total += take_positive + take_negative
            drawn = torch.randperm(n_positive, device=device)[:take_positive]
            drawn_too = torch.randperm(n_negative, device=device)[:take_negative]
            if rank != self.team.rank:
                continue
            self.own += take_positive + take_negative
            which = self.places.index(place)
            masks = torch.zeros((2, *labels[which].shape), dtype=torch.uint8, device=device)
            masks[0][positive[which][drawn]] = 1
            masks[1][negative[which][drawn_too]] = 1
            masks_of[place] = (masks[0], masks[1])
        pairs = [masks_of[place] for place in self.places]
        return [p for p, _ in pairs], [n for _, n in pairs]
