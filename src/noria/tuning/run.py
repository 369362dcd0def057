"""One run from rows to a model that is served: read, split, train, export, register."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from noria.datasets import Row
from noria.errors import NoriaError
from noria.models.adding import base_file, register_file
from noria.models.gguf import read_about
from noria.models.own import Card, LocalModels, OwnModels, check_name
from noria.models.sources import sha256_of
from noria.tuning.rows import LearningRows, split
from noria.tuning.settings import TuneSettings, need_torch
from noria.tuning.training import Progress, Trained, train

if TYPE_CHECKING:
    from noria.config import Config
    from noria.tuning.network import Network

__all__ = ["TuneResult", "tune"]

_SAMPLES = 3
_VARIANTS = ("q8_0", "q4_0")
"""The formats of the merged files."""


@dataclass(frozen=True, slots=True)
class TuneResult:
    """What a run made."""

    card: Card
    adapter: Path | None
    """The folder that peft wrote; None where all weights were trained."""
    gguf: Path
    """The merged model at 8 bits."""

    def as_json(self) -> dict[str, Any]:
        """What `noria tune run --json` ends with."""
        figures = self.card.figures
        return {
            "model": f"local:{self.card.name}",
            "steps": figures["steps"],
            "loss": figures["loss"],
            "held_out_loss": figures["held_out_loss"],
            "seconds": figures["seconds"],
            "adapter": str(self.adapter) if self.adapter else None,
            "gguf": str(self.gguf),
            "stopped": figures["stopped"],
        }


def tune(
    config: Config,
    name: str,
    learned: LearningRows,
    settings: TuneSettings,
    progress: Progress = lambda point: None,
) -> TuneResult:
    """Tune a local model on rows and register the result, which is served at once.

    A run that was killed goes on where it was when it is started again with the same rows and
    settings.

    Args:
        config: the configuration; the model goes into its home.
        name: what the new model is called, with or without `local:`.
        learned: what it learns from.
        settings: how.
        progress: told each step.

    Raises:
        NoriaError: something cannot be used; nothing is registered then.
    """
    need_torch()
    name = check_name(name)
    own = OwnModels(config.home)
    if own.find(name) is not None:
        raise NoriaError(
            f"There is a model local:{name} already.",
            f"Choose another --name, or: noria model rm {name}",
        )
    base = base_file(config, settings.base)
    kept, held_out = split(learned.rows, settings.eval_share, settings.seed)
    with _run_folder(config.home, name, learned, settings) as folder:
        from noria.tuning.network import load_network
        from noria.tuning.objective import objective_of

        network = load_network(base, settings)
        samples = _before(network, held_out or kept) if network.adapted else []
        objective = objective_of(settings)
        items = objective.prepare(network, kept)
        if not items:
            raise NoriaError(
                f"No conversation of {learned.name} fits in {settings.max_tokens} tokens.",
                "Raise --max-tokens, or split the conversations: noria data split",
            )
        looked_at = objective.prepare(network, held_out)
        trained = train(network, objective, items, looked_at, settings, folder, progress)
        if not trained.points:
            raise NoriaError(
                f"The run ended before its first step ({trained.stopped}); nothing is kept.",
                "Lower --lr." if trained.stopped == "diverged" else "Start it again.",
            )
        _after(network, samples)
        with own.preparing(name) as work:
            card = _export(
                config, name, base, network, settings, learned, trained, samples, work,
                len(held_out),
            )  # fmt: skip
    shutil.rmtree(folder, ignore_errors=True)
    made = own.folder / name
    adapter = made / "adapter" if network.adapted else None
    return TuneResult(card, adapter, made / "merged-q8_0.gguf" if adapter else made / card.file)


@contextmanager
def _run_folder(
    home: Path, name: str, learned: LearningRows, settings: TuneSettings
) -> Iterator[Path]:
    """The folder of a run, emptied where another run left it; one process at a time."""
    folder = home / "tuning" / name
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    described = {"rows": learned.sha256, "settings": settings.as_json()}
    text = json.dumps(described, sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()
    with (folder / "lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise NoriaError(
                f"local:{name} is being tuned by another process.", "Choose another --name."
            ) from None
        known = folder / "run.json"
        if not known.exists() or json.loads(known.read_bytes())["digest"] != digest:
            for path in folder.iterdir():
                if path.name != "lock":
                    path.unlink()
            fresh = folder / "run.tmp"
            started = {"digest": digest, "data": learned.as_json(), "at_ns": time.time_ns()}
            fresh.write_text(json.dumps(started | described))
            fresh.replace(known)
        yield folder


def _before(network: Network, rows: list[Row]) -> list[dict[str, Any]]:
    samples: list[dict[str, Any]] = []
    for row in rows:
        asked = next((n for n, one in enumerate(row.messages) if one["role"] == "user"), None)
        if asked is None:
            continue
        messages = row.messages[: asked + 1]
        expected = next(
            (one["content"] for one in row.messages[asked + 1 :] if one["role"] == "assistant"), ""
        )
        with network.as_base():
            before = network.answer(messages)
        samples.append(
            {
                "prompt": messages[-1]["content"],
                "messages": messages,
                "expected": expected,
                "before": before,
            }
        )
        if len(samples) == _SAMPLES:
            break
    return samples


def _after(network: Network, samples: list[dict[str, Any]]) -> None:
    for sample in samples:
        sample["after"] = network.answer(sample.pop("messages"))


def _export(
    config: Config,
    name: str,
    base: Path,
    network: Network,
    settings: TuneSettings,
    learned: LearningRows,
    trained: Trained,
    samples: list[dict[str, Any]],
    work: Path,
    held_out: int,
) -> Card:
    """Write the adapter, the merged files and the card into `work`."""
    import noria
    from noria.models.lora import full_weights, merge, peft_to_gguf, rewrite

    parent = LocalModels(config)[settings.base.removeprefix("local:")]

    def quiet(done: int, total: int) -> None:
        return None

    if network.adapted:
        network.model.save_pretrained(work / "adapter")
        network.tokenizer.save_pretrained(work / "adapter")
        file = work / "adapter.gguf"
        peft_to_gguf(work / "adapter", base, file)
        for kind in _VARIANTS:
            merge(base, file, work / f"merged-{kind}.gguf", kind, quiet)
    else:
        state = {
            key: value.detach().float().cpu().numpy()
            for key, value in network.model.state_dict().items()
        }
        for kind in _VARIANTS:
            rewrite(base, work / f"merged-{kind}.gguf", kind, full_weights(base, state), quiet)
        file = work / "merged-q8_0.gguf"
    figures = {
        "steps": len(trained.points),
        "best_step": trained.best_step,
        "loss": _rounded(trained.loss),
        "held_out_loss": _rounded(trained.best_loss) if held_out else None,
        "base_loss": _rounded(trained.base_loss),
        "seconds": round(trained.seconds, 1),
        "stopped": trained.stopped,
        "held_out_rows": held_out,
        "tokens": sum(point.tokens for point in trained.points),
        "bytes": file.stat().st_size,
        "parameters": sum(int(weight.numel()) for weight in network.trained.values()),
    }
    card = Card(
        name=name,
        kind="adapter" if network.adapted else "chat",
        source="tune",
        sha256=sha256_of(file),
        file=file.name,
        context=min(parent.context, read_about(base).context or parent.context),
        license=parent.license,
        label=str(max(learned.label, parent.label)),
        base=parent.name if network.adapted else None,
        parent=parent.name,
        created_ns=time.time_ns(),
        version=noria.__version__,
        about=f"{parent.name}, tuned on {learned.name}",
        data=[learned.as_json()],
        parameters=settings.as_json() | {"base_sha256": sha256_of(base)},
        figures=figures,
        curve=[
            {"step": point.step, "loss": point.loss, "held_out": point.held_out}
            for point in trained.points
        ],
        samples=samples,
    )
    register_file(OwnModels(config.home), card, work)
    return card


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 6)
