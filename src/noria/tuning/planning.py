"""What a run would take in memory and time, and what of it fits this machine."""

from __future__ import annotations

import os
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from noria.models.adding import base_file
from noria.models.gguf import read_about
from noria.tuning.rows import LearningRows
from noria.tuning.settings import TuneSettings, need_torch

if TYPE_CHECKING:
    from noria.config import Config

__all__ = ["Option", "Plan", "Shape", "make_plan", "memory_of"]

_GPU_BYTES = 80e9
"""Of the GPU that a plan counts in where there is none."""
_ROOM = 0.9
"""The share of the memory that a run may fill."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The sizes of a model that its memory follows from."""

    parameters: int
    layers: int
    width: int
    inner: int
    """The width of the feed-forward layers."""
    vocabulary: int

    def adapted(self, rank: int) -> int:
        """Weights in adapters of this rank on all seven projections, as an upper bound."""
        a_layer = 4 * 2 * self.width + 3 * (self.width + self.inner)
        return self.layers * rank * a_layer


@dataclass(frozen=True, slots=True)
class Option:
    """One way to run."""

    method: str
    checkpointing: bool
    bytes: float
    seconds: float
    verdict: str
    """`fits`, or what it takes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """The ways to run, and what the figures stand on."""

    options: list[Option]
    basis: str
    tokens: int
    measured_seconds: float
    """Of one step."""
    measured_bytes: int

    def as_json(self) -> dict[str, Any]:
        """What `noria tune run --plan --json` prints."""
        return {
            "options": [asdict(option) for option in self.options],
            "tokens": self.tokens,
            "step_seconds": self.measured_seconds,
            "step_bytes": self.measured_bytes,
            "basis": self.basis,
        }


def memory_of(
    shape: Shape, method: str, *, checkpointing: bool, tokens: int, rank: int, number_bytes: int
) -> float:
    """Bytes that training takes, by arithmetic: weights, gradients, moments, activations.

    Args:
        shape: the model.
        method: `lora`, `qlora`, `full` or `dpo`.
        checkpointing: whether activations inside a layer are computed again.
        tokens: in one packed row.
        rank: of the adapters.
        number_bytes: of one frozen weight (2 or 4).
    """
    trained = shape.parameters if method == "full" else shape.adapted(rank)
    weights = shape.parameters * (0.55 if method == "qlora" else number_bytes)
    if method == "full":
        weights = shape.parameters * 4
    states = trained * (4 + 8 + 4)  # gradient, two moments, the best so far
    if method != "full":
        states += trained * 4
    inside = 10 * shape.width + 5 * shape.inner  # what the backward pass of a layer needs
    kept = 1 if checkpointing else shape.layers
    activations = tokens * 4 * (shape.layers * shape.width + kept * inside)
    logits = tokens * shape.vocabulary * 4 * 2 * 0.5  # half of the tokens are learned
    return weights + states + activations + logits


def make_plan(config: Config, learned: LearningRows, settings: TuneSettings) -> Plan:
    """Plan a run: one step is measured here, and the rest follows from it by arithmetic.

    Raises:
        NoriaError: the base or the rows cannot be used.
    """
    need_torch()
    import torch

    from noria.tuning.network import load_network
    from noria.tuning.objective import objective_of

    base = base_file(config, settings.base)
    about = read_about(base)
    head = about.values
    name = about.architecture
    shape = Shape(
        about.parameters,
        int(head[f"{name}.block_count"]),
        int(head[f"{name}.embedding_length"]),
        int(head[f"{name}.feed_forward_length"]),
        max(shape[1] for tensor, shape in about.shapes.items() if tensor == "token_embd.weight"),
    )
    network = load_network(base, settings)
    objective = objective_of(settings)
    items = objective.prepare(network, learned.rows)
    tokens = sum(item.size for item in items)
    longest = max(items, key=lambda item: item.size)
    number_bytes = next(network.model.parameters()).element_size()
    before = _resident()
    for attempt in range(2):  # the first one sets up what later ones find ready
        started = time.monotonic()
        loss, _ = objective.loss(network, longest)
        loss.backward()
        seconds = time.monotonic() - started
        if attempt == 0:
            network.model.zero_grad(set_to_none=True)
    measured = _peak()
    expected = memory_of(
        shape,
        settings.method,
        checkpointing=False,
        tokens=longest.size,
        rank=settings.rank,
        number_bytes=number_bytes,
    )
    fixed = measured - expected  # the interpreter, the libraries, what the allocator keeps
    here = _memory_here(torch)
    options = []
    for method in ("lora", "qlora", "full"):
        for checkpointing in (False, True):
            size = fixed + memory_of(
                shape,
                method,
                checkpointing=checkpointing,
                tokens=settings.max_tokens,
                rank=settings.rank,
                number_bytes=number_bytes,
            )
            factor = (4 / 3 if checkpointing else 1) * (1.5 if method == "full" else 1)
            passes = tokens * settings.epochs / max(longest.size, 1)
            options.append(
                Option(
                    method,
                    checkpointing,
                    size,
                    seconds * passes * factor,
                    _verdict(size, here, method, torch.cuda.is_available()),
                )
            )
    basis = (
        f"One step of {longest.size} tokens took {seconds:.2f} s and {measured / 1e9:.2f} GB here "
        f"({before / 1e9:.2f} GB before it); {tokens:,} tokens in {len(items)} packed rows; "
        f"this machine has {here / 1e9:.0f} GB."
    )
    return Plan(options, basis, tokens, seconds, measured)


def _verdict(size: float, here: float, method: str, gpu: bool) -> str:
    if method == "qlora" and not gpu:
        return "needs a GPU"
    if size <= _ROOM * here:
        return "fits"
    count = 1
    while size / count > _ROOM * _GPU_BYTES:
        count *= 2
    if count == 1:
        return "needs a GPU of 80 GB"
    return f"takes {count} GPUs of 80 GB; noria trains on one"


def _memory_here(torch: Any) -> float:
    if torch.cuda.is_available():
        return float(torch.cuda.get_device_properties(0).total_memory)
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))


def _resident() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
