"""Making a page: templates, the frame round them, and help for the functions that fill them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, TypeVar
from urllib.parse import urlencode

from anyio import to_thread
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse

from noria.types import utc_now
from noria.web import format
from noria.web.assets import Assets
from noria.web.context import Context
from noria.web.draw import charts
from noria.web.draw.colours import Palette

if TYPE_CHECKING:
    from noria.store import Key

__all__ = [
    "RANGES", "Range", "Renderer", "chosen_range", "context_of", "in_thread", "key_of",
    "link", "must_be_admin", "page", "shades_of",
]  # fmt: skip

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Place:
    """A line of the rail. Only an administrator sees those that show everybody's doings."""

    name: str
    path: str
    key: str
    admin: bool = False


# The rail, in the order of the wheel.
RAIL: tuple[tuple[str, tuple[Place, ...]], ...] = (
    (
        "Serve",
        (
            Place("Chat", "/chat", "c"),
            Place("Apps", "/apps", "p"),
            Place("Indexes", "/indexes", "i"),
        ),
    ),
    (
        "Record",
        (
            Place("Overview", "/overview", "o", admin=True),
            Place("Traces", "/traces", "t"),
            Place("Spend", "/spend", "s"),
        ),
    ),
    (
        "Judge",
        (
            Place("Evaluations", "/evaluations", "e", admin=True),
            Place("Arena", "/arena", "a"),
            Place("Leaderboard", "/leaderboard", "l"),
            Place("Battles", "/battles", "b"),
        ),
    ),
    (
        "Learn",
        (
            Place("Datasets", "/datasets", "d", admin=True),
            Place("Tuning", "/tuning", "u", admin=True),
            Place("Models", "/models", "m", admin=True),
            Place("Promotion", "/promotion", "w", admin=True),
        ),
    ),
    (
        "Run",
        (
            Place("Deployments", "/deployments", "y", admin=True),
            Place("Resources", "/resources", "r", admin=True),
        ),
    ),
    ("", (Place("Keys", "/keys", "k", admin=True),)),
)


class Renderer:
    """Fills templates. Everything that is put into one is escaped."""

    def __init__(self, context: Context, assets: Assets) -> None:
        self.palette = Palette(context.catalogue.names())
        self._environment = Environment(
            loader=FileSystemLoader(Path(__file__).parent / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        filters: dict[str, Callable[..., Any]] = {
            name: getattr(format, name) for name in format.__all__
        }
        self._environment.filters |= filters
        self._environment.globals |= {
            "asset": assets.url,
            "charts": charts,
            "interval": format.interval,
            "percent": format.percent,
            "rate": format.rate,
            "link": link,
        }

    def render(self, request: Request, template: str, values: Mapping[str, Any]) -> str:
        """The text of a page."""
        key = getattr(request.state, "key", None)
        rail = [
            (
                group,
                [
                    call_context
                    for call_context in places
                    if key is None or key.admin or not call_context.admin
                ],
            )
            for group, places in (RAIL if key else ())
        ]
        theme = request.cookies.get("noria_theme")
        frame = {
            "path": request.url.path,
            "query": request.query_params,
            "key": key,
            "rail": [(group, places) for group, places in rail if places],
            "theme": theme if theme in ("light", "dark") else None,
            "partial": "hx-request" in request.headers,
        }
        return self._environment.get_template(template).render(frame | dict(values))


def page(
    request: Request, template: str, values: Mapping[str, Any], *, status: int = 200
) -> HTMLResponse:
    """Answer with a page."""
    renderer: Renderer = request.app.state.renderer
    return HTMLResponse(renderer.render(request, template, values), status)


def context_of(request: Request) -> Context:
    """The installation that the page is about."""
    context: Context = request.app.state.context
    return context


def key_of(request: Request) -> Key:
    """The key that the browser has signed in with."""
    key: Key = request.state.key
    return key


def must_be_admin(request: Request) -> None:
    """Refuse who has not signed in with an administrator's key.

    Raises:
        HTTPException: 403.
    """
    if not key_of(request).admin:
        raise HTTPException(403, "This page is for administrators' keys.")


def shades_of(
    request: Request, by: Literal["model", "team"], others: Iterable[str] = ()
) -> dict[str, str]:
    """The colour of every model or team that ever called, and of others that are shown."""
    from noria.store.traces.reports import tally

    renderer: Renderer = request.app.state.renderer
    palette = renderer.palette if by == "model" else Palette(())
    return palette([*tally(context_of(request).db, by), *others])


async def in_thread(
    function: Callable[Parameters, Result],
    /,
    *args: Parameters.args,
    **kwargs: Parameters.kwargs,
) -> Result:
    """Call what waits for the database away from the event loop."""
    return await to_thread.run_sync(lambda: function(*args, **kwargs))


def link(path: str, query: Mapping[str, str], **changes: str | None) -> str:
    """The address of `path` with the filters of `query`, some of them changed. A change to None
    drops one; the cursor is dropped always, since another list has other pages."""
    merged = {**query, "cursor": None, **changes}
    kept = {name: value for name, value in merged.items() if value}
    return f"{path}?{urlencode(kept)}" if kept else path


@dataclass(frozen=True, slots=True)
class Range:
    """A span of time that ends now."""

    name: str
    title: str
    span: timedelta
    bucket: str

    @property
    def since_ns(self) -> int:
        """Its first instant, at the start of an hour or a (UTC) day."""
        at = utc_now() - self.span
        at = at.replace(minute=0, second=0, microsecond=0)
        at = at.replace(hour=0) if self.bucket == "day" else at
        step = timedelta(days=1) if self.bucket == "day" else timedelta(hours=1)
        return int((at + step).timestamp()) * 1_000_000_000

    @property
    def until_ns(self) -> int:
        """The end of the present hour or day."""
        step = timedelta(days=1) if self.bucket == "day" else timedelta(hours=1)
        return self.since_ns + int(self.span / step) * int(step.total_seconds()) * 1_000_000_000


RANGES = (
    Range("24h", "24 hours", timedelta(hours=24), "hour"),
    Range("7d", "7 days", timedelta(days=7), "day"),
    Range("30d", "30 days", timedelta(days=30), "day"),
    Range("90d", "90 days", timedelta(days=90), "day"),
)


def chosen_range(request: Request, default: str) -> Range:
    """The span of time that the address names."""
    wanted = request.query_params.get("range", default)
    named = {one.name: one for one in RANGES}
    return named.get(wanted, named[default])
