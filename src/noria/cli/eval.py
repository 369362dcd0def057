"""`noria eval`: is the new one better than the one we run?"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from noria.cli._io import options
from noria.cli._io.output import AsJson, emit, note, table
from noria.errors import ApiError, ConfigError, NoriaError

if TYPE_CHECKING:
    from noria.apps.run.standalone import OpenHome
    from noria.config import Config
    from noria.evals.evaluation.folder import Folder
    from noria.evals.evaluation.report import Report
    from noria.evals.evaluation.running import Plan
    from noria.store import Key
    from noria.types import Budget

__all__ = ["app", "with_home"]

app = typer.Typer(help="Compare models and applications on questions.", no_args_is_help=True)
T = TypeVar("T")
_SHOWN = 20
"""Of the looks that failed."""


@app.command()
def run(
    questions: Annotated[
        str,
        typer.Argument(help="JSON lines in MT-bench's form; `shipped` for the set of noria."),
    ],
    contestants: Annotated[
        str, typer.Option(help="Who answers, with commas: local:smollm2,app.py:support@cheap")
    ],
    out: Annotated[Path, typer.Option(help="The folder of the evaluation.")],
    judge: Annotated[str | None, typer.Option(help="The model that judges.")] = None,
    baseline: Annotated[
        str | None, typer.Option(help="The contestant that the others are compared with.")
    ] = None,
    criteria: Annotated[
        str | None, typer.Option(help="What is judged by, with commas: factual,depth,...")
    ] = None,
    references: Annotated[
        Path | None, typer.Option(help="Right answers, in MT-bench's form.")
    ] = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often each question is asked.")] = 1,
    sample: Annotated[
        int | None, typer.Option(min=1, help="Ask only so many questions, of every category.")
    ] = None,
    max_tokens: Annotated[int | None, typer.Option(min=1, help="Of a model's answer.")] = None,
    temperature: Annotated[
        float | None, typer.Option(min=0, help="Of the judge; its model's own unless you say.")
    ] = None,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Calls at a time.")] = 8,
    budget: Annotated[
        str | None, typer.Option(help='The most that it may cost, such as "5 USD".')
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before it begins.")] = False,
    as_json: AsJson = False,
) -> None:
    """Have contestants answer a question set, and a judge look at the answers.

    Nothing is asked twice: run it again to go on where it was stopped.
    """
    from noria.evals.evaluation.contestants import contestant_of
    from noria.evals.evaluation.folder import Folder
    from noria.evals.evaluation.report import report_of
    from noria.evals.evaluation.results import read_results
    from noria.evals.evaluation.running import Plan, evaluate, write_costs
    from noria.evals.judge import Judge
    from noria.evals.questions import read_questions, shipped_questions

    names = options.names(contestants)
    if baseline is not None and baseline not in names:
        raise typer.BadParameter("it must be one of the contestants", param_hint="--baseline")
    shipped = questions == "shipped"
    asked = shipped_questions() if shipped else read_questions(Path(questions), references)
    asker = None
    if judge is not None:
        asker = Judge(
            judge, criteria=options.names(criteria) or Judge(judge).criteria,
            temperature=temperature,
        )  # fmt: skip
    plan = Plan(
        asked.sample(sample) if sample else asked,
        [contestant_of(name, max_tokens=max_tokens) for name in names],
        asker, baseline, repeats, concurrency, max_tokens,
    )  # fmt: skip

    Folder.begun(out, plan.manifest())

    async def work(opened: OpenHome, key: Key, progress: Any) -> None:
        outcome = await evaluate(plan, out, gateway=opened.gateway, key=key, progress=progress)
        await write_costs(outcome.folder, opened.db, _take_in(opened))
        _register(opened, outcome.folder)
        _note_revision(opened, outcome.folder, names)
        unjudged.extend(outcome.failed_looks)

    unjudged: list[str] = []
    with_home(
        work,
        options.budget(budget),
        f"evaluation {out.name}",
        before=lambda opened: _announce(plan, opened, yes),
    )
    report = report_of(read_results(Folder.open(out)))
    if as_json:
        emit(report.as_json())
    else:
        _show(report)
        note(f"The evaluation is in {out}. Read it again: noria eval report {out}")
    if unjudged:
        note(f"{len(unjudged)} looks of the judge failed. Run it again to try them again:")
        for one in unjudged[:_SHOWN]:
            note(f"  {one}")
        if len(unjudged) > _SHOWN:
            note(f"  and {len(unjudged) - _SHOWN} more")
        raise typer.Exit(1)


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(help="The folder of an evaluation.")],
    against: Annotated[
        Path | None, typer.Option(help="Another evaluation of the same questions.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Say how good each contestant is, and which differences are beyond noise."""
    from noria.evals.evaluation.folder import Folder
    from noria.evals.evaluation.report import report_of
    from noria.evals.evaluation.results import read_results

    other = None if against is None else read_results(Folder.open(against))
    made = report_of(read_results(Folder.open(folder)), other)
    if as_json:
        emit(made.as_json())
    else:
        _show(made)


@app.command()
def gate(
    contestant: Annotated[
        str, typer.Argument(help="The application: app.py, or app.py:NAME.FUNCTION@VARIANT.")
    ],
    data: Annotated[Path, typer.Option(help="The golden set: rows of arguments, JSON lines.")],
    against: Annotated[
        str | None, typer.Option(help="A stored evaluation that must not be fallen behind.")
    ] = None,
    save: Annotated[str | None, typer.Option(help="Store this evaluation under a name.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="How often each row is run.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, max=256, help="Rows at a time.")] = 8,
    budget: Annotated[str | None, typer.Option(help='The most that it may cost: "5 USD".')] = None,
    as_json: AsJson = False,
) -> None:
    """Run a golden set with all checks; exit with 1 on a regression beyond noise."""
    import tempfile

    from noria.config import load
    from noria.evals.evaluation.contestants import contestant_of
    from noria.evals.evaluation.folder import Folder
    from noria.evals.evaluation.golden import answer_rows, read_rows
    from noria.evals.evaluation.regressions import differing, missing, regressions
    from noria.evals.evaluation.results import read_results

    config = load()
    earlier = None
    if against is not None:
        # Read first: `--save` may replace it.
        earlier = read_results(Folder.open(_stored(config, against)))
    rows = read_rows(data)
    who = contestant_of(contestant)
    kept = _folder(config, save) if save else None
    if kept is not None:
        kept.parent.mkdir(parents=True, exist_ok=True)
    # Always asked anew, beside what is stored: that is replaced once all of it is there.
    with tempfile.TemporaryDirectory(dir=kept.parent if kept else None, prefix=".") as scratch:
        folder = Folder.begin(
            Path(scratch) / "gate",
            {
                "questions": data.name, "questions_digest": Folder.digest(data),
                "contestants": [who.name], "baseline": None, "judge": None, "repeats": repeats,
                "checks": dict(who.check_digests()),
            },
        )  # fmt: skip

        async def work(opened: OpenHome, key: Key, progress: Any) -> None:
            nonlocal folder
            done = 0

            def one_more() -> None:
                nonlocal done
                done += 1
                progress("run", done, len(rows) * repeats)

            await answer_rows(
                folder, rows, who, gateway=opened.gateway, key=key, repeats=repeats,
                concurrency=concurrency, progress=one_more,
            )  # fmt: skip
            if kept is not None:
                folder = folder.move(kept)
                _register(opened, folder)
                _note_revision(opened, folder, [contestant])

        with_home(work, options.budget(budget), f"gate {data.name}", again="run it again")
        now = read_results(folder)
    before = earlier.contestants[0] if earlier else ""
    found, notes = [], []
    if earlier is not None:
        found = regressions(earlier, before, now, who.name)
        notes = differing(earlier, now)
    lost = missing(earlier, before, now, who.name)
    lines = {row.id: row.line for row in rows}
    _tell_gate(now.checks[who.name], found, lost, notes, lines, data, as_json=as_json)
    if lost or any(one.beyond_noise for one in found):
        raise typer.Exit(1)


def with_home(
    work: Callable[[OpenHome, Key, Any], Awaitable[None]],
    budget: Budget | None,
    name: str,
    before: Callable[[OpenHome], None] = lambda opened: None,
    again: str = "What was answered is kept; run it again to go on",
) -> None:
    """Do the work with the home open, on behalf of the caller, within a budget."""
    from noria.apps.run.standalone import close, open_plainly
    from noria.cli._io.progress import watched
    from noria.evals.evaluation.running import spending

    try:
        opened = open_plainly()
        before(opened)
        key = opened.context().trace.key
        with spending(opened.db, key, budget, name) as payer, watched(name) as progress:
            asyncio.run(work(opened, payer, progress))  # type: ignore[arg-type]
    except KeyboardInterrupt:
        note(f"Stopped. {again[0].upper()}{again[1:]}.")
        raise typer.Exit(130) from None
    except ApiError as refusal:
        if refusal.code != "budget_exhausted":
            raise
        raise NoriaError(
            f"The budget is spent: {refusal.message}",
            "What was answered is kept; go on with a higher --budget.",
        ) from None
    finally:
        close()


def _announce(plan: Plan, opened: OpenHome, yes: bool) -> None:
    """Say what it will come to, and ask where it costs something."""
    from noria.evals.evaluation.running import estimate
    from noria.types import Money

    told = estimate(plan, opened.gateway)
    judged = f" and {told.judgements:,} looks of the judge" if told.judgements else ""
    note(f"{told.answers:,} answers{judged}, about {Money(told.nano)}.")
    if told.unpriced:
        note(f"Without a known price, and not in that sum: {', '.join(told.unpriced)}.")
    if told.nano and not yes:
        typer.confirm("Begin?", abort=True, err=True)


def _register(opened: OpenHome, folder: Folder) -> None:
    """Put the evaluation on the list that the pages show."""
    from noria.evals.evaluation.registry import register
    from noria.evals.evaluation.report import report_of
    from noria.evals.evaluation.results import read_results

    register(opened.db, folder, report_of(read_results(folder)))


def _note_revision(opened: OpenHome, folder: Folder, contestants: list[str]) -> None:
    """Note which revisions of applications' files were asked: their deployment asks for it."""
    from noria.infra.deploying.records import note_evaluation, remember
    from noria.infra.deploying.revision import revision_of

    for name in contestants:
        path, found, _ = name.partition(".py")
        if not found or "@" in name:
            continue  # a model, or a variant, which is not what is deployed
        revision = revision_of(Path(f"{path}.py"), opened.gateway.config, opened.db)
        remember(opened.db, revision)
        note_evaluation(opened.db, revision.id, str(folder.path.resolve()), name)


def _take_in(opened: OpenHome) -> Callable[[], int]:
    from noria.models import assemble
    from noria.store import take_in

    return lambda: take_in(opened.db, assemble)


def _stored(config: Config, name: str) -> Path:
    """The folder of a stored evaluation, by its name or as a path."""
    return Path(name) if Path(name).is_dir() else _folder(config, name)


def _folder(config: Config, name: str) -> Path:
    if not name or name != Path(name).name or name.startswith("."):
        raise ConfigError(f"{name!r} cannot be the name of a stored evaluation.")
    return config.home / "evaluations" / name


def _show(report: Report) -> None:
    from noria.types import Money

    judged = any(line.score for line in report.lines)
    checks = sorted({name for line in report.lines for name in line.checks})
    columns = ["contestant", ">answers", ">failed"]
    columns += [">score", ">95 %"] if judged else []
    columns += [f">of {report.baseline}", ">95 %"] if report.baseline and judged else []
    columns += [f">{name}" for name in checks] + [">ms", ">cost"]
    rows = []
    for line in report.lines:
        row = [line.contestant, str(line.answered), str(line.failed)]
        if judged:
            row += _pair(line.score, 2)
        if report.baseline and judged:
            row += _pair(line.relative, 1)
        row += [str(line.checks.get(name, "")) for name in checks]
        row.append("" if line.ms is None else f"{line.ms:,.0f}")
        row.append("" if line.cost_nano is None else str(Money(round(line.cost_nano))))
        rows.append(row)
    table(columns, rows, empty="Nothing was answered.")
    for one in report.differences:
        sure = "beyond noise" if one.beyond_noise else "within noise"
        more = (
            ""
            if one.needed is None
            else (f"; {one.needed:,} questions would show the least of it (power 80 %)")
        )
        note(
            f"{one.one} against {one.other}, {one.measure}: {one.difference.value:+.3g} "
            f"[{one.difference.lower:+.3g}, {one.difference.upper:+.3g}], p = {one.corrected:.3g}, "
            f"{one.questions} questions: {sure}{more}."
        )
    for text in report.notes:
        note(text)


def _pair(interval: Any, digits: int) -> list[str]:
    if interval is None:
        return ["", ""]
    return [
        f"{interval.value:.{digits}f}",
        f"{interval.lower:.{digits}f} to {interval.upper:.{digits}f}",
    ]


def _tell_gate(
    checks: Any,
    found: Any,
    lost: Any,
    notes: list[str],
    lines: dict[str, int],
    data: Path,
    *,
    as_json: bool,
) -> None:
    if as_json:
        emit(
            {
                "passed": not lost and not any(one.beyond_noise for one in found),
                "checks": {
                    name: {"passed": _whole(sum(rows.values())), "rows": len(rows)}
                    for name, rows in checks.items()
                },
                "missing": [{"check": one.check, "why": one.why} for one in lost],
                "regressions": [
                    {
                        "check": one.check, "before": _whole(one.before[0]),
                        "now": _whole(one.now[0]), "of": one.now[1], "p_value": one.p_value,
                        "corrected": one.corrected, "beyond_noise": one.beyond_noise,
                        "rows": [{"id": row, "line": lines.get(row)} for row in one.rows],
                    }
                    for one in found
                ],
                "notes": notes,
            }
        )  # fmt: skip
        return
    table(
        ["check", ">passed", ">rows"],
        ((name, f"{sum(rows.values()):.4g}", str(len(rows))) for name, rows in checks.items()),
        empty="Nothing was checked.",
    )
    for text in notes:
        note(text)
    for one in lost:
        note(f"MISSING: {one.check} {one.why}.")
    for one in found:
        sure = "REGRESSION" if one.beyond_noise else "within noise"
        note(
            f"{sure}: {one.check} passed {one.before[0]:.4g} of {one.before[1]} before and "
            f"{one.now[0]:.4g} now (p = {one.corrected:.3g}, corrected for all checks). It fell on:"
        )
        for row in one.rows:
            note(f"  {data}, line {lines.get(row, '?')} ({row})")


def _whole(passed: float) -> float:
    """A count of passes, as a whole number where it is one: without repeats."""
    return int(passed) if passed == int(passed) else passed
