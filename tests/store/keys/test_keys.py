from __future__ import annotations

import re

import pytest
from sqlalchemy import text

from noria.errors import NoriaError, NotFound
from noria.store import (
    Database,
    create_key,
    digest,
    end_session,
    find_key,
    find_key_by_id,
    find_session,
    list_keys,
    new_link,
    redeem_link,
    revoke_key,
    sign_in,
)
from noria.types import Budget, Label


def test_a_key_is_found_by_its_secret(db: Database) -> None:
    key, secret = create_key(
        db,
        team="search",
        user="ada",
        budget=Budget.parse("5 USD/day"),
        models=["a", "b"],
        rpm=10,
        tpm=1000,
        concurrency=3,
        groups={"staff", "law"},
        clearance=Label.CONFIDENTIAL,
        record_content=False,
        name="laptop",
    )
    assert re.fullmatch(r"noria-[\w-]{43}", secret)
    found = find_key(db, digest(secret))
    assert found == key == find_key_by_id(db, key.id)
    assert found.models == ("a", "b")
    assert found.budget == Budget.parse("5 USD/day")
    assert (found.rpm, found.tpm, found.concurrency) == (10, 1000, 3)
    assert secret.endswith(found.hint)
    assert found.principal.groups == {"staff", "law"}
    assert found.principal.clearance is Label.CONFIDENTIAL
    assert not found.record_content
    assert find_key(db, digest(secret + "x")) is None


def test_a_plain_key_may_use_everything(db: Database) -> None:
    key, _ = create_key(db)
    assert (key.models, key.rpm, key.budget, key.team, key.admin) == (None,) * 4 + (False,)
    assert key.record_content


def test_no_models_is_not_all_models(db: Database) -> None:
    assert create_key(db, models=[])[0].models == ()


def test_the_secret_is_not_stored(db: Database) -> None:
    _, secret = create_key(db)
    with db.read() as connection:
        row = connection.execute(text("SELECT * FROM keys")).one()
    assert secret not in repr(row)
    assert secret.encode() not in bytes(row.digest)


def test_a_given_secret_is_used_once(db: Database) -> None:
    key, secret = create_key(db, admin=True, secret="x" * 20)
    assert secret == "x" * 20
    assert key.admin
    with pytest.raises(NoriaError, match="already"):
        create_key(db, secret="x" * 20)


def test_serials_rise(db: Database) -> None:
    made = [create_key(db)[0].serial for _ in range(3)]
    assert made == sorted(set(made))
    assert [key.serial for key in list_keys(db)] == made


def test_a_revoked_key_says_when(db: Database) -> None:
    key, secret = create_key(db)
    revoked = revoke_key(db, key.id)
    assert revoked.revoked_ns is not None
    assert find_key(db, digest(secret)) == revoked == revoke_key(db, key.id)


def test_a_missing_key_names_the_near_ones(db: Database) -> None:
    key, _ = create_key(db)
    with pytest.raises(NotFound) as missing:
        revoke_key(db, key.id[:-1] + "x")
    assert key.id in str(missing.value)


def test_a_link_works_once(db: Database) -> None:
    key, _ = create_key(db)
    token = new_link(db, key.id)
    session = redeem_link(db, token)
    assert session is not None
    assert redeem_link(db, token) is None
    assert find_session(db, session) == key


def test_a_link_expires(db: Database) -> None:
    key, _ = create_key(db)
    assert redeem_link(db, new_link(db, key.id, ttl_s=-1)) is None


def test_a_session_ends(db: Database) -> None:
    key, _ = create_key(db)
    session, other = sign_in(db, key.id), sign_in(db, key.id)
    end_session(db, session)
    assert find_session(db, session) is None
    assert find_session(db, other) == key
    revoke_key(db, key.id)
    assert find_session(db, other) is None
