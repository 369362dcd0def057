"""Labels and grants that are not understood: whoever may not see a document never finds it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from noria.retrieval import Index, Report
from noria.types import Label
from tests.retrieval.conftest import House, ids

CASES = Path(__file__).parents[3] / "shared" / "cases" / "docs"
BODY = "The code of the canary is BLUEHERON."
MARK = "label: confidential"

HIDDEN = {
    "a blank line before": f"\n---\n{MARK}\n---\n{BODY}",
    "a space before": f" ---\n{MARK}\n---\n{BODY}",
    "a comment before": f"<!-- handbook -->\n---\n{MARK}\n---\n{BODY}",
    "a word joiner before": f"\u2060\n---\n{MARK}\n---\n{BODY}",
    "never closed": f"---\n{MARK}\n\n{BODY}",
    "closed by dots": f"---\n{MARK}\n...\n{BODY}",
    "closed by four dashes": f"---\n{MARK}\n----\n{BODY}",
    "closed with a remark": f"---\n{MARK}\n--- # end\n{BODY}",
    "opened with a remark": f"--- # meta\n{MARK}\n---\n{BODY}",
    "opened by a long dash": f"\u2014\n{MARK}\n\u2014\n{BODY}",
    "toml": f'+++\nlabel = "confidential"\n+++\n{BODY}',
    "json": '{\n  "label": "odd"\n}\n' + BODY,
    "yaml in a fence": f"```yaml\n{MARK}\n```\n{BODY}",
    "labels": f"---\nlabels: confidential\n---\n{BODY}",
    "classification": f"---\nclassification: NATO\n---\n{BODY}",
    "sensitivity": f"---\nsensitivity: high\n---\n{BODY}",
    "acl": f"---\nacl: [finance]\n---\n{BODY}",
    "a slip of the keyboard": f"---\nlable: confidential\n---\n{BODY}",
    "a Cyrillic letter": f"---\nl\u0430bel: confidential\n---\n{BODY}",
    "an invisible letter": f"---\nla\u200bbel: confidential\n---\n{BODY}",
    "a wide colon": f"---\nlabel\uff1aconfidential\n---\n{BODY}",
    "a blank that does not break": f"---\nlabel:\u00a0confidential\n---\n{BODY}",
    "nested": f"---\nmeta:\n  label: confidential\n---\n{BODY}",
    "twice": f"---\n{MARK}\nlabel: public\n---\n{BODY}",
    "twice in other case": f"---\n{MARK}\nLABEL: public\n---\n{BODY}",
    "grants twice": f"---\ngrants: [finance]\ngrants:\n---\n{BODY}",
    "nothing after it": f"---\nlabel:\n---\n{BODY}",
    "not a label": f"---\nlabel: yes\n---\n{BODY}",
    "below the heading": f"# Salaries\n\n{MARK}\n\n{BODY}",
    "a field of reST": f":label: confidential\n\n{BODY}",
    "many aliases": "---\na: &a [x]\nb: [" + ", ".join(["*a"] * 100) + f"]\n---\n{BODY}",
}
SHOWN = {
    "a rule": f"One.\n\n---\n\nTwo.\n\n{BODY}",
    "prose": f"The label: a piece of paper on a bottle.\n\n{BODY}",
    "a record label": f"# Albums\n\nLabel: Motown Records\nYear: 1970\n\n{BODY}",
    "an example": f"# Front matter\n\nWrite it so:\n\n```\n---\n{MARK}\n---\n```\n\n{BODY}",
    "another field": f"---\ntitle: Birds\nauthor: Ann\n---\n{BODY}",
    "an underlined heading": f"The museum\n==========\n\nAccess: by train\n\n{BODY}",
}
TABLES = {
    "near.csv": f"id,text,classification\n1,{BODY},secret\n",
    "twice.csv": f"id,text,label,Label\n1,{BODY},confidential,public\n",
    "grants-twice.csv": f"id,text,grants,grants\n1,{BODY},finance,\n",
    "short.csv": f"id,text,label\n1,{BODY}\n",
    "long.csv": f"id,text,label\n1,{BODY},confidential,public\n",
    "below.csv": f"Report\nid,text,label\n1,{BODY},confidential\n",
    "near.jsonl": json.dumps({"text": BODY, "labels": "confidential"}),
    "nested.jsonl": json.dumps({"text": BODY, "meta": {"label": "confidential"}}),
    "twice.jsonl": f'{{"text": "{BODY}", "label": "confidential", "label": "public"}}',
    "cases.jsonl": json.dumps({"text": BODY, "Label": "confidential", "label": "public"}),
    "inside.jsonl": json.dumps({"text": f"---\n{MARK}\n---\n{BODY}"}),
    "meta.html": f'<html><head><meta name="label" content="confidential"></head>{BODY}</html>',
    "body.html": f"<html><body><p>---<br>{MARK}<br>---</p><p>{BODY}</p></body></html>",
    "lines.html": f"<html><body>---\n{MARK}\n---\n<p>{BODY}</p></body></html>",
    "comment.html": f"<html><!-- {MARK} --><body>{BODY}</body></html>",
}
LABELLED = {
    "semi.csv": f"id;text;label;grants\n1;{BODY};confidential;finance\n",
    "tabs.csv": f"id\ttext\tlabel\tgrants\n1\t{BODY}\tconfidential\tfinance\n",
    "sep.csv": f"sep=;\nid;text;label;grants\n1;{BODY};confidential;finance\n",
    "blanks.csv": f'id, text, Label, grants\n1,{BODY},confidential,"finance, hr"\n',
    "marked.csv": f"\ufefflabel,text,grants\nconfidential,{BODY},finance\n",
    "marked.jsonl": "\ufeff"
    + json.dumps({"text": BODY, "label": "confidential", "grants": ["finance"]}),
    "first.html": f"---\n{MARK}\ngrants: [finance]\n---\n<html><body>{BODY}</body></html>",
    "returns.md": f"---\r\n{MARK}\r\ngrants: [finance]\r\n---\r\n{BODY}",
}


def build(house: House) -> tuple[Index, Report]:
    index = Index("birds", str(house.docs), embed="fake:embed")
    return index, house.run(index.build)


def found(house: House, index: Index, *groups: str, clearance: Label = Label.PUBLIC) -> list[str]:
    key = house.key(*groups, clearance=clearance)
    return ids(house.run(lambda _: index.search("BLUEHERON canary code"), key))


def test_what_is_not_understood_hides(house: House) -> None:
    for name, text in HIDDEN.items():
        house.write(f"{name}.md", text)
    for name, text in TABLES.items():
        house.write(name, text)
    index, report = build(house)
    assert found(house, index) == []
    assert found(house, index, "*", clearance=Label.RESTRICTED) == []  # it is not in the index
    named = {failure.id.rpartition("/")[2].partition("#")[0] for failure in report.failed}
    assert named == {*(f"{name}.md" for name in HIDDEN), *TABLES}
    assert all(failure.reason for failure in report.failed)


def test_what_only_looks_a_little_like_it_is_shown(house: House) -> None:
    for name, text in SHOWN.items():
        house.write(f"{name}.md", text)
    index, report = build(house)
    assert report.failed == []
    shown = set()
    for one in SHOWN:
        shown |= set(ids(house.run(lambda _, one=one: index.search(BODY, k=20), house.key())))
    assert {Path(one).stem for one in shown} == set(SHOWN)


@pytest.mark.parametrize("name", LABELLED)
def test_what_is_understood_binds(house: House, name: str) -> None:
    house.write(name, LABELLED[name])
    index, report = build(house)
    assert report.failed == []
    assert found(house, index) == []
    assert found(house, index, "finance") == []
    assert found(house, index, clearance=Label.CONFIDENTIAL) == []
    assert len(found(house, index, "finance", clearance=Label.CONFIDENTIAL)) == 1


def test_a_document_that_stops_to_be_understood_is_taken_out(house: House) -> None:
    house.write("bird.md", BODY)
    index, _ = build(house)
    assert len(found(house, index)) == 1
    house.write("bird.md", f"---\n{MARK}\n...\n{BODY}")
    report = house.run(index.build)
    assert len(report.failed) == 1
    assert found(house, index) == []


def test_the_cases_kept_outside(house: House) -> None:
    if not CASES.exists():
        pytest.skip("../shared/cases is not here")
    for path in CASES.iterdir():
        house.write(path.name, path.read_bytes())
    index, report = build(house)
    failed = {failure.id.rpartition("/")[2].partition("#")[0] for failure in report.failed}
    assert failed == {"labelboth.jsonl", "fm-dots.md", "fm-nbsp.md"}

    def search(question: str, *groups: str, clearance: Label = Label.PUBLIC) -> list[str]:
        key = house.key(*groups, clearance=clearance)
        hits = house.run(lambda _: index.search(question, k=1), key)
        return [one.id.rpartition("/")[2] for one in hits]

    assert search("BLUEHERON", "finance", clearance=Label.CONFIDENTIAL) == ["semi.csv#1"]
    assert search("GREENHERON", "finance", clearance=Label.CONFIDENTIAL) == ["sepline.csv#1"]
    assert search("office") == ["lig.md"]
    assert search("softhyphen") == ["zwj.md"]
    assert search("\u091b\u0941\u091f\u094d\u091f\u0940") == ["hindi.md"]
    assert search("ONEBIRD") == ["zero.jsonl#1"]
    assert search("ZEROBIRD") == ["zero.jsonl#0"]
    assert search("BOMBIRD", clearance=Label.INTERNAL) == ["bom.jsonl#a"]
    assert search("SIMPLEBIRD") == ["fldsimple.docx"]


def test_an_id_is_a_documents_own(house: House) -> None:
    lines = [{"id": number, "text": f"{BODY} {number}"} for number in (0, 1, 2**70, 2**70 + 1, "")]
    house.write("rows.jsonl", "\n".join(map(json.dumps, lines)))
    _, report = build(house)
    assert (report.documents, report.failed) == (5, [])
