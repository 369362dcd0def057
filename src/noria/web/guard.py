"""What stands before every page: who is asking, from where, and what a browser may do with it."""

from __future__ import annotations

from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from anyio import to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from noria.web.context import Context

if TYPE_CHECKING:
    from noria.store import Key

__all__ = ["COOKIE", "Guard", "came_from_here", "end_cookie", "session_secret", "set_cookie"]

COOKIE = "noria_session"

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


class Guard:
    """Lets a request through with its session's key in `request.state.key`.

    Without a session a page leads to the sign-in. A request that changes something must come
    from one of our own pages. Every answer carries a strict content security policy, and pages
    are not kept by any cache.
    """

    def __init__(self, app: ASGIApp, context: Context) -> None:
        self._app = app
        self._context = context

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    headers[name] = value
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = await self._refuse(scope)
        await (refusal or self._app)(scope, receive, send_guarded)

    async def _refuse(self, scope: Scope) -> Response | None:
        request = Request(scope)
        if request.method not in ("GET", "HEAD") and not came_from_here(request.headers):
            return PlainTextResponse("This form was not sent by one of noria's own pages.\n", 403)
        path: str = scope["path"]
        if path.startswith("/static/"):
            return None
        key = await self._who(request)
        request.state.key = key
        if key is not None or path == "/signin":
            return None
        if request.method in ("GET", "HEAD") and path != "/":
            wanted = f"{path}?{request.url.query}" if request.url.query else path
            return _to(request, f"/signin?next={quote(wanted, safe='/')}")
        return _to(request, "/signin")

    async def _who(self, request: Request) -> Key | None:
        secret = session_secret(request.headers)
        if not secret:
            return None
        from noria.store import find_session

        return await to_thread.run_sync(find_session, self._context.db, secret)


def came_from_here(headers: Headers) -> bool:
    """Whether a browser says that the request was made by a page of this origin."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is not None and urlsplit(origin).netloc == headers.get("host")


def session_secret(headers: Headers) -> str | None:
    """The secret in the session's cookie."""
    try:
        morsel = SimpleCookie(headers.get("cookie", "")).get(COOKIE)
    except CookieError:
        return None
    return morsel.value if morsel else None


def set_cookie(request: Request, response: Response, secret: str) -> None:
    """Give the browser its session."""
    response.set_cookie(
        COOKIE,
        secret,
        path="/",
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )


def end_cookie(response: Response) -> None:
    """Take the session's cookie away."""
    response.delete_cookie(COOKIE, path="/", httponly=True, samesite="strict")


def _to(request: Request, url: str) -> Response:
    """Lead to another page; htmx follows its own header, since it would put a redirect's page
    into the middle of this one."""
    if request.headers.get("hx-request"):
        return Response(status_code=204, headers={"HX-Redirect": url})
    return RedirectResponse(url, 303)
