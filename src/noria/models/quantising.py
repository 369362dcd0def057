"""A model in smaller formats, and what each loses and wins, measured here.

What a variant loses is measured as it is served: every token of a text is asked for after those
before it, and the engine says how likely it held each candidate. The engine lists the likeliest
candidates only; the others together count as one, so the divergence is a lower bound.
"""

from __future__ import annotations

import math
import shutil
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import NoriaError
from noria.models.adding import register_file
from noria.models.lora import rewrite
from noria.models.own import Card, LocalModels, OwnModels, check_name
from noria.models.sources import Progress, ignore, sha256_of
from noria.models.weights import Weights

if TYPE_CHECKING:
    from noria.config import Config

__all__ = ["Comparison", "Measured", "compare", "measure", "quantise"]

_CANDIDATES = 256
"""Candidates that the engine lists for each token."""
_TIMED_TOKENS = 64
_PROMPT = [{"role": "user", "content": "Tell a long story about a mill by a river."}]
TEXT = (
    "A mill stands by the river. The water turns the wheel, the wheel turns a shaft, and the "
    "shaft turns the stones that grind the grain. In spring the river is high and the mill "
    "works day and night; in summer it often stands still. The miller keeps a book in which "
    "he writes who brought how many sacks, what each weighed, and what was paid. When two "
    "people disagree about a sack, they look into the book. Question: how does a miller know "
    "who brought a sack? Answer: it is written in the book. A good record has the date, the "
    "name, the weight and the price, in this order. Nothing in it is ever erased: a mistake "
    "is struck through and written again below."
)
"""What variants are measured on where no other text is given."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What the engine said of each token of a text."""

    likelihoods: list[dict[int, float]]
    """For each place, the probability of the likeliest candidates by token."""
    tokens: list[int]
    """The token that stands there."""
    vocabulary: int

    @property
    def perplexity(self) -> float:
        """The exponential of the mean negative log-likelihood of the text's tokens."""
        total = sum(
            -math.log(max(self._of(place, token), 1e-12))
            for place, token in zip(self.likelihoods, self.tokens, strict=True)
        )
        return math.exp(total / len(self.tokens))

    def _of(self, place: dict[int, float], token: int) -> float:
        if token in place:
            return place[token]
        rest = max(0.0, 1.0 - sum(place.values()))
        return rest / max(1, self.vocabulary - len(place))


@dataclass(frozen=True, slots=True)
class Comparison:
    """A variant beside the model that it was made from."""

    model: str
    format: str
    bytes: int
    tokens_per_second: float
    perplexity: float
    kl: float
    """Mean divergence from the original, in nats; a lower bound."""
    agreement: float
    """The share of places where both hold the same token for the likeliest."""


def measure(weights: Path, text: str, *, threads: int) -> tuple[Measured, float]:
    """Ask the engine for every token of a text, and how fast it decodes.

    Returns:
        What it said, and tokens a second of one stream.

    Raises:
        EngineError: the file cannot be loaded.
        NoriaError: the text is too short.
    """
    from noria.models.catalogue import Capabilities
    from noria.models.engine.llama import LlamaEngine
    from noria.models.gguf import read_about

    engine = LlamaEngine(
        "measured", weights, Capabilities(context=1024), parallel=1, threads=threads
    )
    tokens = engine.tokens(text)[:512]
    if len(tokens) < 16:
        raise NoriaError("The text to measure on is too short.", "Give one of 16 tokens or more.")
    places = [engine.candidates(tokens[:end], _CANDIDATES) for end in range(1, len(tokens))]
    started = time.monotonic()
    made = engine.chat(
        {"messages": _PROMPT, "max_tokens": _TIMED_TOKENS, "temperature": 0, "seed": 1,
         "logit_bias": {}},
        lambda: False,
    )  # fmt: skip
    seconds = time.monotonic() - started
    speed = made["usage"]["completion_tokens"] / seconds
    vocabulary = read_about(weights).shapes["token_embd.weight"][1]
    return Measured(places, tokens[1:], vocabulary), speed


def compare(original: Measured, variant: Measured) -> tuple[float, float]:
    """Mean Kullback-Leibler divergence in nats, and top-1 agreement."""
    divergence, same = 0.0, 0
    for p, q in zip(original.likelihoods, variant.likelihoods, strict=True):
        both = p.keys() & q.keys()
        rest_p = max(1e-9, 1.0 - sum(p[token] for token in both))
        rest_q = max(1e-9, 1.0 - sum(q[token] for token in both))
        divergence += sum(p[token] * math.log(p[token] / q[token]) for token in both if p[token])
        divergence += rest_p * math.log(rest_p / rest_q)
        same += max(p, key=p.__getitem__) == max(q, key=q.__getitem__)
    count = len(original.likelihoods)
    return max(0.0, divergence / count), same / count


def quantise(
    config: Config,
    name: str,
    formats: Sequence[str],
    *,
    text: str = TEXT,
    threads: int = 1,
    progress: Progress = ignore,
) -> list[Comparison]:
    """Write a model in other formats, register each as `NAME-FORMAT`, and measure them.

    An adapter is merged into its base first.

    Returns:
        The original, then each variant.

    Raises:
        NoriaError: there is no such model, or a format cannot be written.
    """
    name = name.removeprefix("local:")
    models, own = LocalModels(config), OwnModels(config.home)
    if name not in models:
        raise NoriaError(f"There is no local model {name!r}.", "`noria model ls` lists them.")
    source = _file_of(models, own, name, progress)
    made = [_variant(models, own, name, source, kind, progress) for kind in formats]
    original, speed = measure(source, text, threads=threads)
    rows = [
        Comparison(
            f"local:{name}", "as it is", source.stat().st_size, round(speed, 1),
            round(original.perplexity, 3), 0.0, 1.0,
        )
    ]  # fmt: skip
    for kind, card in zip(formats, made, strict=True):
        path = own.folder / card.name / card.file
        variant, speed = measure(path, text, threads=threads)
        divergence, agreement = compare(original, variant)
        row = Comparison(
            f"local:{card.name}", kind, path.stat().st_size, round(speed, 1),
            round(variant.perplexity, 3), round(divergence, 5), round(agreement, 4),
        )  # fmt: skip
        rows.append(row)
        figures = card.figures | {"against": f"local:{name}"} | asdict(row)
        own.write(replace(card, figures=figures))
    return rows


def _file_of(models: LocalModels, own: OwnModels, name: str, progress: Progress) -> Path:
    model = models[name]
    if not model.chat:
        raise NoriaError(f"local:{name} makes embeddings.", "Only models that chat are quantised.")
    merged = own.folder / name / "merged-q8_0.gguf"
    if model.base is not None and not merged.exists():
        raise NoriaError(
            f"local:{name} is an adapter without a merged file.",
            f"Quantise its base: noria model quantise {model.base}",
        )
    if model.base is not None:
        return merged
    weights = Weights(models=models)
    return weights.locate(name) if weights.present(name) else weights.pull(name, progress)


def _variant(
    models: LocalModels, own: OwnModels, name: str, source: Path, kind: str, progress: Progress
) -> Card:
    import noria

    parent = models[name]
    variant = check_name(f"{name}-{kind}")
    ready = own.folder / name / f"merged-{kind}.gguf"

    def unchanged(tensor: str, data: Any) -> Any:
        return data

    def converted(done: int, total: int) -> None:
        progress("convert", done, total)

    with own.preparing(variant) as work:
        path = work / "model.gguf"
        if ready.exists():
            shutil.copyfile(ready, path)
        else:
            rewrite(source, path, kind, unchanged, converted)
        card = Card(
            name=variant,
            kind="chat",
            source="quantise",
            sha256=sha256_of(path),
            file=path.name,
            context=parent.context,
            license=parent.license,
            label=str(parent.label),
            parent=name,
            created_ns=time.time_ns(),
            version=noria.__version__,
            about=f"{name} at {kind}",
            parameters={"format": kind},
            figures={"bytes": path.stat().st_size},
        )
        register_file(own, card, work)
    return card
