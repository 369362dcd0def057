"""The tables of docs/wires.md say what the code does: they are made from it here.

    python -m tests.models.translation.test_page

prints them for the page.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import orjson

from noria.errors import ApiError
from noria.models.translation import READERS, WIRES
from noria.models.translation.form import Form, Part, Tool, Turn
from noria.models.wires.usage import COUNTING

PAGE: Final = Path(__file__).parents[3] / "docs" / "wires.md"
WIRES_IN_ORDER: Final = tuple(READERS)
_ASKED: Final = Turn("user", [Part("text", "?")])
_TOOL: Final = Tool("look", "Looks.", {"type": "object"})


def _said(*parts: Part) -> dict[str, Any]:
    return {"turns": [Turn("user", [Part("text", "?"), *parts])]}


def _answered(*parts: Part) -> dict[str, Any]:
    return {"turns": [_ASKED, Turn("assistant", [*parts, Part("text", "!")]), _ASKED]}


FEATURES: Final[dict[str, dict[str, Any]]] = {
    "system and developer roles": {"turns": [Turn("system", [Part("text", "S")]), _ASKED]},
    "a system role within the conversation": {
        "turns": [_ASKED, Turn("system", [Part("text", "S")]), _ASKED]
    },
    "images (base64)": _said(Part("image", data="aGk=", media="image/png")),
    "images (address)": _said(Part("image", url="https://example.org/a.png")),
    "documents (base64)": _said(Part("document", data="aGk=", media="application/pdf")),
    "sound": _said(Part("audio", data="aGk=", media="audio/wav")),
    "tools": {"tools": [_TOOL]},
    "one tool at a time": {"tools": [_TOOL], "parallel": False},
    "no tool at all": {"tools": [_TOOL], "choice": "none"},
    "tool results that failed": _said(
        Part("result", id="c", parts=[Part("text", "no")], failed=True)
    ),
    "thinking, signed": _answered(Part("thinking", "Hm.", signature="c2ln")),
    "thinking, redacted": _answered(Part("redacted", data="eHg=")),
    "thinking effort": {"effort": "high"},
    "JSON by a schema": {"schema": {"type": "object"}},
    "any JSON": {"schema": {}},
    "cache marks": _said(Part("text", "long", cached="1h")),
    "temperature": {"temperature": 0.5},
    "top_p": {"top_p": 0.5},
    "top_k": {"top_k": 5},
    "seed": {"seed": 7},
    "stop sequences": {"stop": ["END"]},
    "user": {"user": "u"},
}
"""What a request may ask for."""


def outcome(wire: str, asked: dict[str, Any]) -> str:
    """What becomes of it: `yes`, `noted` where it is left out with a note, `refused` by name."""
    plain = Form([_ASKED], limit=20_000)
    form = replace(plain, notes=[], **asked)
    try:
        fields = orjson.dumps(WIRES[wire].write_request(form, "m"))
    except ApiError:
        return "refused"
    if form.notes:
        return "noted"
    if any(part.failed for turn in form.turns for part in turn.parts):
        worked = [replace(p, failed=False) for p in form.turns[0].parts]
        plain = replace(plain, turns=[Turn("user", worked)])
    elif "turns" in asked:
        bare = [Turn(t.role, [p for p in t.parts if p.text in ("?", "!")]) for t in form.turns]
        plain = replace(plain, turns=[turn for turn in bare if turn.parts])
    elif "tools" in asked and len(asked) > 1:
        plain = replace(plain, tools=asked["tools"])
    return "yes" if fields != orjson.dumps(WIRES[wire].write_request(plain, "m")) else "left out"


def translated() -> str:
    """The table of what is translated to what."""
    lines = [f"| | {' | '.join(WIRES_IN_ORDER)} |", f"|---|{'---|' * len(WIRES_IN_ORDER)}"]
    for name, asked in FEATURES.items():
        cells = " | ".join(outcome(wire, asked) for wire in WIRES_IN_ORDER)
        lines.append(f"| {name} | {cells} |")
    return "\n".join(lines)


def counted() -> str:
    """The table of what is counted where."""
    names = (
        "input", "output", "cached", "cache_write", "hour_write", "reasoning", "searches",
        "audio_input", "audio_output", "image_input", "image_output", "cached_audio",
        "cached_image",
    )  # fmt: skip
    lines = [f"| | {' | '.join(COUNTING)} |", f"|---|{'---|' * len(COUNTING)}"]
    for name in names:
        cells = []
        for row in COUNTING.values():
            paths = (".".join(path) for path in getattr(row, name))
            cells.append(" + ".join(f"`{path}`" for path in paths) or "-")
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(cells)} |")
    sources = " | ".join(row.source for row in COUNTING.values())
    return "\n".join([*lines, f"| source | {sources} |"])


def part_of_page(name: str) -> str:
    page = PAGE.read_text(encoding="utf-8")
    return page.partition(f"<!-- {name} -->\n")[2].partition("\n<!-- end -->")[0]


def test_what_is_translated_is_on_the_page() -> None:
    assert part_of_page("translated") == translated()


def test_what_is_counted_is_on_the_page() -> None:
    assert part_of_page("counted") == counted()


def test_nothing_is_left_out_without_a_note() -> None:
    for name, asked in FEATURES.items():
        for wire in WIRES_IN_ORDER:
            assert outcome(wire, asked) != "left out", (name, wire)


if __name__ == "__main__":
    print(translated(), counted(), sep="\n\n")
