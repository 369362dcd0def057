"""Who may come in, from where, and what each may see."""

from __future__ import annotations

import httpx2
import pytest

from noria.store import create_key, find_spans, new_link, revoke_key
from tests.web.conftest import Site

PATHS = ["/", "/overview", "/chat", "/traces", "/spend", "/keys", "/keys/new", "/models", "/pulse",
         "/apps", "/apps/support", "/apps/support/chat", "/indexes", "/indexes/handbook",
         "/indexes/handbook/document?id=x", "/conversations?id=x"]  # fmt: skip
ADMIN = ["/overview", "/keys", "/keys/new", "/models"]


@pytest.mark.parametrize("path", PATHS)
def test_every_page_needs_a_session(site: Site, path: str) -> None:
    answer = httpx2.get(site.url + path)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/signin")


def test_a_link_signs_in_once(site: Site) -> None:
    token = new_link(site.seeded.db, site.seeded.keys["admin"].id)
    first = httpx2.get(f"{site.url}/signin", params={"token": token})
    assert first.status_code == 303
    cookie = first.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=strict", "Path=/"))
    again = httpx2.get(f"{site.url}/signin", params={"token": token})
    assert again.status_code == 401
    assert "used before" in again.text
    assert "set-cookie" not in again.headers


def test_a_link_from_another_site_asks_first(site: Site) -> None:
    token = new_link(site.seeded.db, site.seeded.keys["admin"].id)
    there = {"Sec-Fetch-Site": "cross-site"}
    asked = httpx2.get(f"{site.url}/signin", params={"token": token}, headers=there)
    assert asked.status_code == 200
    assert "set-cookie" not in asked.headers
    ahead = {"Sec-Purpose": "prefetch;prerender"}
    assert (
        httpx2.get(f"{site.url}/signin", params={"token": token}, headers=ahead).status_code == 503
    )
    pressed = httpx2.post(f"{site.url}/signin", data={"token": token}, headers={"Origin": site.url})
    assert pressed.status_code == 303


@pytest.mark.parametrize("origin", [None, "null", "http://evil.example", "http://127.0.0.1:1"])
def test_forms_of_other_origins_are_refused(
    site: Site, admin: httpx2.Client, origin: str | None
) -> None:
    headers = {"Origin": origin} if origin else {}
    before = len(_keys(site))
    cookies = {"noria_session": admin.cookies["noria_session"]}
    answer = httpx2.post(
        f"{site.url}/keys", data={"team": "evil"}, headers=headers, cookies=cookies
    )
    assert answer.status_code == 403
    said = {"Origin": site.url, "Sec-Fetch-Site": "same-site"}
    answer = httpx2.post(f"{site.url}/keys", data={"team": "evil"}, headers=said, cookies=cookies)
    assert answer.status_code == 403
    assert len(_keys(site)) == before


def test_a_wrong_key_is_refused_and_not_repeated(site: Site) -> None:
    wrong = "noria-wrong-key-that-nobody-has"
    answer = httpx2.post(f"{site.url}/signin", data={"key": wrong}, headers={"Origin": site.url})
    assert answer.status_code == 401
    assert wrong not in answer.text


@pytest.mark.parametrize("wanted", ["//evil.example", "/\\evil.example", "http://evil.example"])
def test_signing_in_leads_nowhere_else(site: Site, wanted: str) -> None:
    form = {"key": site.seeded.secrets["admin"], "next": wanted}
    answer = httpx2.post(f"{site.url}/signin", data=form, headers={"Origin": site.url})
    assert answer.headers["location"] == "/"


def test_signing_out_ends_the_session(site: Site) -> None:
    with site.sign_in() as client:
        cookies = dict(client.cookies)
        assert client.post("/signout").headers["location"] == "/signin"
    assert httpx2.get(f"{site.url}/traces", cookies=cookies).status_code == 303


def test_a_revoked_key_is_signed_out(site: Site) -> None:
    key, secret = create_key(site.seeded.db, name="short-lived")
    site.seeded.secrets["short-lived"] = secret
    with site.sign_in("short-lived") as client:
        assert client.get("/traces").status_code == 200
        revoke_key(site.seeded.db, key.id)
        assert client.get("/traces").status_code == 303


@pytest.mark.parametrize("path", ADMIN)
def test_pages_of_administrators_are_refused_to_others(site: Site, path: str) -> None:
    with site.sign_in("ana") as client:
        answer = client.get(path)
    assert answer.status_code == 403
    assert "You may not see this" in answer.text


def test_deeds_of_administrators_are_refused_to_others(site: Site) -> None:
    victim = site.seeded.keys["ben"].id
    with site.sign_in("ana") as client:
        for path in ("/keys", f"/keys/{victim}/revoke", "/budgets", "/models/smollm2/pull"):
            assert client.post(path, data={"admin": "on"}).status_code == 403
    assert next(key for key in _keys(site) if key.id == victim).revoked_ns is None


def test_others_see_their_own_calls_alone(site: Site) -> None:
    mine, theirs = site.seeded.keys["ana"], site.seeded.keys["ben"]
    foreign = find_spans(site.seeded.db, key_id=theirs.id, limit=1).rows[0]
    own = find_spans(site.seeded.db, key_id=mine.id, limit=1).rows[0]
    with site.sign_in("ana") as client:
        listed = client.get("/traces", params={"key": theirs.id}).text
        assert own.trace_id in listed
        assert foreign.trace_id not in listed
        for identity in (foreign.trace_id, foreign.id):
            for rest in ("", "/figures", f"/spans/{foreign.id}/request"):
                answer = client.get(f"/traces/{identity}{rest}")
                missing = client.get(f"/traces/{'0' * len(identity)}{rest}")
                assert answer.status_code == missing.status_code == 404
        assert client.get(f"/traces/{own.trace_id}").status_code == 200
        spend = client.get("/spend", params={"by": "user"}).text
        assert "…" + mine.hint in spend
        assert "ben" not in spend
        assert "research" not in spend


def test_policy_and_caching(site: Site, admin: httpx2.Client) -> None:
    for path in ("/overview", "/signin", "/traces/none", "/static/style.css", "/static/none"):
        headers = admin.get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        if not path.startswith("/static/style"):
            assert headers["cache-control"] == "no-store"


def _keys(site: Site):
    from noria.store import list_keys

    return list_keys(site.seeded.db)
