"""Pictures of every page, from a real server with the real small model: `docs/images/` and more.

python tools/screenshots.py FOLDER     every page, light, dark and on a phone
python tools/screenshots.py --readme   the few that the README shows
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

import noria.cli
from noria.testing import FakeProvider
from tests.support.browser import ARGUMENTS, CHROMIUM
from tests.support.door import Door
from tests.support.seed import seed
from tests.support.seed_apps import furnish, runs
from tests.support.seed_battles import fight

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = Path(__file__).parent.parent / "docs" / "images"
STARTER = Path(noria.cli.__file__).parent / "starter"
QUESTION = "Explain in two sentences what a water wheel does."
ASKED = "How long is the link to reset a password valid?"
BROKEN = "from noria import App\n\napp = App('broken'\n"
README = ("chat", "run", "overview", "keys", "leaderboard")
PLAIN = (
    "traces", "spend", "models", "arena", "leaderboard", "battles", "judges", "evaluations",
)  # fmt: skip


def main() -> None:
    """Start a server on a seeded home, walk through the pages, write the pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--readme", action="store_true")
    given = parser.parse_args()
    from playwright.sync_api import sync_playwright

    with (
        tempfile.TemporaryDirectory() as folder,
        FakeProvider() as provider,
        sync_playwright() as playwright,
    ):
        door, admin = _serve(Path(folder), provider)
        browser = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGUMENTS)
        try:
            if given.readme:
                _walk(browser, door, admin, IMAGES, "light", 1200, 760, only=README)
            else:
                given.folder.mkdir(parents=True, exist_ok=True)
                for theme in ("light", "dark"):
                    _walk(browser, door, admin, given.folder, theme, 1280, 860, suffix=f"-{theme}")
                _walk(browser, door, admin, given.folder, "light", 390, 844, suffix="-phone")
        finally:
            browser.close()
            door.stop()


def _serve(folder: Path, provider: FakeProvider) -> tuple[Door, str]:
    """A server with the starter's application, one with a mistake, and what a team has done."""
    sources = {"app.py": (STARTER / "app.py").read_text(), "broken.py": BROKEN}
    door = Door(folder, provider, apps=sources)
    shutil.copytree(STARTER / "handbook", folder / "handbook")
    (folder / "handbook" / "board.md").write_text("---\nlabel: cosmic\n---\nFor the board.\n")
    made = seed(folder, settings="[server]\nport = 0\n")
    runs(made)
    furnish(made)
    fight(made)
    assert made.journal is not None
    made.journal.close()
    made.db.close()
    door.start()
    return door, made.secrets["admin"]


def _walk(
    browser: Browser,
    door: Door,
    admin: str,
    folder: Path,
    theme: Any,
    width: int,
    height: int,
    *,
    suffix: str = "",
    only: tuple[str, ...] = (),
) -> None:
    page = browser.new_page(
        viewport={"width": width, "height": height}, color_scheme=theme, device_scale_factor=1
    )

    def shoot(name: str) -> None:
        if not only or name in only:
            page.wait_for_timeout(300)
            page.screenshot(path=folder / f"{name}{suffix}.png", full_page=not only)

    def show(name: str, path: str) -> None:
        page.goto(door.url + path)
        shoot(name)

    show("signin", "/signin")
    page.fill("input[type=password]", admin)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/overview*")
    show("overview", "/overview?range=7d")
    _chat(page, door, shoot)
    _app(page, door, shoot)
    for name in PLAIN:
        show(name, f"/{name}")
    show("traces-sorted", "/traces?app=support&sort=cost")
    show("spend-by-app", "/spend?by=app")
    show("indexes", "/indexes")
    show("index", "/indexes/handbook?q=how long do I have to return something")
    page.locator("#documents tbody a").nth(1).click()
    shoot("document")
    _keys(page, door, shoot)
    show("error", "/nothing-here")
    page.close()


def _chat(page: Page, door: Door, shoot: Callable[[str], None]) -> None:
    page.goto(f"{door.url}/chat?model=local:smollm2")
    shoot("chat-empty")
    page.fill("textarea:visible >> nth=-1", QUESTION)
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn.assistant .thumbs", timeout=120_000)
    page.wait_for_timeout(1500)
    shoot("chat")
    page.goto(door.url + str(page.locator(".under a").first.get_attribute("href")))
    shoot("trace")


def _app(page: Page, door: Door, shoot: Callable[[str], None]) -> None:
    for name, path in (("apps", ""), ("app", "/support"), ("app-broken", "/broken")):
        page.goto(f"{door.url}/apps{path}")
        shoot(name)
    page.goto(f"{door.url}/apps/support/chat")
    page.wait_for_selector("chat-room[data-ready]")
    page.fill("textarea[name=text]", ASKED)
    page.keyboard.press("Enter")
    page.wait_for_selector(".turn.assistant .thumbs", timeout=120_000)
    page.wait_for_timeout(4500)  # until the checks have been asked for
    shoot("app-chat")
    if page.locator(".cite").count():
        page.locator(".cite").first.click()
        page.wait_for_selector("dialog.passage")
        shoot("app-citation")
        page.keyboard.press("Escape")
    page.locator(".under a:has-text('Run')").click()
    page.wait_for_url("**/traces/*")
    shoot("run")
    page.locator(".tree a:has(small:text-is('search'))").click()
    page.wait_for_selector("text=Documents found")
    shoot("run-search")
    page.go_back()
    page.locator("a[href^='/conversations']").click()
    shoot("conversation")


def _keys(page: Page, door: Door, shoot: Callable[[str], None]) -> None:
    page.goto(f"{door.url}/keys")
    shoot("keys")
    page.goto(f"{door.url}/keys/new")
    shoot("key-new")
    page.fill("input[name=team]", "support")
    page.fill("input[name=user]", "dora")
    page.fill("input[name=budget]", "5 USD/day")
    page.fill("input[name=groups]", "support, hr")
    page.select_option("select[name=clearance]", "confidential")
    page.get_by_role("button", name="Create key").click()
    page.wait_for_selector("#secret")
    shoot("key-made")
    page.goto(f"{door.url}/keys")
    page.locator("a:has-text('Revoke')").first.click()
    shoot("key-revoke")
    page.get_by_role("button", name="Revoke this key").click()


if __name__ == "__main__":
    main()
