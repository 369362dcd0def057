"""The training loop: the same curve for the same seed, after a kill as well.

A checkpoint holds everything that the rest of a run follows from; the order of the items follows
from the seed alone. The best weights by held-out loss are kept, and are what a run gives.
"""

from __future__ import annotations

import json
import math
import os
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import NoriaError
from noria.tuning.objective import Item, Objective

if TYPE_CHECKING:
    import torch

    from noria.tuning.network import Network
    from noria.tuning.settings import TuneSettings

__all__ = ["Point", "Progress", "Trained", "train"]

_WARM_UP = 0.1
"""The share of the steps in which the rate rises."""
_CLIP = 1.0
_LOOKS = 5
"""How often the held-out loss is taken in a run, at least; half as much work as a step."""
_HELD_OUT_TOKENS = 1024
_CHECKPOINT_SECONDS = 20.0
_DIVERGED = 3.0
"""A loss this many times the first one, or not a number, ends a run."""


@dataclass(frozen=True, slots=True)
class Point:
    """One step of the curve."""

    step: int
    steps: int
    loss: float
    held_out: float | None
    rate: float
    seconds: float
    tokens: int


Progress = Callable[[Point], None]
"""Told each step."""


@dataclass(slots=True)
class Trained:
    """How a run went."""

    points: list[Point] = field(default_factory=list)
    best_step: int = 0
    best_loss: float = math.inf
    base_loss: float | None = None
    """The held-out loss before the first step."""
    seconds: float = 0.0
    stopped: str = "done"
    """`done`, `early`, `budget`, `interrupted` or `diverged`."""

    @property
    def loss(self) -> float | None:
        """The mean of the last five steps."""
        last = [point.loss for point in self.points[-5:]]
        return sum(last) / len(last) if last else None


def train(
    network: Network,
    objective: Objective,
    items: Sequence[Item],
    held_out: Sequence[Item],
    settings: TuneSettings,
    folder: Path,
    progress: Progress,
) -> Trained:
    """Train, from the checkpoint in `folder` where there is one.

    On return the network has the best weights: those with the lowest held-out loss, or the last
    ones where nothing was held out.

    Args:
        network: what is trained.
        objective: gives the losses.
        items: what is learned from.
        held_out: what the held-out loss is taken on.
        settings: rate, epochs, seed and limits.
        folder: where checkpoints and the curve are kept.
        progress: told each step.

    Raises:
        NoriaError: the memory does not suffice.
    """
    run = _Run(network, objective, items, held_out, settings, folder, progress)
    try:
        run.go()
    except KeyboardInterrupt:
        run.state.stopped = "interrupted"
    except (MemoryError, RuntimeError) as problem:
        if not isinstance(problem, MemoryError) and "memory" not in str(problem).lower():
            raise
        raise NoriaError(
            f"The memory does not suffice for {settings.method} with {settings.max_tokens} tokens.",
            "Lower --max-tokens or --rank, or use --method lora; `noria tune run --plan` "
            "says what fits.",
        ) from None
    run.take_best()
    return run.state


class _Run:
    """A run under way."""

    def __init__(
        self,
        network: Network,
        objective: Objective,
        items: Sequence[Item],
        held_out: Sequence[Item],
        settings: TuneSettings,
        folder: Path,
        progress: Progress,
    ) -> None:
        import torch

        self._network = network
        self._objective = objective
        self._items = items
        self._held_out = _first(held_out, _HELD_OUT_TOKENS)
        self._settings = settings
        self._file = folder / "checkpoint.pt"
        self._curve = folder / "curve.jsonl"
        self._progress = progress
        self._batches = _batches(items, settings)
        self._every = max(1, len(self._batches) // _LOOKS)
        self._optimizer = torch.optim.AdamW(
            network.trained.values(), lr=settings.rate, weight_decay=0.0
        )
        self._best: dict[str, torch.Tensor] | None = None
        self._bad = 0
        self.state = Trained()

    def go(self) -> None:
        """Do the steps that are left."""
        begin = self._resume()
        steps = len(self._batches)
        saved = time.monotonic()
        self._network.model.train()
        if begin == 0 and self._held_out:
            self.state.base_loss = self.state.best_loss = self._look()
            self._keep(0)
        for step in range(begin, steps):
            started = time.monotonic()
            loss, tokens = self._step(step)
            first = self.state.points[0].loss if self.state.points else loss
            if not math.isfinite(loss) or loss > _DIVERGED * max(first, 0.5):
                self.state.stopped = "diverged"
                return
            looks = (step + 1) % self._every == 0 or step + 1 == steps
            held_out = self._look() if looks and self._held_out else None
            self.state.seconds += time.monotonic() - started
            point = Point(
                step + 1, steps, loss, held_out, self._rate(step), self.state.seconds, tokens
            )
            self.state.points.append(point)
            self._note(point)
            if held_out is not None and not self._judge(step + 1, held_out):
                return
            if self._over_budget():
                self.state.stopped = "budget"
                return
            if step + 1 < steps and time.monotonic() - saved > _CHECKPOINT_SECONDS:
                self._save(step + 1)
                saved = time.monotonic()

    def take_best(self) -> None:
        """Give the network the best weights."""
        import torch

        self._network.model.eval()
        if self._best is None:
            return
        with torch.no_grad():
            for name, weight in self._network.trained.items():
                weight.copy_(self._best[name])

    def _step(self, step: int) -> tuple[float, int]:
        import torch

        batch = self._batches[step]
        total, count, tokens = 0.0, 0, 0
        self._optimizer.zero_grad(set_to_none=True)
        for number in batch:
            loss, weight = self._objective.loss(self._network, self._items[number])
            loss.backward()
            total, count = total + float(loss.detach()), count + weight
            tokens += self._items[number].size
        weights = list(self._network.trained.values())
        for parameter in weights:
            if parameter.grad is not None:
                parameter.grad /= max(count, 1)
        torch.nn.utils.clip_grad_norm_(weights, _CLIP)
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate(step)
        mean = total / max(count, 1)
        if math.isfinite(mean):
            self._optimizer.step()
        return mean, tokens

    def _look(self) -> float:
        """The mean held-out loss."""
        import torch

        self._network.model.eval()
        total, count = 0.0, 0
        with torch.no_grad():
            for item in self._held_out:
                loss, weight = self._objective.loss(self._network, item)
                total, count = total + float(loss), count + weight
        self._network.model.train()
        return total / max(count, 1)

    def _judge(self, step: int, held_out: float) -> bool:
        """Keep what is better than all before; False when it is time to stop."""
        if held_out < self.state.best_loss:
            self.state.best_loss, self._bad = held_out, 0
            self._keep(step)
            return True
        self._bad += 1
        if self._bad >= self._settings.patience:
            self.state.stopped = "early"
            return False
        return True

    def _keep(self, step: int) -> None:
        self.state.best_step = step
        self._best = {
            name: weight.detach().clone() for name, weight in self._network.trained.items()
        }

    def _rate(self, step: int) -> float:
        """Up in a straight line, then down along half a cosine to a tenth."""
        steps = len(self._batches)
        warm = max(1, round(_WARM_UP * steps))
        if step < warm:
            return self._settings.rate * (step + 1) / warm
        share = (step - warm) / max(1, steps - warm)
        return self._settings.rate * (0.1 + 0.45 * (1 + math.cos(math.pi * share)))

    def _over_budget(self) -> bool:
        hours = self._settings.budget_hours
        return hours is not None and self.state.seconds > hours * 3600

    def _note(self, point: Point) -> None:
        with self._curve.open("a") as file:
            file.write(json.dumps(asdict(point)) + "\n")
        self._progress(point)

    def _save(self, step: int) -> None:
        import torch

        fresh = self._file.with_suffix(f".{os.getpid()}.tmp")
        table: dict[str, Any] = {
            "step": step,
            "weights": {name: weight.detach() for name, weight in self._network.trained.items()},
            "best": self._best,
            "bad": self._bad,
            "optimizer": self._optimizer.state_dict(),
            "state": asdict(self.state),
        }
        torch.save(table, fresh)
        fresh.replace(self._file)

    def _resume(self) -> int:
        """Take up the checkpoint; the number of steps that are done."""
        import torch

        if not self._file.exists():
            self._curve.unlink(missing_ok=True)
            return 0
        table = torch.load(self._file, weights_only=True)
        with torch.no_grad():
            for name, weight in self._network.trained.items():
                weight.copy_(table["weights"][name])
        self._optimizer.load_state_dict(table["optimizer"])
        self._best, self._bad = table["best"], table["bad"]
        state = table["state"]
        state["points"] = [Point(**point) for point in state["points"]]
        self.state = Trained(**state)
        self._curve.write_text(
            "".join(json.dumps(asdict(point)) + "\n" for point in self.state.points)
        )
        return int(table["step"])


def _batches(items: Sequence[Item], settings: TuneSettings) -> list[list[int]]:
    """The items of each step, in an order that follows from the seed; each epoch has another."""
    chance = random.Random(settings.seed)  # noqa: S311 - an order, no secret
    batches: list[list[int]] = []
    wanted = settings.epochs * sum(item.size for item in items)
    seen = 0.0
    while seen < wanted:
        order = list(range(len(items)))
        chance.shuffle(order)
        batch: list[int] = []
        size = 0
        for number in order:
            if batch and size + items[number].size > settings.batch_tokens:
                batches.append(batch)
                batch, size = [], 0
                if seen >= wanted:
                    break
            batch.append(number)
            size += items[number].size
            seen += items[number].size
        if batch:
            batches.append(batch)
    return batches


def _first(items: Sequence[Item], tokens: int) -> list[Item]:
    """The first items that come to at most so many tokens; one at least."""
    chosen: list[Item] = []
    for item in items:
        if chosen and sum(one.size for one in chosen) + item.size > tokens:
            break
        chosen.append(item)
    return chosen
