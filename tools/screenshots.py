"""Pictures of every page, from a real server with the real small model: `docs/images/` and more.

python tools/screenshots.py FOLDER     every page, light, dark and on a phone
python tools/screenshots.py --readme   the few that the README shows
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).parent.parent))

from noria.testing import FakeProvider
from tests.support.browser import ARGUMENTS, CHROMIUM
from tests.support.door import Door
from tests.support.seed import seed

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

IMAGES = Path(__file__).parent.parent / "docs" / "images"
QUESTION = "Explain in two sentences what a water wheel does."
README = ("chat", "trace", "overview", "keys")


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
        door = Door(Path(folder), provider)
        made = seed(Path(folder), settings="[server]\nport = 0\n")
        assert made.journal is not None
        made.journal.close()
        made.db.close()
        door.start()
        admin = made.secrets["admin"]
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
            page.screenshot(path=folder / f"{name}{suffix}.png")

    page.goto(f"{door.url}/signin")
    shoot("signin")
    page.fill("input[type=password]", admin)
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url("**/overview*")
    shoot("overview")
    _chat(page, door, shoot)
    for name in ("traces", "spend", "models", "keys"):
        page.goto(f"{door.url}/{name}")
        shoot(name)
    page.goto(f"{door.url}/keys/new")
    shoot("key-new")
    page.goto(f"{door.url}/nothing-here")
    shoot("error")
    page.close()


def _chat(page: Page, door: Door, shoot: Any) -> None:
    page.goto(f"{door.url}/chat?model=local:smollm2")
    shoot("chat-empty")
    page.fill("textarea:visible >> nth=-1", QUESTION)
    page.keyboard.press("Enter")
    link = page.locator("main a[href^='/traces/']").last
    link.wait_for(timeout=120_000)
    page.wait_for_timeout(1500)
    shoot("chat")
    page.goto(door.url + str(link.get_attribute("href")))
    shoot("trace")


if __name__ == "__main__":
    main()
