"""A seeded home, its pages, and a browser that has signed in."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx2
import pytest

from tests.support.browser import browser
from tests.support.pages import StubDoor, serve_pages
from tests.support.seed import Seeded, seed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

__all__ = ["browser", "until"]


def until(page: Page, condition: str) -> None:
    """Wait until an expression is true on a page. Playwright's own way to wait for one makes the
    page evaluate a text, which the content security policy forbids."""
    for _ in range(200):
        if page.evaluate(condition):
            return
        page.wait_for_timeout(50)
    raise AssertionError(f"never true: {condition}")


@dataclass
class Site:
    """The pages of one home."""

    url: str
    door: StubDoor
    seeded: Seeded

    @contextmanager
    def sign_in(self, name: str = "admin") -> Iterator[httpx2.Client]:
        """A client with a session of the key."""
        with httpx2.Client(base_url=self.url, headers={"Origin": self.url}) as client:
            answer = client.post("/signin", data={"key": self.seeded.secrets[name]})
            assert answer.status_code == 303
            yield client


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    seeded = seed(tmp_path_factory.mktemp("pages"), 240)
    with serve_pages(seeded) as (url, door):
        yield Site(url, door, seeded)


@pytest.fixture
def admin(site: Site) -> Iterator[httpx2.Client]:
    with site.sign_in() as client:
        yield client


@pytest.fixture
def open_page(browser: Browser, site: Site) -> Iterator[Callable[..., Page]]:
    """Open a page in a browser of its own. What its console complains of fails the test."""
    complaints: list[str] = []
    contexts = []

    def opened(path: str, name: str | None = "admin", **options: Any) -> Page:
        context = browser.new_context(base_url=site.url, **options)
        contexts.append(context)
        if name:
            with site.sign_in(name) as client:
                value = client.cookies["noria_session"]
            context.add_cookies([{"name": "noria_session", "value": value, "url": site.url,
                                  "sameSite": "Strict", "httpOnly": True}])  # fmt: skip
        page = context.new_page()
        page.on("pageerror", lambda problem: complaints.append(str(problem)))
        page.on(
            "console",
            lambda said: (
                complaints.append(said.text)
                if said.type in ("error", "warning") and "Failed to load resource" not in said.text
                else None
            ),
        )
        page.goto(path)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert complaints == []
