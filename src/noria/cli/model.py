"""`noria model`: which models there are, their weights, and whether they answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli._io.output import AsJson, emit, note, printable, table
from noria.errors import NotFound

if TYPE_CHECKING:
    from noria.config import Config
    from noria.models import Catalogue, Target
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
    from noria.models.local import LOCAL
    from noria.models.weights import Weights

    names = [model.removeprefix("local:") for model in models]
    for model, name in zip(models, names, strict=True):
        if name not in LOCAL:
            raise NotFound(
                f"{model} is not an embedded model.",
                f"These are: {', '.join(f'local:{one}' for one in LOCAL)}.",
            )
    for name in names:
        with watched(f"local:{name}") as progress:
            path = Weights().pull(name, progress)
        note(f"local:{name} is ready: {path}")


def have_weights(config: Config, model: str) -> None:
    """Pull the weights of `model` now, with a bar, if it is embedded and they are not here.

    The engine would pull them as well, but silently.
    """
    from noria.cli._io.progress import watched
    from noria.models.local import LOCAL
    from noria.models.weights import Weights

    provider, _, name = _first_target(config, model).partition(":")
    if provider == "local" and name in LOCAL and not Weights().present(name):
        with watched(f"local:{name}") as progress:
            Weights().pull(name, progress)


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
        from noria.models.state import Phase, StateFile
        from noria.models.weights import Weights

        engine = StateFile(config.home, target.model).read()
        if engine is not None and engine.state is Phase.CRASHED:
            return f"crashed: {engine.message}"
        return "ready" if Weights().present(target.model) else "pulled at the first call"
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
