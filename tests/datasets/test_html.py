"""HTML of chat pages into markdown."""

from __future__ import annotations

import pytest

from noria.datasets.cleaning.html import looks_like_html, strip_code_headers, to_markdown


@pytest.mark.parametrize(
    ("html", "markdown"),
    [
        (
            "<p>a <em>b</em> <strong>c</strong> snake_case [1] 2*3</p>",
            "a *b* **c** snake_case [1] 2*3",
        ),
        ("<ul><li>a<ul><li>b<ol><li>c</li></ol></li></ul></li></ul>", "- a\n  - b\n    1. c"),
        (
            "<table><tr><th>A</th><th>B</th></tr><tr><td>1|2</td><td><code>x</code></td></tr></table>",
            "| A | B |\n| --- | --- |\n| 1\\|2 | `x` |",
        ),
        (
            '<pre><div><div>python<button>Copy code</button></div><div>'
            '<code class="hljs language-python">'
            "<span>def</span> f():\n    return '&lt;b&gt;'\n</code></div></div></pre>",
            "```python\ndef f():\n    return '<b>'\n```",
        ),
        ("<pre>bash\nCopy code\nls -l\n</pre>", "```bash\nls -l\n```"),
        ("<pre><div><span>sql</span><button>Copy code</button></div><code>select 1\n</code></pre>",
         "```sql\nselect 1\n```"),
        ("<pre><code>a ``` b\n</code></pre>", "````\na ``` b\n````"),
        ("<pre><code>a\n\n\n\nb\n</code></pre>", "```\na\n\n\n\nb\n```"),
        (
            '<p>so <span class="katex"><span class="katex-mathml"><math><semantics><mi>x</mi>'
            '<annotation encoding="application/x-tex">x_1^2</annotation></semantics></math></span>'
            '<span class="katex-html">x12</span></span> holds</p>',
            "so $x_1^2$ holds",
        ),
        ("<p><math><mfrac><mi>a</mi><msup><mi>b</mi><mn>2</mn></msup></mfrac></math></p>",
         r"$\frac{a}{b^{2}}$"),
        ("<p>a</p><script>alert(1)</script><style>p{}</style>", "a"),
    ],
)  # fmt: skip
def test_html_becomes_the_markdown_that_was_written(html: str, markdown: str) -> None:
    assert to_markdown(html) == markdown


@pytest.mark.parametrize(
    ("text", "role", "is_html"),
    [
        ("<div class=\"markdown prose\"><p>x</p></div>", "assistant", True),
        ("Some text <p>then</p>", "assistant", True),
        ("Use `<p>x</p>` here", "assistant", False),
        ("```html\n<p>x</p>\n```", "assistant", False),
        ("a < b and b > c", "assistant", False),
        ("<div>Why is this not centred?</div>", "user", False),
        ('<div class="whitespace-pre-wrap">Hello</div>', "user", True),
    ],
)  # fmt: skip
def test_a_text_about_html_is_not_taken_for_a_page(text: str, role: str, is_html: bool) -> None:
    assert looks_like_html(text, role) is is_html


def test_the_header_of_code_is_taken_off_markdown_too() -> None:
    assert strip_code_headers("```\npython\nCopy code\nx = 1\n```") == "```python\nx = 1\n```"
    assert strip_code_headers("```js\nCopy code`\ny\n```") == "```js\ny\n```"
