"""Chatting with an application in a real browser: citations, checks, feedback, conversations."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest

from noria.apps.serve.manifest import forget_app
from tests.support.seed_apps import furnish, shelve
from tests.web.conftest import Site, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
ANSWER = ["It is 30 days [1] for plans, ", "see the terms [2]; ", "`[1]` is code and [9] is none."]


@pytest.fixture(scope="module", autouse=True)
def _furnished(site: Site) -> Iterator[None]:
    furnish(site.seeded)
    shelve(site.seeded)
    before, site.door.pieces = site.door.pieces, ANSWER
    yield
    site.door.pieces = before
    for name in ("support", "broken"):
        forget_app(site.seeded.config.home, name)


def chat(open_page: Open, path: str = "/apps/support/chat", **options: object) -> Page:
    page = open_page(path, **options)
    page.wait_for_selector("chat-room[data-ready]")
    return page


def say(page: Page, text: str) -> None:
    answers = page.locator(".turn.assistant").count()
    page.fill("textarea[name=text]", text)
    page.keyboard.press("Enter")
    page.wait_for_selector(f".turn.assistant >> nth={answers} >> .thumbs")
    page.wait_for_selector(f".turn.assistant >> nth={answers} >> text=check grounded failed")


def test_citations_open_the_passages_they_cite(open_page: Open) -> None:
    page = chat(open_page)
    say(page, "Is it 30 days?")
    cites = page.locator(".turn.assistant .cite")
    assert cites.all_inner_texts() == ["[1]", "[2]"]
    cites.nth(0).focus()
    page.keyboard.press("Enter")
    shown = page.inner_text("dialog.passage")
    assert "[1] Refunds" in shown
    assert "A plan can be refunded within 30 days" in shown
    assert "internal" in shown
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    cites.nth(1).click()
    page.click("dialog.passage a")
    page.wait_for_url("**/indexes/handbook/document?id=terms.html")
    assert "These terms hold" in page.inner_text("main")


def test_the_server_keeps_the_conversation_and_a_new_chat_is_another(
    site: Site, open_page: Open
) -> None:
    page = chat(open_page)
    say(page, "One")
    say(page, "Two")
    page.reload()
    page.wait_for_selector(".turn.assistant >> nth=1")
    assert page.locator(".cite").count() == 4
    say(page, "Three")
    page.click("text=New chat")
    assert page.locator(".turn").count() == 0
    say(page, "Four")
    names = [headers["x-noria-conversation"] for headers in site.door.headers[-4:]]
    assert len(set(names[:3])) == 1
    assert names[3] not in names[:3]
    assert site.door.asked[-1]["model"] == "support"
    assert page.locator("[data-do=again]").count() == 0


def test_a_thumb_joins_the_run(site: Site, open_page: Open) -> None:
    page = chat(open_page)
    say(page, "Right?")
    page.click(".thumbs button:has-text('Bad')")
    page.wait_for_selector(".thumbs >> text=Marked as bad")
    trace = str(page.get_attribute(".under a:has-text('Run')", "href")).rpartition("/")[2]
    assert site.door.feedback[-1] == {"trace_id": trace, "score": -1}
    page.click("text=say more")
    page.wait_for_url("**/traces/*#feedback")
    assert "Right?" not in page.inner_text("h1")
    assert "Documents used" in page.inner_text("main")


def test_what_an_app_answered_goes_to_no_other_model(site: Site, open_page: Open) -> None:
    page = chat(open_page, "/chat?model=support")
    assert not page.is_visible(".system-prompt")
    say(page, "What is confidential?")
    page.select_option("select[name=model]", "local:smollm2")
    assert page.locator(".turn").count() == 0
    assert page.is_visible(".system-prompt")
    page.fill("textarea[name=text]", "Hello")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-do=again]")
    assert [one["content"] for one in site.door.asked[-1]["messages"]] == ["Hello"]
    assert "x-noria-conversation" not in site.door.headers[-1]


def test_passages_are_text(site: Site, open_page: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.support import seed_apps

    canary = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>'
    note = {**seed_apps.NOTES[0], "title": canary, "text": canary, "why": canary, "id": canary}
    monkeypatch.setitem(seed_apps.run.__kwdefaults__, "notes", (note,))
    page = chat(open_page)
    say(page, canary)
    page.click(".cite")
    assert canary in page.inner_text("dialog.passage")
    assert page.evaluate("window.pwned") is None
    assert page.locator("main img, dialog img").count() == 0
    page.keyboard.press("Escape")
    page.click(".under a:has-text('Run')")
    page.wait_for_url("**/traces/*")
    page.click(".passages summary")
    assert canary in page.inner_text(".passages")
    assert page.evaluate("window.pwned") is None


def test_the_keyboard_reaches_everything_of_an_answer(open_page: Open) -> None:
    page = chat(open_page)
    say(page, "Keys?")
    reached = set()
    page.focus(".talk")
    for _ in range(12):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.textContent.trim()"))
    assert {"[1]", "[2]", "Run", "Good", "Bad"} <= reached
    until(page, "getComputedStyle(document.activeElement).outlineStyle !== 'none'")


@pytest.mark.parametrize(
    "path",
    ["/apps", "/apps/support", "/apps/broken", "/apps/support/chat", "/indexes",
     "/indexes/handbook?q=refund", "/indexes/handbook/document?id=refunds.md"],
)  # fmt: skip
def test_the_pages_fit_a_phone_and_need_no_scripts(open_page: Open, path: str) -> None:
    phone = {"width": 390, "height": 844}
    page = open_page(path, viewport=phone, java_script_enabled=False)
    assert page.locator("h1").count() == 1
    page = open_page(path, viewport=phone)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
