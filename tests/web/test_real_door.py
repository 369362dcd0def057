"""The pages behind the real door: signed in by the greeting's link, chatting by the session."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from noria.testing import FakeProvider, Reply
from noria.types import Status
from tests.support.door import Door

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
