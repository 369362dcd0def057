"""What a run makes smaller: the loss on answers, or DPO's on preferences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from noria.datasets import Row
from noria.tuning.encoding import Encoded, encode, encode_row, pack

if TYPE_CHECKING:
    import torch

    from noria.tuning.network import Network
    from noria.tuning.settings import TuneSettings

__all__ = ["Answers", "Item", "Objective", "Preferences", "objective_of"]


class Item(Protocol):
    """What is learned from at once."""

    @property
    def size(self) -> int:
        """Its tokens."""


class Objective(Protocol):
    """A loss over items."""

    def prepare(self, network: Network, rows: Sequence[Row]) -> list[Item]:
        """The items of some rows."""

    def loss(self, network: Network, item: Item) -> tuple[torch.Tensor, int]:
        """The sum of the losses of an item, and by what it is divided for their mean."""


@dataclass(frozen=True, slots=True)
class _Text:
    row: Encoded

    @property
    def size(self) -> int:
        return len(self.row.tokens)


class Answers:
    """The negative log-likelihood of the assistant's turns."""

    def __init__(self, settings: TuneSettings) -> None:
        self._longest = settings.max_tokens
        self._packed = settings.batch_tokens

    def prepare(self, network: Network, rows: Sequence[Row]) -> list[Item]:
        found = [part for row in rows for part in encode_row(network.tokenizer, row, self._longest)]
        return [_Text(one) for one in pack(found, self._packed)]

    def loss(self, network: Network, item: Item) -> tuple[torch.Tensor, int]:
        assert isinstance(item, _Text)
        return network.loss(item.row)


@dataclass(slots=True)
class _Pair:
    chosen: Encoded
    rejected: Encoded
    margin: float | None = None
    """By how much the base prefers the first, in log-likelihood; measured once."""

    @property
    def size(self) -> int:
        return len(self.chosen.tokens) + len(self.rejected.tokens)


class Preferences:
    """Direct preference optimisation.

    Source: Rafailov et al., "Direct Preference Optimization: Your Language Model is Secretly a
    Reward Model", NeurIPS 2023, equation 7. The reference is the base without the adapters.
    """

    def __init__(self, settings: TuneSettings) -> None:
        self._beta = settings.beta
        self._longest = settings.max_tokens

    def prepare(self, network: Network, rows: Sequence[Row]) -> list[Item]:
        pairs: list[Item] = []
        for row in rows:
            if row.chosen is None or row.rejected is None:
                continue
            chosen = self._answer(network, row, row.chosen)
            rejected = self._answer(network, row, row.rejected)
            if max(len(chosen.tokens), len(rejected.tokens)) <= self._longest:
                pairs.append(_Pair(chosen, rejected))
        return pairs

    def loss(self, network: Network, item: Item) -> tuple[torch.Tensor, int]:
        import torch

        assert isinstance(item, _Pair)
        if item.margin is None:
            with torch.no_grad(), network.as_base():
                item.margin = float(self._preference(network, item))
        better = self._preference(network, item) - item.margin
        return -torch.nn.functional.logsigmoid(self._beta * better), 1

    @staticmethod
    def _preference(network: Network, pair: _Pair) -> torch.Tensor:
        return network.log_likelihood(pair.chosen) - network.log_likelihood(pair.rejected)

    @staticmethod
    def _answer(network: Network, row: Row, answer: Sequence[dict[str, object]]) -> Encoded:
        """The prompt and one answer, only the answer learned."""
        whole = encode(network.tokenizer, [*row.messages, *answer])
        before = len(encode(network.tokenizer, row.messages).tokens)
        learned = [one and number >= before for number, one in enumerate(whole.learned)]
        return replace(whole, learned=learned)


def objective_of(settings: TuneSettings) -> Objective:
    """The objective of a method."""
    return Preferences(settings) if settings.method == "dpo" else Answers(settings)
