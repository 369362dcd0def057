"""HTML of a chat page into the markdown that the model once wrote."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from turbohtml import Element, Markdown

__all__ = ["LONGEST", "looks_like_html", "strip_code_headers", "to_markdown"]

LONGEST = 4 * 1024 * 1024
"""Characters of HTML that are read; a longer turn is dropped as `html_too_large`."""

_BLOCK = r"(?:p|div|pre|ul|ol|li|table|thead|tbody|tr|blockquote|h[1-6]|article|section)"
_STARTS = re.compile(
    r"\s*<(?:!doctype\s+html|html|body|span|br|b|i|em|strong|a|code|img|hr|dl|details|figure|"
    + _BLOCK[3:-1]
    + r")(?:\s[^<>]*)?/?>",
    re.IGNORECASE,
)
_CLOSES = re.compile(rf"</{_BLOCK}\s*>", re.IGNORECASE)
_RENDERED = re.compile(
    r"\s*<(?:div|p|span)\b[^>]*class=\"[^\"]*(?:markdown|prose|whitespace-pre|break-words)", re.I
)
_HEADER = re.compile(r"^[ \t]*([A-Za-z][\w+#.-]{0,30})?[ \t]*\n?[ \t]*Copy code[ \t]*\n?")
_FENCED_HEADER = re.compile(
    r"^(?P<fence>[ \t]*`{3,})[ \t]*(?P<given>[\w+#.-]*)[ \t]*\n?"
    r"(?P<named>[A-Za-z][\w+#.-]{0,30})?[ \t]*\n?Copy code`?[ \t]*\n?",
    re.MULTILINE,
)
_LANGUAGE = re.compile(r"(?:^|\s)(?:language-|lang-)([\w+#.-]+)")
_SLOT = "\ue000{}\ue001"
_SLOTS = re.compile("\ue000(\\d+)\ue001")
_BLANKS = re.compile(r"\n{3,}")
_FENCED = re.compile(r"(^[ \t]*(`{3,})[^\n]*\n.*?^[ \t]*\2[ \t]*$)", re.MULTILINE | re.DOTALL)


def looks_like_html(text: str, role: str) -> bool:
    """Whether a turn is a rendered page and not a text about HTML.

    What a person wrote is only taken for HTML where it carries the classes of a chat page: people
    paste HTML to ask about it.
    """
    if "<" not in text or ">" not in text:
        return False
    if role != "assistant":
        return _RENDERED.match(text) is not None
    if _STARTS.match(text):
        return "</" in text or "<br" in text
    return "```" not in text and "`<" not in text and _CLOSES.search(text) is not None


def to_markdown(html: str) -> str:
    """The markdown of a fragment of HTML: GitHub's, with mathematics between dollars.

    Code keeps its text and language; the header that a chat page puts over it ("python / Copy
    code") is read for the language and left out. Scripts, styles and buttons are left out.
    """
    import turbohtml

    root = turbohtml.parse_fragment(html, positions=False)
    kept: list[str] = []
    lowered = html if "<PRE" not in html else html.lower()
    if "katex" in html or "<math" in html or "MathJax" in html:
        _replace_mathematics(root, kept)
    if "Copy code" in html or lowered.count("<pre") != lowered.count("<pre><code"):
        _tidy_code(root)
    if "<button" in html or "<svg" in html:
        for one in root.select("button, svg"):
            one.decompose()
    text: str = root.to_markdown(_style())
    if "\n\n\n" in text:
        text = _without_blank_runs(text)
    if kept:
        text = _SLOTS.sub(lambda slot: kept[int(slot[1])], text)
    return text.strip()


def _without_blank_runs(text: str) -> str:
    """One blank line at most between blocks; code keeps all of its own."""
    parts = _FENCED.split(text)  # prose, code, its fence, prose, ...
    return "".join(
        _BLANKS.sub("\n\n", part) if number % 3 == 0 else part
        for number, part in enumerate(parts)
        if number % 3 != 2
    )


@lru_cache(maxsize=1)
def _style() -> Markdown:
    from turbohtml import Markdown

    # What a model wrote has no escapes: "[1]" and snake_case come back as they were.
    plain = Markdown.Escaping(mode="none", asterisks=False, underscores=False)
    return Markdown(escaping=plain)


def _tidy_code(root: Element) -> None:
    """Leave nothing but `<code class="language-...">` in every `<pre>`."""
    import turbohtml

    for block in root.select("pre"):
        codes = block.select("code")
        language = ""
        if codes:
            body = "".join(code.text for code in codes)
            language = _class_language(codes[0]) or _class_language(block)
            if not language and len(codes) == 1:
                language = _header_language(block, codes[0])
        else:
            body = block.text
            language = _class_language(block)
        header = _HEADER.match(body)
        if header:
            body = body[header.end() :]
            language = language or header[1] or ""
        fresh = turbohtml.Element("code", {"class": f"language-{language}"} if language else {})
        fresh.append(turbohtml.Text(body))
        block.clear()
        block.append(fresh)


def _class_language(element: Element) -> str:
    names = element.attr("class")
    text = " ".join(names) if isinstance(names, list) else str(names or "")
    found = _LANGUAGE.search(text)
    return found[1] if found else str(element.attr("data-language") or "")


def _header_language(block: Element, code: Element) -> str:
    whole = block.text
    before = whole[: whole.find(code.text)] if code.text else whole
    header = _HEADER.match(before.strip() + "\n" if "Copy code" in before else "")
    return (header[1] or "").lower() if header else ""


def _replace_mathematics(root: Element, kept: list[str]) -> None:
    """Put a slot where a formula stands; its source is set in after the text is made, so that
    nothing in it is taken for markdown."""
    import turbohtml

    def keep(element: Any, source: str, display: bool) -> None:
        text = f"$$\n{source.strip()}\n$$" if display else f"${source.strip()}$"
        element.replace_with(turbohtml.Text(_SLOT.format(len(kept))))
        kept.append(text)

    for selector, display in ((".katex-display", True), (".katex", False), ("math", False)):
        for element in root.select(selector):
            if element.closest("pre, code") is not None or element.parent is None:
                continue
            source = element.select_one('annotation[encoding="application/x-tex"]')
            if source is not None:
                block = display or element.attr("display") == "block"
                keep(element, source.text, block)
            elif element.tag == "math":
                keep(element, _tex(element), element.attr("display") == "block")


_TEX: dict[str, Callable[[list[str]], str]] = {
    "mfrac": lambda parts: rf"\frac{{{parts[0]}}}{{{parts[1]}}}",
    "msup": lambda parts: f"{parts[0]}^{{{parts[1]}}}",
    "msub": lambda parts: f"{parts[0]}_{{{parts[1]}}}",
    "msubsup": lambda parts: f"{parts[0]}_{{{parts[1]}}}^{{{parts[2]}}}",
    "munderover": lambda parts: f"{parts[0]}_{{{parts[1]}}}^{{{parts[2]}}}",
    "munder": lambda parts: f"{parts[0]}_{{{parts[1]}}}",
    "mover": lambda parts: f"{parts[0]}^{{{parts[1]}}}",
    "mroot": lambda parts: rf"\sqrt[{parts[1]}]{{{parts[0]}}}",
    "msqrt": lambda parts: rf"\sqrt{{{''.join(parts)}}}",
    "mtr": lambda parts: " & ".join(parts),
    "mtable": lambda parts: r"\begin{matrix}" + r" \\ ".join(parts) + r"\end{matrix}",
}
_DEEPEST = 64


def _tex(element: Any, depth: int = 0) -> str:
    """TeX for MathML that carries no annotation of its source."""
    children = [child for child in element.children if hasattr(child, "tag")]
    if not children or depth > _DEEPEST:
        return str(element.text).strip()
    parts = [_tex(child, depth + 1) for child in children if child.tag != "annotation"]
    make = _TEX.get(str(element.tag))
    try:
        return make(parts) if make else "".join(parts)
    except IndexError:
        return "".join(parts)


def strip_code_headers(text: str) -> str:
    """Take "python / Copy code" off the fences of markdown that was copied from a page."""
    if "Copy code" not in text:
        return text

    def fence(found: re.Match[str]) -> str:
        return f"{found['fence']}{found['given'] or found['named'] or ''}\n"

    return _FENCED_HEADER.sub(fence, text)
