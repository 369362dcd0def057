"""The page of a run: its tree, what went in and out, and who may read it."""

from __future__ import annotations

import re
import time
from html import unescape

import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from markupsafe import escape

from noria.ids import new_span_id, new_trace_id
from noria.store import evidence_of, find_spans
from noria.web.run.transcript import Room
from noria.web.run.tree import grow, window
from tests.support.seed_apps import NOTES, give, run
from tests.web.conftest import Site


@pytest.fixture(scope="module")
def trace(site: Site) -> str:
    made = run(site.seeded, time.time_ns() - 10_000_000_000, outcome="fail")
    give(site.seeded, made, -1, "Wrong <b>number</b>")
    return made


def spans(page: str) -> list[str]:
    return re.findall(r'id="b([0-9a-f]{16})"', page)


def of_kind(site: Site, trace: str, kind: str) -> str:
    found = find_spans(site.seeded.db, kind=kind, limit=200).rows
    return next(span.id for span in found if span.trace_id == trace)


def test_a_run_tells_its_whole_story(admin: httpx2.Client, trace: str) -> None:
    page = unescape(admin.get(f"/traces/{trace}").text)
    assert len(spans(page)) == 7
    assert "support.answer" in page
    assert "Is the refund policy 30 or 60 days?" in page
    assert "[1]" in page
    assert "A plan can be refunded within 30 days" in page
    assert "found by its words (1st) and by its meaning (2nd" in page
    assert re.search(r'class="tag label internal"[^>]*>internal<', page)
    assert page.index("fail</span>") < page.index("pass</span>")
    assert "The second claim is in no note." in page
    assert "Wrong <b>number</b>" in page
    assert f"noria trace replay {trace}" in page
    assert "Copy as curl" in page
    assert 'title="0.00012 USD"' in page  # the cost of what was done inside


def test_each_kind_shows_what_went_in_and_out(site: Site, admin: httpx2.Client, trace: str) -> None:
    def shown(kind: str) -> str:
        return unescape(admin.get(f"/traces/{trace}?span={of_kind(site, trace, kind)}").text)

    assert "<summary>question</summary>" in shown("step")
    assert "Documents found" in shown("search")
    assert "<h3>Question</h3>" in shown("search")
    assert "1 vector of 8 dimensions" in shown("embedding")
    assert "cite [n]" in shown("chat")
    assert "warns" in shown("check")
    assert "Feedback" not in shown("check")


def test_a_run_is_copied_as_a_call_of_its_door(
    site: Site, admin: httpx2.Client, trace: str
) -> None:
    root = of_kind(site, trace, "app")
    curl = admin.get(f"/traces/{trace}/spans/{root}/curl").text
    assert "/apps/support/answer" in curl
    assert '{"question":"Is the refund' in curl
    compile(admin.get(f"/traces/{trace}/spans/{root}/python").text, "copied", "exec")
    step = of_kind(site, trace, "step")
    assert admin.get(f"/traces/{trace}/spans/{step}/curl").status_code == 404


def test_citations_lead_to_passages(admin: httpx2.Client, trace: str) -> None:
    found = admin.get(f"/traces/{trace}/documents").json()
    assert [one["number"] for one in found] == [1, 2]
    assert found[0]["title"] == "Refunds"
    assert found[0]["text"].startswith("A plan can be refunded")
    figures = admin.get(f"/traces/{trace}/figures").json()
    assert figures["passages"] == 2
    assert {one["check"]: one["outcome"] for one in figures["checks"]} == {
        "grounded": "fail", "short": "pass",
    }  # fmt: skip
    assert figures["tokens"] == ["424", "38"]


def test_feedback_joins_the_run(site: Site, trace: str) -> None:
    with site.sign_in("ana") as client:
        form = {"score": "1", "comment": "  Now it is right.  "}
        assert client.post(f"/traces/{trace}/feedback", data=form).status_code == 303
        assert "Now it is right." in client.get(f"/traces/{trace}").text
    with site.sign_in("ben") as client:
        assert client.post(f"/traces/{trace}/feedback", data=form).status_code == 404
    remarks = evidence_of(site.seeded.db, trace).remarks
    assert [(one.user, one.score) for one in remarks] == [("ana", -1), ("ana", 1)]
    assert remarks[-1].comment == "Now it is right."


def test_a_search_of_another_system_shows_what_it_found(site: Site, admin: httpx2.Client) -> None:
    trace = new_trace_id()
    assert site.seeded.journal is not None
    site.seeded.journal.append(
        {"t": "span", "id": new_span_id(), "trace": trace, "kind": "search", "name": "retriever",
         "at": time.time_ns(), "ms": 3.0, "status": "ok", "cost": 0,
         "key": site.seeded.keys["ana"].id},
        b'{"query": "What is it?"}',
        b'[{"content": "A text <i>of</i> a page", "id": "doc1", "score": 0.5}, "odd", {"id": 7}]',
    )  # fmt: skip
    page = admin.get(f"/traces/{trace}").text
    assert "What is it?" in page
    assert "A text &lt;i&gt;of&lt;/i&gt; a page" in page
    assert "2 passages" in page


def test_a_conversation_is_its_callers(site: Site) -> None:
    name = "a conversation/of ana's"
    secret = "canary-of-a-turn"
    made = run(site.seeded, time.time_ns(), question=f"<b>{secret}", conversation=name)
    with site.sign_in("ana") as client:
        page = client.get(f"/traces/{made}").text
        address = unescape(re.findall(r'href="(/conversations\?[^"]+)"', page)[0])
        shown = client.get(address).text
        assert f"&lt;b&gt;{secret}" in shown
        assert f'href="/traces/{made}"' in shown
    with site.sign_in("ben") as client:
        answer = client.get(address)
        assert answer.status_code == 404
        assert secret not in answer.text
    with site.sign_in() as client:
        assert secret in client.get(address).text


def test_a_run_of_hundreds_of_spans_stays_light(site: Site, admin: httpx2.Client) -> None:
    hostile = "<&>\"'" * 20_000
    many = run(site.seeded, time.time_ns() - 20_000_000_000, steps=700, question=hostile,
               notes=tuple({**NOTES[0], "id": f"{i}-{hostile[:300]}", "text": hostile}
                           for i in range(80)))  # fmt: skip
    first = admin.get(f"/traces/{many}")
    assert len(first.content) < 100_000
    seen = spans(first.text)
    address: str | None = f"/traces/{many}?from=151"
    while address:
        page = admin.get(address)
        assert len(page.content) < 100_000
        seen += spans(page.text)
        found = re.search(r'class="more" href="([^"]+)">Later', page.text)
        address = unescape(found[1]) if found else None
    assert len(seen) == len(set(seen)) == 706
    last = admin.get(f"/traces/{many}?span={seen[-1]}").text
    assert seen[-1] in spans(last)


def test_texts_above_a_clearance_are_not_shown(site: Site, trace: str) -> None:
    secret = "canary-of-the-board"
    note = {**NOTES[0], "label": "confidential", "title": f"Title {secret}", "text": secret}
    marked = run(site.seeded, time.time_ns(), question=secret, answer=secret, notes=(note,))
    with site.sign_in("ana") as client:
        page = client.get(f"/traces/{marked}").text
        assert "labelled <b>confidential</b>" in page
        assert spans(page)
        for span in spans(page):
            texts = [client.get(f"/traces/{marked}?span={span}").text]
            texts += [
                client.get(f"/traces/{marked}/spans/{span}/{what}").text
                for what in ("request", "response", "curl", "python")
            ]
            assert not [text for text in texts if secret in text]
        assert marked not in client.get("/traces", params={"q": secret}).text
        assert secret not in client.get(f"/traces/{marked}/documents").text
        assert secret not in client.get(f"/traces/{marked}/figures").text
        assert "A plan can be refunded" in client.get(f"/traces/{trace}").text
    with site.sign_in() as client:
        found = client.get("/traces", params={"q": secret}).text
        assert marked in found
        assert "label confidential" in found


def test_anothers_run_does_not_exist(site: Site, trace: str) -> None:
    with site.sign_in("ben") as client:
        for rest in ("", "/documents", "/figures", f"/spans/{of_kind(site, trace, 'app')}/request"):
            assert client.get(f"/traces/{trace}{rest}").status_code == 404


@given(st.text(), st.integers(0, 300))
def test_a_room_is_never_overrun(text: str, size: int) -> None:
    room = Room(size)
    shown, cut = room.take(text)
    assert len(escape(shown).encode("utf-8", "replace")) <= size
    assert text.startswith(shown)
    assert cut == len(text) - len(shown)
    assert len(escape(room.take(text)[0]).encode("utf-8", "replace")) <= size


def test_a_tree_holds_every_span_once_whatever_their_parents(site: Site) -> None:
    rows = find_spans(site.seeded.db, limit=6).rows
    for span, parent in zip(rows, (rows[1].id, rows[0].id, rows[2].id, "gone", None, rows[4].id),
                            strict=True):  # fmt: skip
        span.parent_id = parent
    branches = grow(rows)
    assert sorted(one.span.id for one in branches) == sorted(span.id for span in rows)
    assert next(one for one in branches if one.span.id == rows[5].id).depth == 1
    assert len(window(branches, "none", "99").rows) == 6
