"""The pages in a real browser."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from noria.store import create_key, new_link
from noria.web.assets import STATIC
from tests.support.pages import ANSWER
from tests.support.seed import record
from tests.web.conftest import Site, until

if TYPE_CHECKING:
    from playwright.sync_api import Page

Open = Callable[..., "Page"]
PHONE = {"viewport": {"width": 390, "height": 844}}
PAGES = ["/overview?range=7d", "/chat", "/traces", "/spend", "/spend?by=day", "/keys", "/keys/new",
         "/models", "/signin", "/nowhere"]  # fmt: skip
CANARY = '<img src=x onerror="window.pwned=1"><script>window.pwned=1</script>\'"&{{7*7}}'

CLS = """() => { window.shift = 0; new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) window.shift += entry.value;
}).observe({ type: "layout-shift", buffered: true }); }"""


@pytest.fixture(autouse=True)
def _door_as_new(site: Site) -> Iterator[None]:
    yield
    site.door.pieces = re.findall(r"\s*\S+\s*", ANSWER)
    site.door.pause = 0.01
    site.door.refusal = None
    site.door.asked.clear()
    site.door.hung_up.clear()


def chat(open_page: Open, **options: Any) -> Page:
    page = open_page("/chat", **options)
    page.wait_for_selector("chat-room[data-ready]")
    return page


def say(page: Page, text: str) -> None:
    page.fill("textarea[name=text]", text)
    page.keyboard.press("Enter")


def answered(page: Page) -> None:
    page.wait_for_selector("[data-do=again]")


def test_a_link_signs_in_once(site: Site, open_page: Open) -> None:
    token = new_link(site.seeded.db, site.seeded.keys["admin"].id)
    page = open_page(f"/signin?token={token}", None)
    page.wait_for_url("**/overview")
    assert page.locator("h1").inner_text() == "Overview"
    assert token not in page.url
    page.click("text=Sign out")
    page.wait_for_url("**/signin")
    page.goto(f"/signin?token={token}")
    assert "used before" in page.inner_text("[role=alert]")


def test_a_key_signs_in_and_leads_where_one_was_going(site: Site, open_page: Open) -> None:
    page = open_page("/traces?status=error", None)
    page.fill("input[name=key]", site.seeded.secrets["admin"])
    page.keyboard.press("Enter")
    page.wait_for_url("**/traces?status=error")


def test_chat_streams_and_shows_what_it_cost(site: Site, open_page: Open) -> None:
    page = chat(open_page)
    say(page, "Hello?")
    answered(page)
    said = page.locator(".turn.assistant .said")
    assert said.locator("strong").inner_text() == "one"
    assert said.locator("li").all_inner_texts() == ["first", "second"]
    assert said.locator("pre").inner_text() == "print('hi')"
    page.wait_for_selector("text=$0.0000412")
    under = page.locator(".under").inner_text()
    assert all(part in under for part in ("31 in, 12 out", "first token 80 ms", "tokens/s"))
    page.click(".under a")
    page.wait_for_url("**/traces/*")
    assert "Hello?" in page.inner_text(".messages")


def test_escape_stops_and_the_door_hears_of_it(site: Site, open_page: Open) -> None:
    site.door.pieces = [f"word{i} " for i in range(1000)]
    page = chat(open_page)
    say(page, "Go on for ever")
    page.wait_for_selector("text=word5")
    page.keyboard.press("Escape")
    answered(page)
    assert site.door.hung_up.wait(10)
    page.wait_for_selector(".under >> text=stopped")
    assert "word5" in page.inner_text(".turn.assistant .said")
    assert page.inner_text("[data-do=send]") == "Send"


def test_regenerate_asks_again_and_system_prompt_is_sent(site: Site, open_page: Open) -> None:
    page = chat(open_page)
    page.click("summary")
    page.fill("textarea[name=system]", "Be brief.")
    say(page, "One")
    answered(page)
    page.click("[data-do=again]")
    answered(page)
    assert page.locator(".turn.assistant").count() == 1
    first, second = site.door.asked
    assert first["messages"] == second["messages"]
    assert first["messages"][0] == {"role": "system", "content": "Be brief."}
    say(page, "Two")
    page.wait_for_selector(".turn >> nth=3 >> [data-do=again]")
    roles = [message["role"] for message in site.door.asked[-1]["messages"]]
    assert roles == ["system", "user", "assistant", "user"]


def test_the_conversation_outlives_a_reload_and_not_a_new_chat(open_page: Open) -> None:
    page = chat(open_page)
    say(page, "Remember me")
    answered(page)
    page.reload()
    page.wait_for_selector("text=Remember me")
    page.click("text=New chat")
    assert page.locator(".turn").count() == 0
    page.reload()
    page.wait_for_selector("chat-room[data-ready]")
    assert page.locator(".turn").count() == 0


def test_a_refusal_is_shown_in_the_doors_words(site: Site, open_page: Open) -> None:
    site.door.refusal = (429, "The budget of team search is spent.")
    page = chat(open_page)
    say(page, "Hello?")
    answered(page)
    assert "The budget of team search is spent. (refused)" in page.inner_text(".trouble")


def test_nothing_moves_while_an_answer_streams(site: Site, open_page: Open) -> None:
    site.door.pieces = [f"A sentence, number {i}.\n\n" for i in range(80)]
    page = chat(open_page)
    say(page, "First")
    answered(page)
    page.evaluate(CLS)
    say(page, "Second")
    page.wait_for_selector(".turn >> nth=3 >> text=number 30")
    page.locator(".talk").evaluate("talk => { talk.scrollTop = 100; }")
    page.wait_for_selector(".turn >> nth=3 >> [data-do=again]")
    page.wait_for_timeout(300)
    assert page.evaluate("window.shift") < 0.01
    assert page.locator(".talk").evaluate("talk => talk.scrollTop") == 100


def test_model_output_is_text(site: Site, open_page: Open) -> None:
    site.door.pieces = [
        CANARY, "\n\n```html\n" + CANARY + "\n```\n", "\n- " + CANARY, "\n\n# " + CANARY,
        "\n\n[press](javascript:window.pwned=1) [ok](https://example.org/a) `" + CANARY + "`",
        "\n\n| a | b |\n|---|---|\n| " + CANARY.replace("|", "") + " | 2 |\n",
    ]  # fmt: skip
    page = chat(open_page)
    say(page, CANARY)
    answered(page)
    assert page.locator(".said img, .said script").count() == 0
    assert page.locator(".said a").evaluate_all("all => all.map(a => a.href)") == [
        "https://example.org/a"
    ]
    assert CANARY in page.inner_text(".turn.user .said")
    assert page.evaluate("window.pwned") is None


def test_canaries_are_text_on_every_page(site: Site, open_page: Open) -> None:
    import random

    key, _ = create_key(site.seeded.db, name=CANARY, team=CANARY, user=CANARY, models=[CANARY])
    at = time.time_ns()
    meta = record(
        site.seeded,
        random.Random(1),
        at,
        meta={"model": CANARY, "target": CANARY, "name": CANARY, "key": key.id, "team": CANARY,
              "user": CANARY, "app": CANARY, "status": "error", "error": CANARY, "code": CANARY,
              "attrs": {"note": CANARY}},
        messages=[{"role": CANARY, "content": CANARY},
                  {"role": "assistant", "tool_calls": [
                      {"id": CANARY, "function": {"name": CANARY, "arguments": CANARY}}]}],
        reply={"choices": [{"message": {"role": "assistant", "content": CANARY},
                            "finish_reason": CANARY}]},
    )  # fmt: skip
    trace = f"/traces/{meta['trace']}"
    page = open_page("/traces")
    for path in (
        "/traces", trace, f"{trace}/spans/{meta['id']}/request",
        "/overview?range=24h", "/spend?by=team", "/spend?by=user", "/spend?by=key",
        "/spend?by=model", "/keys", f"/keys/{key.id}/revoke", "/models",
    ):  # fmt: skip
        page.goto(path)
        assert "onerror" in page.content(), path
        assert page.evaluate("window.pwned") is None, path
        assert page.locator("img").count() == 0, path
    page.goto("/traces?q=" + "%3Cscript%3Ewindow.pwned%3D1%3C/script%3E&model=%22%3E%3Cimg%3E")
    assert page.locator("img").count() == 0


def test_keys_of_the_keyboard(open_page: Open) -> None:
    page = open_page("/traces")
    focused = "document.activeElement.closest('tr')?.rowIndex ?? -1"
    for key, row in (("j", 1), ("j", 2), ("k", 1), ("j", 2)):
        page.keyboard.press(key)
        assert page.evaluate(focused) == row
    ring = page.evaluate("getComputedStyle(document.activeElement).outlineWidth")
    assert ring == "2px"
    page.keyboard.press("Enter")
    page.wait_for_url("**/traces/*?span=*")
    page.keyboard.press("?")
    assert "Shortcuts" in page.inner_text("dialog")
    page.keyboard.press("Escape")
    page.wait_for_selector("dialog", state="detached")
    page.keyboard.press("g")
    page.keyboard.press("t")
    page.wait_for_url("**/traces")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.name") == "q"


def test_the_first_tab_skips_to_the_content(open_page: Open) -> None:
    page = open_page("/overview")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.className") == "skip"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"


def test_choosing_a_span_changes_the_page_in_place(site: Site, open_page: Open) -> None:
    from tests.support.seed_apps import run

    page = open_page(f"/traces/{run(site.seeded, time.time_ns())}")
    page.click(".tree a:has(small:text-is('search'))")
    page.wait_for_url("**?span=*")
    page.wait_for_selector("text=Documents found")
    assert page.locator("main").count() == 1
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    page.wait_for_selector("h2:has-text('local:minilm')")
    page.go_back()
    page.wait_for_selector("text=Documents found")


def test_a_row_opens_by_a_click_anywhere(open_page: Open) -> None:
    page = open_page("/traces")
    page.click("tbody tr:nth-child(3) td:last-child")
    page.wait_for_url("**/traces/*?span=*")


def test_filters_stand_in_the_address(open_page: Open) -> None:
    page = open_page("/traces")
    page.select_option("select[name=status]", "error")
    page.wait_for_url("**status=error**")
    until(
        page,
        "[...document.querySelectorAll('tbody .state')].every(one => one.textContent === 'error')",
    )
    page.fill("input[name=q]", "refund")
    page.wait_for_url("**q=refund**")
    page.go_back()
    page.wait_for_url(lambda url: "q=refund" not in url)


def test_tables_sort(open_page: Open) -> None:
    page = open_page("/spend?by=model")
    page.click("th:nth-child(2) button")
    calls = page.locator("tbody td:nth-child(2)").evaluate_all(
        "cells => cells.map(cell => Number(cell.dataset.sort))"
    )
    assert calls == sorted(calls, reverse=True)
    assert page.get_attribute("th:nth-child(2)", "aria-sort") == "descending"


@pytest.mark.parametrize("path", PAGES)
def test_a_phone_never_scrolls_sideways(open_page: Open, path: str) -> None:
    page = open_page(path, None if path == "/signin" else "admin", **PHONE)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("window.scrollX") == 0


@pytest.mark.parametrize("path", PAGES[:-2])
def test_pages_work_without_scripts(open_page: Open, path: str) -> None:
    page = open_page(path, java_script_enabled=False)
    assert page.locator("h1").count() == 1
    if path == "/chat":
        assert "needs JavaScript" in page.content()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_words_stand_out_from_their_ground(open_page: Open, scheme: str) -> None:
    page = open_page("/overview", color_scheme=scheme)
    colours = page.evaluate("""() => {
      const probe = document.body.appendChild(document.createElement("i"));
      const read = (name) => {
        probe.style.color = `var(--${name})`;
        return getComputedStyle(probe).color.match(/[0-9.]+/g).slice(0, 3).map(Number);
      };
      const names = ["bg", "surface", "ink", "ink-2", "accent", "accent-weak", "on-accent",
                     "good", "warn", "bad"];
      return Object.fromEntries(names.map((name) => [name, read(name)]));
    }""")
    pairs = [(ink, ground) for ink in ("ink", "ink-2", "accent", "warn", "bad")
             for ground in ("bg", "surface")]  # fmt: skip
    pairs += [("accent", "accent-weak"), ("ink", "accent-weak"), ("on-accent", "accent")]
    weak = {pair: contrast(*(colours[name] for name in pair)) for pair in pairs}
    assert {pair: ratio for pair, ratio in weak.items() if ratio < 4.5} == {}
    # Green is for dots beside a word, never for the word.
    assert contrast(colours["good"], colours["surface"]) >= 3
    assert not re.search(r"[{; ]color: var\(--good\)", (STATIC / "style.css").read_text())


def contrast(one: list[float], other: list[float]) -> float:
    """WCAG's contrast of two colours."""

    def light(colour: list[float]) -> float:
        parts = [c / 255 for c in colour]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    high, low = sorted((light(one), light(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_the_theme_is_switched_and_kept(open_page: Open) -> None:
    page = open_page("/overview", color_scheme="light")
    ground = "getComputedStyle(document.documentElement).backgroundColor"
    light = page.evaluate(ground)
    page.click("theme-switch button")
    page.click("theme-switch button")
    assert page.inner_text("theme-switch button") == "Theme: dark"
    dark = page.evaluate(ground)
    assert dark != light
    page.reload()
    assert page.evaluate(ground) == dark


def test_the_wheel_turns_when_a_call_is_recorded(open_page: Open) -> None:
    page = chat(open_page)
    with page.expect_response("**/pulse"):
        page.reload()
    page.wait_for_selector("chat-room[data-ready]")
    assert page.get_attribute(".rail .wheel", "style") is None
    say(page, "Turn")
    answered(page)
    until(page, "document.querySelector('.rail .wheel').style.transform === 'rotate(45deg)'")


def test_a_chart_says_what_a_column_means(open_page: Open) -> None:
    page = open_page("/overview?range=7d")
    page.hover(".column:last-child >> nth=0")
    page.wait_for_selector(".tip")
    assert re.search(r"\$\d", page.inner_text(".tip"))


def test_no_secret_is_anywhere_in_the_browser(site: Site, open_page: Open) -> None:
    page = open_page("/chat")
    assert page.evaluate("document.cookie") == ""
    for path in PAGES:
        page.goto(path)
        for secret in site.seeded.secrets.values():
            assert secret not in page.content()


def test_another_origin_cannot_act(site: Site, open_page: Open) -> None:
    page = open_page("/traces")
    evil = page.context.new_page()
    evil.route("http://evil.example/", lambda route: route.fulfill(
        content_type="text/html",
        body=f'<form method="post" action="{site.url}/keys"><input name="team" value="evil">'
             "<button>Win</button></form>",
    ))  # fmt: skip
    evil.goto("http://evil.example/")
    with evil.expect_response(f"{site.url}/keys") as caught:
        evil.click("button")
    assert caught.value.status == 403
    assert "evil" not in page.context.new_page().goto("/keys").text()
