"""Keys and budgets: who may come in, and how much may be spent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.datastructures import FormData
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from noria.types import Budget, Label, Subject
from noria.web.render import context_of, in_thread, must_be_admin, page

if TYPE_CHECKING:
    from noria.store import BudgetStatus, Database, Key

__all__ = ["routes"]


@dataclass(frozen=True, slots=True)
class Everything:
    """All keys, and all budgets with what is gone of them."""

    keys: list[Key]
    revoked: list[Key]
    budgets: list[BudgetStatus]
    by_key: dict[str, BudgetStatus]


async def show(request: Request) -> Response:
    """The keys in force with their meters, the budgets on everything else, and revoked keys."""
    must_be_admin(request)
    return await _show(request)


async def ask(request: Request) -> Response:
    """The form for a new key."""
    must_be_admin(request)
    return await _ask(request, {}, None)


async def create(request: Request) -> Response:
    """Make a key and show its secret, this once."""
    must_be_admin(request)
    from noria.store import create_key

    form = await request.form()
    try:
        options = _options(form)
    except ValueError as wrong:
        return await _ask(request, form, str(wrong))
    key, secret = await in_thread(lambda: create_key(context_of(request).db, **options))
    values = {"made": key, "secret": secret, "base": f"{request.base_url}v1"}
    return page(request, "key_made.html", values, status=201)


async def confirm(request: Request) -> Response:
    """Ask before a key is revoked."""
    must_be_admin(request)
    from noria.store import find_key_by_id

    found = await in_thread(find_key_by_id, context_of(request).db, request.path_params["id"])
    return page(request, "key_revoke.html", {"doomed": found})


async def revoke(request: Request) -> Response:
    """End a key."""
    must_be_admin(request)
    from noria.store import revoke_key

    await in_thread(revoke_key, context_of(request).db, request.path_params["id"])
    return RedirectResponse("/keys", 303)


async def budget(request: Request) -> Response:
    """Set a budget, or lift it where no amount is given."""
    must_be_admin(request)
    from noria.store import set_budget

    form = await request.form()
    subject, name, amount = (_text(form, field) for field in ("subject", "name", "budget"))
    try:
        if subject not in list(Subject):
            raise ValueError(f"A budget cannot stand on {subject!r}.")
        if not name and subject != Subject.INSTALLATION:
            raise ValueError(f"Which {subject}? A budget stands on a name.")
        wanted = Budget.parse(amount) if amount else None
    except ValueError as wrong:
        return await _show(request, str(wrong), form)
    stands_on = Subject(subject)
    at = "" if stands_on is Subject.INSTALLATION else name
    await in_thread(set_budget, context_of(request).db, stands_on, at, wanted)
    return RedirectResponse("/keys#budgets", 303)


async def _show(
    request: Request, problem: str | None = None, form: Mapping[str, Any] | None = None
) -> Response:
    context = context_of(request)
    await in_thread(context.take_in)
    values = {
        "all": await in_thread(_read, context.db),
        "subjects": list(Subject),
        "problem": problem,
        "form": form or {},
    }
    return page(request, "keys.html", values, status=422 if problem else 200)


def _read(db: Database) -> Everything:
    from noria.store import budget_status, list_keys

    keys, budgets = list_keys(db), budget_status(db)
    return Everything(
        [key for key in reversed(keys) if key.revoked_ns is None],
        [key for key in reversed(keys) if key.revoked_ns is not None],
        [status for status in budgets if status.row.subject is not Subject.KEY],
        {status.row.name: status for status in budgets if status.row.subject is Subject.KEY},
    )


async def _ask(request: Request, form: Mapping[str, Any], problem: str | None) -> Response:
    values = {
        "form": form,
        "problem": problem,
        "labels": list(Label),
        "models": context_of(request).catalogue.names(),
    }
    return page(request, "key_new.html", values, status=422 if problem else 200)


def _text(form: FormData, field: str) -> str:
    return str(form.get(field) or "").strip()


def _names(form: FormData, field: str) -> tuple[str, ...]:
    return tuple(name for name in _text(form, field).replace(",", " ").split() if name)


def _number(form: FormData, field: str, title: str) -> int | None:
    text = _text(form, field).replace(",", "").replace("_", "")
    if not text:
        return None
    if not text.isdecimal() or int(text) < 1:
        raise ValueError(f"{title}: {text!r} is not a whole number above 0.")
    return int(text)


def _options(form: FormData) -> dict[str, Any]:
    """What the form says of the new key.

    Raises:
        ValueError: a field cannot be read; says which.
    """
    amount = _text(form, "budget")
    return {
        "name": _text(form, "name") or None,
        "team": _text(form, "team") or None,
        "user": _text(form, "user") or None,
        "budget": Budget.parse(amount) if amount else None,
        "models": _names(form, "models") or None,
        "rpm": _number(form, "rpm", "Requests a minute"),
        "tpm": _number(form, "tpm", "Tokens a minute"),
        "concurrency": _number(form, "concurrency", "Calls at once"),
        "groups": _names(form, "groups"),
        "clearance": Label.parse(_text(form, "clearance") or "public"),
        "record_content": "record_content" in form,
        "admin": "admin" in form,
    }


routes = [
    Route("/keys", show),
    Route("/keys", create, methods=["POST"]),
    Route("/keys/new", ask),
    Route("/keys/{id}/revoke", confirm),
    Route("/keys/{id}/revoke", revoke, methods=["POST"]),
    Route("/budgets", budget, methods=["POST"]),
]
