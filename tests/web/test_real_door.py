"""The pages behind the real door: signed in by the greeting's link, chatting by the session."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from noria.testing import FakeProvider, Reply
from noria.types import Label, Status
from tests.support.door import PRICES, Door

if TYPE_CHECKING:
    from playwright.sync_api import Browser


def test_from_the_greeting_to_the_trace(door: Door, fake: FakeProvider, browser: Browser) -> None:
    (link,) = re.findall(r"http://\S+/signin\?token=\S+", door.log())
    fake.reply = Reply(text="A wheel <script>alert(1)</script> turns.", delay=0.02)
    page = browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: complaints.append("a script ran"))
    page.goto(link)
    if "signin" in page.url:
        page.get_by_role("button").first.click()
    page.wait_for_url(re.compile("/overview|/chat"))
    page.goto(f"{door.url}/chat?model=fake:small")
    page.fill("textarea:visible >> nth=-1", "What does a noria do?")
    page.keyboard.press("Enter")
    trace = page.locator("main a[href^='/traces/']").last
    trace.wait_for()
    assert "<script>alert(1)</script>" in page.inner_text("main")
    page.goto(door.url + str(trace.get_attribute("href")))
    shown = page.inner_text("main")
    assert "What does a noria do?" in shown
    assert "<script>alert(1)</script>" in shown
    page.goto(link)  # the link works once
    page.context.clear_cookies()
    page.goto(link)
    assert "/signin" in page.url
    page.close()
    assert complaints == []
    (span,) = door.spans()
    assert (span.status, span.stream) == (Status.OK, True)


def test_a_session_is_of_no_use_to_another_site(door: Door, browser: Browser) -> None:
    import httpx2

    page = browser.new_page()
    page.goto(f"{door.url}/signin")
    page.fill("input[type=password]", (door.home / "admin-key").read_text().strip())
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/overview*")
    (cookie,) = (c for c in page.context.cookies() if c["name"] == "noria_session")
    page.close()
    assert cookie["httpOnly"]
    assert cookie["sameSite"] == "Strict"
    held = {"noria_session": cookie["value"]}
    body = {"model": "fake:small", "messages": [{"role": "user", "content": "x"}]}
    for headers, status in (
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"origin": door.url}, 200),
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"origin": "http://evil.invalid"}, 403),
        ({}, 403),
    ):
        with httpx2.Client(base_url=door.url, cookies=held, headers=headers) as client:
            assert client.post("/v1/chat/completions", json=body).status_code == status


DESK = """
from noria import App, check

NOTES = [
    {"id": "refunds", "title": "Refunds", "text": "Plans can be refunded within 30 days.",
     "label": "internal"},
    {"id": "pay", "title": "Pay", "text": "The pay bands of the board.", "label": "confidential",
     "grants": ["board"]},
]
app = App("desk", model="fake:small", title="Front desk")
docs = app.index("notes", source=lambda: NOTES, embed="fake:embed")


@app.chat
async def answer(question: str):
    notes = await docs.search(question, k=4)
    async for piece in app.model.stream("Cite [n].", notes=notes, question=question):
        yield piece


@check(answer)
def kind(reply: str) -> bool:
    return "please" in reply
"""


@pytest.fixture
def desk(new_door: Callable[..., Door], fake: FakeProvider) -> Door:
    fake.reply = Reply(text="Within 30 days [1].", delay=0.02)
    return new_door('clearance = "restricted"\n' + PRICES, apps={"app.py": DESK})


def test_an_app_is_talked_to_searched_and_judged(desk: Door, browser: Browser) -> None:
    secret = desk.key(user="ana", clearance=Label.INTERNAL)
    page = browser.new_page()
    complaints: list[str] = []
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"{desk.url}/signin")
    page.fill("input[type=password]", secret)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/chat")
    page.goto(f"{desk.url}/apps")
    page.click("text=Front desk")
    page.click("text=Open the chat")
    page.wait_for_selector("chat-room[data-ready]")
    for number, question in enumerate(("Can I have a refund?", "And the board?")):
        page.fill("textarea[name=text]", question)
        page.keyboard.press("Enter")
        page.wait_for_selector(f".turn.assistant >> nth={number} >> .cite")
        page.wait_for_selector(f".turn.assistant >> nth={number} >> text=check kind failed")
    page.locator(".cite").last.click()
    assert "Plans can be refunded" in page.inner_text("dialog.passage")
    page.keyboard.press("Escape")
    page.locator(".thumbs button:has-text('Good')").last.click()
    page.wait_for_selector("text=Marked as good")
    page.locator(".under a:has-text('Run')").last.click()
    page.wait_for_url("**/traces/*")
    run = page.inner_text("main")
    assert "desk.answer" in run
    assert "internal" in run
    assert "Plans can be refunded" in page.content()
    assert "pay bands" not in page.content()
    assert page.locator("#feedback .remark").count() == 1
    page.click("a[href^='/conversations']")
    said = page.locator(".message.user .text").all_inner_texts()
    assert said == ["Can I have a refund?", "And the board?"]
    page.goto(f"{desk.url}/indexes/notes?q=refund pay board")
    assert page.locator(".passages summary b").all_inner_texts() == ["Refunds"]
    assert "by its meaning" in page.inner_text(".passages")
    assert "Pay" not in page.inner_text("main")
    page.click("text=its run")
    page.wait_for_url("**/traces/*")
    assert "Documents used" in page.inner_text("main")
    assert page.locator(".tree small").all_inner_texts() == ["search", "embedding"]
    page.close()
    assert complaints == []
