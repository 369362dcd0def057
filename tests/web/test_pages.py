"""What stands on the pages, without a browser: they work without JavaScript."""

from __future__ import annotations

import re
import time
from html import unescape
from html.parser import HTMLParser

import httpx2
import pytest

from noria.errors import StoreUnavailable
from noria.store import find_spans, list_keys
from noria.store.budgets.budgets import list_budgets
from noria.types import Subject
from tests.support.seed import agent
from tests.support.seed_apps import run
from tests.web.conftest import Site

PAGES = ["/overview?range=7d", "/overview?range=90d", "/chat", "/traces", "/spend", "/spend?by=day",
         "/spend?by=app", "/spend?by=key", "/spend?by=model", "/keys", "/keys/new", "/models",
         "/apps", "/indexes"]  # fmt: skip


class Attributes(HTMLParser):
    """The names of all attributes of a page, and its scripts that have no address."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.inline: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names |= {name for name, _ in attrs}
        if tag in ("script", "style") and "src" not in dict(attrs):
            self.inline.append(tag)


@pytest.mark.parametrize("path", PAGES)
def test_pages_are_whole_and_light(site: Site, admin: httpx2.Client, path: str) -> None:
    answer = admin.get(path)
    assert answer.status_code == 200
    assert len(answer.content) < 100_000
    assert answer.text.rstrip().endswith("</html>")
    seen = Attributes()
    seen.feed(answer.text)
    assert not {name for name in seen.names if name == "style" or name.startswith("on")}
    assert not seen.inline
    for secret in site.seeded.secrets.values():
        assert secret not in answer.text


def test_overview_counts_every_call(site: Site, admin: httpx2.Client) -> None:
    text = admin.get("/overview?range=30d").text
    assert "Spend by model" in text
    assert "Spend by team" in text
    assert 'aria-label="Latency"' in text
    assert "openai:gpt-4o-mini" in text


def test_traces_page_through_all_rows_once(site: Site, admin: httpx2.Client) -> None:
    seen: list[str] = []
    address: str | None = "/traces?kind=chat&status=ok&model=local:smollm2"
    pages = 0
    while address:
        text = admin.get(address).text
        seen += re.findall(r"span=([0-9a-f]{16})", text)
        found = re.search(r'rel="next" href="([^"]+)"', text)
        address = unescape(found[1]) if found else None
        pages += 1
    wanted = []
    cursor = None
    while True:
        page = find_spans(
            site.seeded.db, kind="chat", status="ok", model="local:smollm2", cursor=cursor
        )
        wanted += [span.id for span in page.rows]
        cursor = page.next
        if cursor is None:
            break
    assert seen == wanted
    assert pages > 1


def test_traces_are_searched_and_filtered_by_the_address(site: Site, admin: httpx2.Client) -> None:
    assert "Nothing meets these filters" in admin.get("/traces?q=xyzzyplugh").text
    slow = admin.get("/traces", params={"over": "2 s"}).text
    assert re.findall(r"<td class=\"number\">(\d+ ms)</td>", slow) == []
    assert 'value="2 s"' in slow
    assert admin.get("/traces?status=nonsense&since=never&over=x&cursor=zz").status_code in (
        200,
        400,
    )


def test_traces_sort_by_a_column(site: Site, admin: httpx2.Client) -> None:
    text = admin.get("/traces?sort=cost&kind=chat").text
    costs = [float(cost) for cost in re.findall(r'r1"><span title="([0-9.]+) USD"', text)]
    assert len(costs) == 50
    assert costs == sorted(costs, reverse=True)
    dearest = max(span.cost_nano for span in find_spans(site.seeded.db, limit=1000).rows)
    assert costs[0] == dearest / 1e9
    assert 'aria-sort="descending"' in text
    assert "of the newest" in text


def test_runs_are_listed_with_what_was_called_in_them(site: Site, admin: httpx2.Client) -> None:
    trace = run(site.seeded, time.time_ns(), app="desk")
    text = admin.get("/traces?app=desk").text
    assert text.count("<tr>") == 2
    assert trace in text
    assert ">424<" in text
    assert 'title="0.00012 USD"' in text
    assert "desk · 1 run<" in admin.get("/traces").text
    with site.sign_in("ben") as client:
        listed = client.get("/traces").text
        assert "desk" not in listed
        assert trace not in client.get("/traces?app=desk").text
    assert 'href="/apps/desk"' in admin.get("/overview").text
    assert 'href="/traces?app=desk"' in admin.get("/spend?by=app").text


def test_trace_shows_tree_messages_and_copies(site: Site, admin: httpx2.Client) -> None:
    trace = agent(site.seeded, time.time_ns())
    text = admin.get(f"/traces/{trace}").text
    assert text.count('<svg class="bar') == 4
    spans = re.findall(r"\?span=([0-9a-f]{16})", text)
    last = admin.get(f"/traces/{trace}?span={spans[-1]}").text
    assert "launch_vms" in last
    assert "us-west-1" in last
    assert "answers call_1" in last
    curl = admin.get(f"/traces/{trace}/spans/{spans[-1]}/curl").text
    assert curl.startswith("curl ")
    assert "$NORIA_KEY" in curl
    python = admin.get(f"/traces/{trace}/spans/{spans[-1]}/python").text
    compile(python, "copied", "exec")
    raw = admin.get(f"/traces/{trace}/spans/{spans[-1]}/request")
    assert raw.json()["messages"][0]["role"] == "user"
    assert raw.headers["content-type"].startswith("text/plain")
    assert admin.get(f"/traces/{trace}/spans/{spans[-1]}/nonsense").status_code == 404


def test_a_key_is_made_shown_once_and_revoked(site: Site, admin: httpx2.Client) -> None:
    form = {"team": "made", "user": "mia", "name": "tested", "budget": "1.50 USD/week",
            "models": "local:smollm2, acme:big", "rpm": "30", "tpm": "10,000", "concurrency": "2",
            "groups": "staff", "clearance": "internal", "record_content": "on"}  # fmt: skip
    made = admin.post("/keys", data=form)
    assert made.status_code == 201
    secret = re.findall(r"noria-[\w-]{43}", made.text)[0]
    key = next(key for key in list_keys(site.seeded.db) if key.name == "tested")
    assert (key.team, key.user, key.rpm, key.tpm, key.concurrency) == ("made", "mia", 30, 10_000, 2)
    assert key.models == ("local:smollm2", "acme:big")
    assert str(key.budget) == "1.5 USD/week"
    assert str(key.clearance) == "internal"
    assert key.groups == {"staff"}
    assert not key.admin
    assert secret not in admin.get("/keys").text
    assert f"…{key.hint}" in admin.get(f"/keys/{key.id}/revoke").text
    assert admin.post(f"/keys/{key.id}/revoke").status_code == 303
    assert "revoked key" in admin.get("/keys").text
    assert admin.get("/keys/key_none/revoke").status_code == 404


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [("budget", "lots", "is not a budget"), ("rpm", "-1", "Requests a minute"),
     ("tpm", "many", "Tokens a minute"), ("clearance", "cosmic", "is not a label")],
)  # fmt: skip
def test_a_form_says_what_is_wrong_and_keeps_the_rest(
    admin: httpx2.Client, field: str, value: str, said: str
) -> None:
    answer = admin.post("/keys", data={"team": "kept", field: value})
    assert answer.status_code == 422
    assert said in unescape(answer.text)
    assert 'value="kept"' in answer.text


def test_budgets_are_set_and_lifted(site: Site, admin: httpx2.Client) -> None:
    def amounts() -> dict[str, str]:
        rows = list_budgets(site.seeded.db)
        return {row.name: str(row.budget) for row in rows if row.subject is Subject.USER}

    def put(name: str, amount: str) -> int:
        form = {"subject": "user", "name": name, "budget": amount}
        return admin.post("/budgets", data=form).status_code

    assert put("zoe", "2 USD/day") == 303
    assert amounts()["zoe"] == "2 USD/day"
    assert put("zoe", "") == 303
    assert "zoe" not in amounts()
    assert put("zoe", "plenty") == 422
    assert put("", "1 USD") == 422


def test_models_say_what_is_missing(admin: httpx2.Client) -> None:
    text = admin.get("/models").text
    assert "set OPENAI_API_KEY" in text
    assert "$2 in, $8 out" in text
    assert admin.post("/models/nonsense/pull").status_code in (400, 404)


def test_errors_have_a_page_without_details(site: Site, admin: httpx2.Client) -> None:
    missing = admin.get("/traces/nothing")
    assert missing.status_code == 404
    assert "There is nothing here" in missing.text
    assert admin.get("/nowhere").status_code == 404
    assert admin.post("/overview").status_code == 405


def test_a_failure_tells_nothing(
    site: Site, admin: httpx2.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object, **__: object) -> None:
        raise RuntimeError("password=hunter2")

    def away(*_: object, **__: object) -> None:
        raise StoreUnavailable("The database is away.", "Start it.")

    monkeypatch.setattr("noria.store.spend", fails, raising=False)
    answer = admin.get("/spend")
    assert answer.status_code == 500
    assert "hunter2" not in answer.text
    assert "content-security-policy" in answer.headers
    assert "noria failed while it made this page" in unescape(answer.text)
    monkeypatch.setattr("noria.store.spend", away, raising=False)
    answer = admin.get("/spend")
    assert answer.status_code == 503
    assert "Start it." in answer.text
