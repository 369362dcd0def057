"""`static/markdown.js` in a real browser: what is made of marks, and that no text is too much."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Page

SHOW = """async ([module, ...texts]) => {
  const { render } = await import(module);
  const node = document.createElement("div");
  for (const text of texts) render(node, text);
  return node.innerHTML;
}"""
STEPS = """async ([module, text]) => (await import(module)).inline(text).steps"""
MODULE = "/static/markdown.js"


@pytest.fixture(scope="module")
def shown(browser: Any, site: Any) -> Any:
    context = browser.new_context(base_url=site.url)
    page = context.new_page()
    page.goto("/signin")
    yield page
    context.close()


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a **b *c* d**", "<p>a <strong>b <em>c</em> d</strong></p>"),
        ("snake_case_name _em_", "<p>snake_case_name <em>em</em></p>"),
        ("``a ` b`` `x`", "<p><code>a ` b</code> <code>x</code></p>"),
        ("2 * 3 * 4 and **open", "<p>2 * 3 * 4 and **open</p>"),
        ("[a [b", "<p>[a [b</p>"),
        ("[x](javascript:alert(1))", "<p>[x](javascript:alert(1))</p>"),
        ("<b>no</b>", "<p>&lt;b&gt;no&lt;/b&gt;</p>"),
        ("> q\n> > r", "<blockquote><p>q</p><blockquote><p>r</p></blockquote></blockquote>"),
        ("- a\n  - b\n- c", "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"),
        ("# H #\n\n***", "<h1>H</h1><hr>"),
    ],
)
def test_marks(shown: Page, text: str, html: str) -> None:
    assert shown.evaluate(SHOW, [MODULE, text]) == html


@pytest.mark.parametrize(
    "piece",
    [
        "[",
        "*",
        "`",
        "_",
        "![",
        "**a ",
        "[a](",
        "`a``",
        "a_b*",
        "](https://",
        "~",
        "http://a ",
        "_a*",
    ],
)
def test_the_work_grows_with_the_text_and_no_faster(shown: Page, piece: str) -> None:
    few, many = (shown.evaluate(STEPS, [MODULE, piece * n]) for n in (2_000, 16_000))
    assert many <= 9 * few + 100
    assert many <= 10 * 16_000 * len(piece)


@pytest.mark.parametrize(
    "text",
    [
        ">" * 100_000,
        "> " * 50_000,
        "".join(" " * (2 * n) + "- a\n" for n in range(400)),
        "[" * 200_000,
        "**a " * 50_000,
        "- " * 50_000,
    ],
    ids=["quotes", "quotes with spaces", "lists", "brackets", "strong", "items"],
)
def test_depth_is_bounded(shown: Page, text: str) -> None:
    html = shown.evaluate(SHOW, [MODULE, text])
    depth = deepest = 0
    for tag in html.split("<")[1:]:
        depth += -1 if tag.startswith("/") else 1
        deepest = max(deepest, depth)
    assert 0 < deepest < 40


def test_what_is_streamed_is_what_is_shown_at_once(shown: Page) -> None:
    text = (
        "# Title\n\nA *paragraph* of\ntwo lines.\n\n- one\n- two\n\n  more\n- three\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n```py\nx = 1\n\ny = 2\n```\n> quote\n> more\n\n1. a\n"
        "2. b\n\nEnd [link](https://example.org).\n"
    )
    pieces = [text[:end] for end in range(1, len(text) + 1)]
    whole = shown.evaluate(SHOW, [MODULE, text])
    assert shown.evaluate(SHOW, [MODULE, *pieces]) == whole
    # and a text that is replaced by another one
    assert shown.evaluate(SHOW, [MODULE, "Something else\n\nentirely\n\nhere", text]) == whole


def test_blocks_that_are_done_keep_their_nodes(shown: Page) -> None:
    kept = shown.evaluate(
        """async (module) => {
          const { render } = await import(module);
          const node = document.createElement("div");
          render(node, "one\\n\\ntwo\\n\\nthree\\n\\nfour");
          const first = [...node.children].slice(0, 2);
          render(node, "one\\n\\ntwo\\n\\nthree\\n\\nfour and more\\n\\nfive");
          return node.children.length === 5 && first.every((one, i) => one === node.children[i]);
        }""",
        MODULE,
    )
    assert kept
