"""Static files: few bytes, kept by the browser, and what is vendored is what it says."""

from __future__ import annotations

import hashlib
import re

import httpx2

from noria.web.assets import STATIC
from tests.web.conftest import Site


def test_static_files_are_light() -> None:
    assert sum(path.stat().st_size for path in STATIC.rglob("*") if path.is_file()) < 300_000


def test_vendored_files_have_their_digest() -> None:
    rows = re.findall(
        r"`([\w.]+\.js)`.*`([0-9a-f]{64})`", (STATIC / "vendor/VENDORED.md").read_text()
    )
    assert {name for name, _ in rows} == {path.name for path in (STATIC / "vendor").glob("*.js")}
    for name, digest in rows:
        assert hashlib.sha256((STATIC / "vendor" / name).read_bytes()).hexdigest() == digest


def test_a_named_version_is_kept_for_ever(site: Site) -> None:
    page = httpx2.get(f"{site.url}/signin").text
    address = re.findall(r'href="(/static/style\.css\?v=\w+)"', page)[0]
    answer = httpx2.get(site.url + address)
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
    assert answer.headers["content-encoding"] == "gzip"
    plain = httpx2.get(f"{site.url}/static/style.css")
    assert plain.headers["cache-control"] == "no-cache"
    again = {"If-None-Match": plain.headers["etag"]}
    assert httpx2.get(f"{site.url}/static/style.css", headers=again).status_code == 304
    assert httpx2.get(f"{site.url}/static/../app.py").status_code in (303, 404)
    assert httpx2.get(f"{site.url}/static/vendor/VENDORED.md").status_code == 404
