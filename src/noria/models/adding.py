"""Adding a model of one's own: fetch a file, see that an engine can load it, register it."""

from __future__ import annotations

import json
import shutil
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.errors import ConfigError, EngineError, NoriaError, WeightsError
from noria.models.gguf import GgufAbout, check_adapter, read_about
from noria.models.local import Source
from noria.models.own import Card, LocalModels, OwnModels, check_name
from noria.models.sources import Progress, fetch, ignore, sha256_of
from noria.models.weights import Weights, write_stamp

if TYPE_CHECKING:
    from noria.config import Config

__all__ = ["add_model", "base_file", "register_file"]

_TRIAL_CONTEXT = 256
"""Tokens for which a file is loaded to see that it can be."""


def add_model(
    config: Config,
    name: str,
    source: str,
    *,
    embed: bool = False,
    context: int | None = None,
    license: str | None = None,
    base: str | None = None,
    sha256: str = "",
    progress: Progress = ignore,
) -> Card:
    """Register a model of one's own; it is served from now on as `local:NAME`.

    Args:
        config: the configuration; the model is kept in its home.
        name: what it will be called, with or without `local:`.
        source: a GGUF file (a path, `https:`, `hf:` or `pypi:` address), a folder of safetensors,
            or a folder that peft wrote.
        embed: it makes embeddings; known by itself for the usual architectures.
        context: tokens of prompt and reply; by default as the file says.
        license: by default as the file says.
        base: of an adapter, the local model that it stands on.
        sha256: what the file must have; left out, it is pinned as it comes.
        progress: told what is being done.

    Raises:
        NoriaError: the file cannot be used, or the name is taken; nothing is registered then.
    """
    name = check_name(name)
    own = OwnModels(config.home)
    with own.preparing(name) as work:
        path = work / "model.gguf"
        folder = Path(source).expanduser()
        if folder.is_dir():
            base = base or _convert_folder(folder, path, progress)
            if not path.exists():
                from noria.models.lora import peft_to_gguf

                if base is None:
                    raise ConfigError(
                        f"{folder} is an adapter, and nothing says of which model.", "Add --base."
                    )
                peft_to_gguf(folder, base_file(config, base, progress), path)
        else:
            fetching = work / "fetch"
            fetching.mkdir()
            (found,) = fetch([Source(source, sha256)], fetching, progress, threading.Event())
            found.replace(path)
            shutil.rmtree(fetching)
        about = read_about(path)
        card = _card(config, name, source, about, path, embed, context, license, base, progress)
        if card.base is None:
            _try(path, card)
        register_file(own, card, work)
    return card


def register_file(own: OwnModels, card: Card, work: Path) -> None:
    """Write the stamp and the card of a model whose file lies in `work`, a folder of
    `own.preparing`."""
    path = work / card.file
    write_stamp(path, card.sha256)
    own.write(card, work)


def base_file(config: Config, base: str, progress: Progress = ignore) -> Path:
    """The file of the local model that something is made from; pulled where it is not here.

    Raises:
        NoriaError: there is no such model, it embeds, or it is an adapter itself.
    """
    models = LocalModels(config)
    name = base.removeprefix("local:")
    if name not in models:
        known = ", ".join(f"local:{one}" for one in models)
        raise NoriaError(f"There is no local model {base!r}.", f"These are: {known}.")
    model = models[name]
    if not model.chat:
        raise NoriaError(f"local:{name} makes embeddings; it cannot be a base.")
    if model.base is not None:
        raise NoriaError(
            f"local:{name} is an adapter itself.",
            f"Use its base local:{model.base}, or its merged file (see `noria model show {name}`).",
        )
    weights = Weights(models=models)
    return weights.locate(name) if weights.present(name) else weights.pull(name, progress)


def _card(
    config: Config,
    name: str,
    source: str,
    about: GgufAbout,
    path: Path,
    embed: bool,
    context: int | None,
    license: str | None,
    base: str | None,
    progress: Progress,
) -> Card:
    import noria

    kind = "adapter" if about.adapter else "embed" if embed or about.embeds else "chat"
    if kind == "adapter":
        if base is None:
            raise WeightsError(
                f"{source} is an adapter, and an adapter needs the model it was trained on.",
                f"noria model add {name} {source} --base local:NAME",
            )
        base = base.removeprefix("local:")
        below = read_about(base_file(config, base, progress))
        check_adapter(about, below, source, base)
        context = context or below.context
    elif base is not None:
        raise WeightsError(f"{source} is no adapter, so it has no base.", "Leave --base out.")
    elif kind == "chat" and about.template is None:
        raise WeightsError(
            f"{source} has no chat template, so nobody knows how to talk to it.",
            "Take the instruct version of the model, or add it with --embed if it embeds.",
        )
    if context is not None and about.context is not None and context > about.context:
        raise WeightsError(
            f"{source} was trained for {about.context:,} tokens, not for {context:,}.",
            f"Leave --context out, or give at most {about.context}.",
        )
    return Card(
        name=name,
        kind=kind,
        source=source,
        sha256=sha256_of(path),
        file=path.name,
        context=context or about.context or config.engines.context,
        license=license or about.license or "unknown",
        base=base,
        parent=base,
        created_ns=time.time_ns(),
        version=noria.__version__,
        about=about.name or "",
        figures={"bytes": path.stat().st_size, "parameters": about.parameters},
    )


def _try(path: Path, card: Card) -> None:
    """Load the file once, in a process of its own: what crashes native code must not end ours."""
    import subprocess
    import sys

    code = (
        "import sys; from pathlib import Path\n"
        "from noria.errors import EngineError\n"
        "from noria.models.catalogue import Capabilities\n"
        "from noria.models.engine.llama import LlamaEngine\n"
        "able = Capabilities(chat=sys.argv[2] == 'chat', embeddings=sys.argv[2] == 'embed',"
        f" context={_TRIAL_CONTEXT})\n"
        "try: engine = LlamaEngine('trial', Path(sys.argv[1]), able, parallel=1, threads=1)\n"
        "except EngineError as problem: sys.exit(str(problem))\n"
        "import os; os._exit(0)\n"
    )
    tried = subprocess.run(
        [sys.executable, "-c", code, str(path), card.kind], capture_output=True, text=True
    )
    if tried.returncode:
        lines = [line for line in tried.stderr.splitlines() if line.strip()]
        reason = lines[-1].replace(str(path), card.source) if lines else "it crashes"
        raise EngineError(f"The engine cannot load {card.source}: {reason}")


def _convert_folder(folder: Path, target: Path, progress: Progress) -> str | None:
    """Write a folder of safetensors as GGUF; for a folder of peft's, the base that it names."""
    adapter = folder / "adapter_config.json"
    if adapter.is_file():
        named = _read_json(adapter).get("base_model_name_or_path")
        return str(named) if named else None
    if not (folder / "config.json").is_file():
        raise WeightsError(
            f"{folder} holds neither config.json nor adapter_config.json.",
            "Name a GGUF file, a folder of safetensors, or a folder that peft wrote.",
        )
    from noria.models.llama_folder import folder_to_gguf

    folder_to_gguf(folder, target, lambda done, total: progress("convert", done, total))
    return None


def _read_json(path: Path) -> dict[str, Any]:
    try:
        table = json.loads(path.read_bytes())
    except (OSError, ValueError) as problem:
        raise WeightsError(f"{path} cannot be read: {problem}.") from None
    if not isinstance(table, dict):
        raise WeightsError(f"{path} holds no JSON object.")
    return table
