"""Signing in, by a one-time link or a key, and out again."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from noria.web.guard import end_cookie, session_secret, set_cookie
from noria.web.render import context_of, in_thread, key_of, page

__all__ = ["routes"]

_USED = (
    "This link was used before or has expired. Sign in with a key, or take the new link that "
    "`noria serve` prints."
)
_WRONG = "No key in force has this secret."


async def show(request: Request) -> Response:
    """The form; with a token, the session that it is worth.

    A link that a page of another site led to is redeemed only after a press of a button: else
    that site could sign a person in as somebody else. Nor does a browser that merely looks
    ahead use the link up.
    """
    token = request.query_params.get("token")
    if not token:
        return _form(request, None)
    if request.headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return _form(request, None, token=token)
    if "prefetch" in request.headers.get("sec-purpose", request.headers.get("purpose", "")):
        return Response(status_code=503)
    return await _redeem(request, token)


async def enter(request: Request) -> Response:
    """Begin a session with a link's token or a key's secret."""
    from noria.store import digest, find_key, sign_in

    form = await request.form()
    token = str(form.get("token", ""))
    if token:
        return await _redeem(request, token)
    db = context_of(request).db
    secret = str(form.get("key", "")).strip()
    key = await in_thread(find_key, db, digest(secret)) if secret else None
    if key is None or key.revoked_ns is not None:
        return _form(request, _WRONG, status=401)
    return _enter(request, await in_thread(sign_in, db, key.id), str(form.get("next", "/")))


async def leave(request: Request) -> Response:
    """End the session."""
    from noria.store import end_session

    secret = session_secret(request.headers)
    if secret:
        await in_thread(end_session, context_of(request).db, secret)
    response = RedirectResponse("/signin", 303)
    end_cookie(response)
    return response


async def home(request: Request) -> Response:
    """The first page: the overview for an administrator, the chat for anybody else."""
    return RedirectResponse("/overview" if key_of(request).admin else "/chat", 303)


async def _redeem(request: Request, token: str) -> Response:
    from noria.store import redeem_link

    secret = await in_thread(redeem_link, context_of(request).db, token)
    if secret is None:
        return _form(request, _USED, status=401)
    return _enter(request, secret, "/")


def _enter(request: Request, secret: str, wanted: str) -> Response:
    # Only a path of our own: "//host" and "/\host" are addresses of other hosts to a browser.
    inside = wanted.startswith("/") and not wanted.startswith(("//", "/\\"))
    response = RedirectResponse(wanted if inside else "/", 303)
    set_cookie(request, response, secret)
    return response


def _form(
    request: Request, problem: str | None, *, token: str | None = None, status: int = 200
) -> Response:
    wanted = request.query_params.get("next", "/")
    values = {"problem": problem, "token": token, "next": wanted}
    return page(request, "signin.html", values, status=status)


routes = [
    Route("/", home),
    Route("/signin", show),
    Route("/signin", enter, methods=["POST"]),
    Route("/signout", leave, methods=["POST"]),
]
