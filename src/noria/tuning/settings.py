"""How a model is tuned."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any, Literal

from noria.errors import NoriaError

__all__ = ["TuneSettings", "need_torch"]

Method = Literal["lora", "qlora", "full", "dpo"]
_RATES = {"lora": 1e-3, "qlora": 1e-3, "full": 5e-5, "dpo": 2e-4}


@dataclass(frozen=True, slots=True)
class TuneSettings:
    """What a run is told; the defaults suit a small model and a few hundred conversations."""

    base: str = "local:smollm2"
    method: Method = "lora"
    epochs: float = 1.0
    lr: float | None = None
    """The highest learning rate; by default 1e-3 for LoRA, 5e-5 for all weights, 2e-4 for DPO."""
    rank: int = 16
    max_tokens: int = 512
    """The longest conversation."""
    batch_tokens: int = 256
    """Tokens that one step learns from, in one packed row where that is possible."""
    eval_share: float = 0.1
    """The share of conversations that is held out."""
    seed: int = 0
    budget_hours: float | None = None
    """Stop after so many hours of training, and keep the best."""
    patience: int = 3
    """Stop after so many looks at the held-out loss without a better one."""
    beta: float = 0.1
    """Of DPO: how much it costs to move away from the base."""

    def __post_init__(self) -> None:
        """Refuse what cannot work.

        Raises:
            NoriaError: names the setting.
        """
        for name, low, high in (
            ("epochs", 0.01, 1000), ("rank", 1, 512), ("max_tokens", 16, 1_000_000),
            ("batch_tokens", 16, 10_000_000), ("eval_share", 0, 0.9),
            ("lr", 1e-9, 1), ("budget_hours", 0, 10_000), ("beta", 1e-6, 10),
        ):  # fmt: skip
            value = getattr(self, name)
            if value is not None and not low <= value <= high:
                raise NoriaError(
                    f"{name} must lie between {low:g} and {high:g}, not {value}.",
                    f"--{name.replace('_', '-')} sets it.",
                )

    @property
    def rate(self) -> float:
        """The highest learning rate."""
        return self.lr if self.lr is not None else _RATES[self.method]

    def as_json(self) -> dict[str, Any]:
        """All settings, the rate resolved."""
        return asdict(self) | {"lr": self.rate}


def need_torch() -> None:
    """Check that the extra `tune` is installed.

    Raises:
        NoriaError: it is not; says the commands.
    """
    # With its threads spinning, a busy machine computes several times slower. OpenMP reads this
    # when it is loaded.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    try:
        import peft  # noqa: F401
        import torch  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as missing:
        raise NoriaError(
            f"Tuning needs {missing.name}, which is not installed.",
            'pip install torch==2.13.0 && pip install "noria[tune]"',
        ) from None
