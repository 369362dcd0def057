"""Deploying: revisions, the gate, canaries, rollback, and what is cut off."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from noria.apps.serve.revisions import falls_to_canary, read_routes, unit_of
from noria.config import Config, Target, load
from noria.errors import ConfigError, NoriaError, StoreUnavailable
from noria.evals.decision import Decision
from noria.infra.deploying import deploy as deploying
from noria.infra.deploying.canary import begin_evidence, outlook
from noria.infra.deploying.deploy import Refused, deploy, destroy, promote, roll_back
from noria.infra.deploying.records import (
    decisions,
    find_deployment,
    find_revision,
    list_deployments,
    note_evaluation,
)
from noria.infra.deploying.release import to_toml
from noria.infra.deploying.revision import changes, revision_of
from noria.infra.deploying.wires import Reference
from noria.store import Database, open_database

APP = """
from noria import App

app = App("{name}", model="fake:small")


@app.chat
async def answer(question: str) -> str:
    return "{says}"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "noria.toml").write_text("[targets.there]\nkind = 'docker'\n")
    return tmp_path


@pytest.fixture
def config(folder: Path) -> Config:
    return load(folder / "noria.toml", environ={})


@pytest.fixture
def db(config: Config) -> Iterator[Database]:
    database = open_database(config)
    yield database
    database.close()


def write(folder: Path, says: str) -> Path:
    file = folder / "deployable.py"
    file.write_text(APP.format(name="deployable", says=says))
    return file


def evaluation(
    db: Database, folder: Path, revision: str, passed: list[bool], *, judge: bool = False
) -> None:
    """A stored evaluation, in the form in which `noria eval gate --save` leaves it."""
    to = folder / f"evaluation-{revision}"
    to.mkdir(exist_ok=True)
    who = "deployable.py"
    manifest = {"questions": "rows", "contestants": [who], "baseline": None, "repeats": 1,
                "judge": {"model": "j"} if judge else None, "checks": {"polite": "1"}}  # fmt: skip
    (to / "evaluation.json").write_bytes(orjson.dumps(manifest))
    lines = [
        {"question_id": f"row-{n}", "contestant": who, "repeat": 0, "category": "", "error": None,
         "questions": [f"q{n}"], "answers": ["a"], "ms": [1.0],
         "checks": [{"polite": "pass" if one else "fail"}]}
        for n, one in enumerate(passed)
    ]  # fmt: skip
    (to / "answers.jsonl").write_bytes(b"".join(orjson.dumps(one) + b"\n" for one in lines))
    note_evaluation(db, revision, str(to), who)


def test_a_revision_changes_with_what_decides_its_answers(
    folder: Path, config: Config, db: Database
) -> None:
    file = write(folder, "one")
    (folder / ".env").write_text("SECRET=1")
    (folder / "server.key").write_text("secret")
    first = revision_of(file, config, db)
    assert revision_of(file, config, db) == first
    assert set(first.parts["code"]) == {"deployable.py"}
    write(folder, "two")
    (folder / "requirements.txt").write_text("orjson==3.10.0  # fast\n")
    second = revision_of(file, config, db)
    assert {(one.part, one.piece) for one in changes(first, second)} >= {
        ("code", "deployable.py"), ("code", "requirements.txt"), ("pins", "orjson"),
    }  # fmt: skip
    routed = config.model_copy(update={"routing": config.routing.model_copy(update={"retries": 9})})
    told = changes(second, revision_of(file, routed, db))
    assert [(one.part, one.piece) for one in told] == [("configuration", "routing")]


def test_a_first_deployment_needs_no_evaluation_and_a_second_does(
    folder: Path, config: Config, db: Database
) -> None:
    first = deploy(config, db, write(folder, "one"), "local")
    assert read_routes(config.home)["deployable"].revision == first.revision.id
    deploy(config, db, write(folder, "one"), "local")  # the same again changes nothing
    file = write(folder, "two")
    with pytest.raises(Refused, match="never evaluated") as refused:
        deploy(config, db, file, "local")
    assert "noria eval gate" in str(refused.value)
    assert read_routes(config.home)["deployable"].revision == first.revision.id
    second = deploy(config, db, file, "local", unproven="a trial")
    assert find_deployment(db, "local", "deployable").previous == first.revision.id  # type: ignore[union-attr]
    log = decisions(db, "local", "deployable")
    assert [(one.action, one.outcome) for one in log] == [
        ("deploy", "done"), ("deploy", "refused"), ("deploy", "done"), ("deploy", "done"),
    ]  # fmt: skip
    roll_back(config, db, "deployable", "local")
    assert read_routes(config.home)["deployable"].revision == first.revision.id
    assert find_revision(db, second.revision.id[:6]).digest == second.revision.digest
    destroy(config, db, "deployable", "local")
    assert "deployable" not in read_routes(config.home)


def test_a_regression_is_refused_with_check_and_rows(
    folder: Path, config: Config, db: Database
) -> None:
    first = deploy(config, db, write(folder, "one"), "local").revision
    evaluation(db, folder, first.id, [True] * 20)
    file = write(folder, "two")
    second = revision_of(file, config, db)
    evaluation(db, folder, second.id, [True] * 8 + [False] * 12)
    with pytest.raises(Refused) as refused:
        # No reason helps against evidence.
        deploy(config, db, file, "local", unproven="we hope")
    assert "polite passed 20 of 20 rows before and 8 of 20 now" in str(refused.value)
    assert "row-8" in str(refused.value)
    evaluation(db, folder, second.id, [True] * 20)
    deploy(config, db, file, "local")


def test_a_judge_that_is_down_proves_nothing(folder: Path, config: Config, db: Database) -> None:
    first = deploy(config, db, write(folder, "one"), "local").revision
    evaluation(db, folder, first.id, [True] * 20)
    file = write(folder, "two")
    evaluation(db, folder, revision_of(file, config, db).id, [True] * 20, judge=True)
    with pytest.raises(Refused, match="judge has not looked at 20 answers"):
        deploy(config, db, file, "local")


def test_rolling_back_ends_a_canary_that_runs(folder: Path, config: Config, db: Database) -> None:
    first = deploy(config, db, write(folder, "one"), "local").revision
    file = write(folder, "two")
    second = deploy(config, db, file, "local", canary=0.05, unproven="a trial").revision
    routed = read_routes(config.home)["deployable"]
    assert (routed.revision, routed.canary, routed.share) == (first.id, second.id, 0.05)
    with pytest.raises(NoriaError, match="still runs"):
        deploy(config, db, write(folder, "three"), "local", unproven="x")
    roll_back(config, db, "deployable", "local")
    assert read_routes(config.home)["deployable"].canary is None
    deploy(config, db, write(folder, "two"), "local", canary=0.05, unproven="again")
    promote(config, db, "deployable", "local")
    assert read_routes(config.home)["deployable"].revision == second.id


def test_a_canary_elsewhere_is_refused(folder: Path, config: Config, db: Database) -> None:
    with pytest.raises(NoriaError, match="cannot send it a share"):
        deploy(config, db, write(folder, "one"), "there", canary=0.1)


@pytest.mark.parametrize("worse", [True, False])
def test_the_evidence_decides_by_itself(
    worse: bool, folder: Path, config: Config, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = deploy(config, db, write(folder, "one"), "local").revision
    second = deploy(
        config, db, write(folder, "two"), "local", canary=0.5, unproven="a trial"
    ).revision
    answers = iter(range(100_000))

    def seen(*_: Any) -> Iterator[tuple[str, str, int, str, str, float]]:
        for number in (next(answers) for _ in range(4000)):
            canary = falls_to_canary(f"u{number}", second.id, 0.5)
            value = 0.0 if canary and worse and number % 3 == 0 else 1.0
            for name in ("errors", "latency", "cost"):
                yield (name, f"s{number}", 1 << 62, second.id if canary else first.id,
                       f"u{number}", value if name == "errors" else 0.5)  # fmt: skip

    monkeypatch.setattr("noria.infra.deploying.canary._observations", seen)
    deploying.look_at_canaries(config, db)
    known = find_deployment(db, "local", "deployable")
    assert known is not None
    assert known.canary is None
    assert known.revision == (first.id if worse else second.id)
    last = decisions(db, "local", "deployable")[0]
    assert (last.action, last.actor) == ("rollback" if worse else "promote", "noria")
    assert last.figures["errors"]["observations"]["canary"] > 1000
    assert read_routes(config.home)["deployable"].revision == known.revision


def test_nothing_observed_decides_nothing(db: Database) -> None:
    said = outlook(begin_evidence(db, "deployable", ["polite"], 0.05))
    assert said.action is None
    assert set(said.figures) == {"errors", "latency", "cost", "votes", "check polite"}
    assert Decision.from_json(begin_evidence(db, "a", [], 0.05)["measures"]["cost"]).measures == 4


def test_a_conversation_keeps_to_one_side_and_shares_are_kept() -> None:
    messages = [{"role": "user", "content": "hello"}]
    longer = [*messages, {"role": "assistant", "content": "x"}, {"role": "user", "content": "y"}]
    units = [
        unit_of("k", trace, None, orjson.dumps({"messages": one}))
        for trace, one in (("t1", messages), ("t2", longer))
    ]
    assert units[0] == units[1]
    assert unit_of("k", "t", "c", b"") != unit_of("other", "t", "c", b"")
    drawn = sum(falls_to_canary(f"{n}", "canary", 0.05) for n in range(20_000))
    assert 850 < drawn < 1150


def test_a_database_that_goes_away_in_the_middle_loses_nothing(
    folder: Path, config: Config, db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = write(folder, "one")
    true = deploying.decide

    def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("The database cannot be reached.")

    monkeypatch.setattr(deploying, "decide", away)
    with pytest.raises(StoreUnavailable, match="could not be noted"):
        deploy(config, db, file, "local")
    known = find_deployment(db, "local", "deployable")
    assert known is not None
    assert (known.state, known.pending is not None) == ("deploying", True)
    monkeypatch.setattr(deploying, "decide", true)
    done = deploy(config, db, file, "local")
    assert [one.revision for one in list_deployments(db)] == [done.revision.id]


def test_a_target_that_is_half_there_is_made_whole(
    folder: Path, config: Config, db: Database
) -> None:
    file = write(folder, "one")
    done = deploy(config, db, file, "local")
    (done.folder / "deployable.py").unlink()
    done.folder.with_suffix(".new").mkdir()
    deploy(config, db, file, "local")
    assert (done.folder / "deployable.py").exists()
    assert not done.folder.with_suffix(".new").exists()


@pytest.mark.parametrize(
    "text", ["hunter2", "env:", "env:1X", "file:relative", "vault:x", "k8s:a/b"]
)
def test_what_is_no_reference_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ConfigError) as refused:
        Reference.parse(text, "targets.x: KEY")
    assert "hunter2" not in str(refused.value)
    assert "targets.x: KEY" in str(refused.value)


def test_toml_reads_back() -> None:
    import tomllib

    table = {"a": 1, "t": {"x.y": {"z": ['q"\n', "ü"], "b": True, "f": 0.5}, "e": {}}}
    assert tomllib.loads(to_toml(table)) == table


def test_targets_have_kinds() -> None:
    with pytest.raises(ValueError, match="over max_replicas"):
        Target(min_replicas=3, max_replicas=2)
    assert os.environ.get("NORIA_REVISION") is None
