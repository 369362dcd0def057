"""Making rows: out of exports, out of other rows, and by a model."""

from __future__ import annotations

import enum
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from noria.cli._io import options
from noria.cli._io.home import open_home
from noria.cli._io.output import AsJson, emit, note, table
from noria.cli._io.progress import watched
from noria.cli.datasets.source import Rows, open_rows

if TYPE_CHECKING:
    from noria.datasets import Row
    from noria.datasets.cleaning import Options, Report

__all__ = ["clean", "dedupe", "import_", "instruct", "split"]


class Personal(enum.StrEnum):
    """What becomes of secrets and personal data."""

    MASK = "mask"
    DROP = "drop"
    KEEP = "keep"


Lang = Annotated[str | None, typer.Option(help="Only conversations in this language: en, de, ...")]
MaxTokens = Annotated[
    int | None, typer.Option(min=16, help="Split what is longer, between exchanges.")
]
Tokenizer = Annotated[
    str | None,
    typer.Option(metavar="M", help="Whose tokens: local:smollm2, a GGUF file, a tokenizer.json."),
]
PersonalData = Annotated[
    Personal, typer.Option("--personal", help="Secrets and personal data: placeholder or drop.")
]
Keep = Annotated[
    str | None,
    typer.Option(help="Filters to switch off, with commas: refusal,identity,truncated,..."),
]
Form = Annotated[
    str | None, typer.Option(help="The form of the input, where it is not to be recognised.")
]
LabelOf = Annotated[str, typer.Option("--label", help="The label of rows that have none.")]
Owner = Annotated[str | None, typer.Option(help="Whose conversations they are.")]
Licence = Annotated[str | None, typer.Option(help="Their licence.")]
Consent = Annotated[
    str | None, typer.Option(metavar="yes|no", help="Whether their owner lets models learn.")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Processes; by default one a core.")]


def clean(
    source: Annotated[Path, typer.Argument(metavar="IN", help="An export: file, zip or folder.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The file of rows to write.")],
    lang: Lang = None,
    max_tokens: MaxTokens = None,
    tokenizer: Tokenizer = None,
    report: Annotated[Path | None, typer.Option(help="Write the report there, as JSON.")] = None,
    personal: PersonalData = Personal.MASK,
    keep: Keep = None,
    form: Form = None,
    label: LabelOf = "public",
    owner: Owner = None,
    licence: Licence = None,
    consent: Consent = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Clean an export of conversations into a file of rows, with a reason for every lost turn.

    Run the same command again to go on where it was stopped.
    """
    chosen = _options(
        lang, max_tokens, tokenizer, personal, keep, form, label, owner, licence, consent
    )
    done = _clean(source, out, chosen, workers)
    _tell(done, report, as_json)
    if not as_json:
        note(f"{done.conversations_out:,} rows are in {out}.")


def import_(
    name: Annotated[str, typer.Argument(help="The name of the set.")],
    source: Annotated[Path, typer.Argument(metavar="IN", help="An export: file, zip or folder.")],
    lang: Lang = None,
    max_tokens: MaxTokens = None,
    tokenizer: Tokenizer = None,
    personal: PersonalData = Personal.MASK,
    keep: Keep = None,
    form: Form = None,
    label: LabelOf = "public",
    owner: Owner = None,
    licence: Licence = None,
    consent: Consent = None,
    workers: Workers = None,
    as_json: AsJson = False,
) -> None:
    """Clean an export and keep it as a set of this home, with each row's language."""
    from dataclasses import replace

    from noria.datasets import Dataset, read_rows

    chosen = _options(
        lang, max_tokens, tokenizer, personal, keep, form, label, owner, licence, consent
    )
    with open_home() as home:
        folder = home.config.home / "datasets"
        folder.mkdir(mode=0o700, exist_ok=True)
        rows = folder / f".import-{Path(name).name}.jsonl"
        done = _clean(source, rows, replace(chosen, annotate=True), workers)
        try:
            made = Dataset.create(
                home.db, name, read_rows(rows), parents=[source.name],
                report={"cleaning": done.as_json(), "options": chosen.as_json()},
            )  # fmt: skip
        finally:
            rows.unlink(missing_ok=True)
    if as_json:
        emit(made.as_json())
        return
    _tell(done, None, as_json=False)
    note(f"{made.count:,} rows are the set {made.reference}. Look at them: noria data show {name}")


def dedupe(
    source: Annotated[str, typer.Argument(metavar="SET", help="A set, or a file of rows.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Write a file instead of the next version.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(min=0.3, max=1.0, help="The least similarity of duplicates.")
    ] = 0.8,
    other: Annotated[
        list[str] | None, typer.Option(help="Leave out what is near a row of this set or file.")
    ] = None,
    against: Annotated[
        list[str] | None,
        typer.Option(help="Leave out what an evaluation asks: questions, rows, or `shipped`."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Leave out near duplicates within a set, across sets, and of questions of evaluations."""
    from noria.datasets.duplicates import dedupe as near

    with open_rows(source) as rows:
        kept, told = near(
            rows.read, threshold=threshold, others=_rows_of(other or []),
            questions=_questions(against or []),
        )  # fmt: skip
        made = _keep(rows, kept, out, {"dedupe": told.as_json()})
    if as_json:
        emit({**told.as_json(), "out": made})
    else:
        note(f"{told.rows_out:,} of {told.rows_in:,} rows are in {made}.")
        for reason, turns in told.dropped.items():
            note(f"  {reason}: {turns:,} turns")


def split(
    source: Annotated[str, typer.Argument(metavar="SET", help="A set, or a file of rows.")],
    share: Annotated[
        float, typer.Option("--eval-share", min=0.0, max=0.9, help="To hold out.")
    ] = 0.1,
    seed: Annotated[int, typer.Option(help="Another one holds out other rows.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="A folder for train.jsonl and eval.jsonl.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Split off rows for evaluation: whole conversations, near duplicates on one side."""
    from noria.datasets import Dataset, write_rows
    from noria.datasets.parts import split_rows

    with open_rows(source) as rows, open_home() as home:
        both = dict(zip(("train", "eval"), split_rows(rows.read, share, seed=seed), strict=True))
        made = {}
        for part, some in both.items():
            if out is not None or rows.dataset is None:
                folder = out or Path()
                folder.mkdir(parents=True, exist_ok=True)
                count = write_rows(folder / f"{part}.jsonl", some)
                made[part] = {"out": str(folder / f"{part}.jsonl"), "rows": count}
            else:
                name = f"{rows.dataset.name}-{part}"
                fresh = Dataset.create(
                    home.db, name, some, parents=[rows.name],
                    report={"split": {"share": share, "seed": seed}},
                )  # fmt: skip
                made[part] = {"out": fresh.reference, "rows": fresh.count}
    if as_json:
        emit(made)
    else:
        for part, told in made.items():
            note(f"{part}: {told['rows']:,} rows in {told['out']}.")


def instruct(
    seeds: Annotated[Path, typer.Option(help="Tasks that people wrote, as JSON lines.")],
    model: Annotated[str, typer.Option(help="The model that makes tasks and answers.")],
    wanted: Annotated[int, typer.Option("-n", min=1, help="How many instructions.")] = 100,
    out: Annotated[Path, typer.Option("--out", "-o", help="The file of rows.")] = Path(
        "instructions.jsonl"
    ),
    seed: Annotated[int, typer.Option(help="Another one draws other lots.")] = 0,
    label: LabelOf = "public",
    budget: Annotated[str | None, typer.Option(help='The most it may cost: "5 USD".')] = None,
    as_json: AsJson = False,
) -> None:
    """Have a model make instructions and answers out of seeds (self-instruct).

    Run the same command again to go on where it was stopped.
    """
    from noria.cli.eval import with_home
    from noria.datasets.instruct import Instructing, read_seeds
    from noria.datasets.instruct import instruct as make
    from noria.evals.evaluation.answering import patiently
    from noria.gateway.local_client import complete
    from noria.models.completion import Completion
    from noria.models.endpoint import Endpoint
    from noria.tracing import CallContext, Trace

    plan = Instructing(read_seeds(seeds), wanted, model, seed, str(options.label(label)))
    if model.startswith("local:"):
        note(f"{model} is a small model: expect weak tasks, of which the filters leave few.")
    told: dict[str, Any] = {}

    async def work(opened: Any, key: Any, progress: Any) -> None:
        async def ask(prompt: str, most: int) -> str:
            fields = {
                "model": model, "messages": [{"role": "user", "content": prompt}],
                "max_tokens": most, "temperature": 0.7, "seed": seed,
            }  # fmt: skip

            async def once() -> str:
                context = CallContext(opened.gateway, Trace(key))
                return Completion.of(await complete(context, Endpoint.CHAT, fields)).text

            said: str = await patiently(once)
            return said

        told.update(await make(plan, out, ask, progress))

    with_home(work, options.budget(budget), f"instruct {out.name}")
    if as_json:
        emit(told)
        return
    note(f"{told['rows']:,} rows are in {out}, after {told['prompts']:,} prompts.")
    for reason, tasks in told["dropped"].items():
        note(f"  left out, {reason}: {tasks:,}")


def _options(
    lang: str | None,
    max_tokens: int | None,
    tokenizer: str | None,
    personal: Personal,
    keep: str | None,
    form: str | None,
    label: str,
    owner: str | None,
    licence: str | None,
    consent: str | None,
) -> Options:
    from noria.datasets.cleaning import Options
    from noria.datasets.cleaning.options import FILTERS
    from noria.datasets.readers import FORMS

    off = tuple(options.names(keep))
    for name in off:
        if name not in FILTERS:
            raise typer.BadParameter(
                f"{name!r} is not one of {', '.join(FILTERS)}", param_hint="--keep"
            )
    if form is not None and form not in FORMS:
        raise typer.BadParameter(f"{form!r} is not one of {', '.join(FORMS)}", param_hint="--form")
    if consent not in (None, "yes", "no"):
        raise typer.BadParameter("it is yes or no", param_hint="--consent")
    if tokenizer is not None and max_tokens is None:
        raise typer.BadParameter("it goes with --max-tokens", param_hint="--tokenizer")
    named = str(options.label(label))
    return Options(
        lang.lower() if lang else None, max_tokens, tokenizer, personal.value, off, form, named,
        owner, licence, consent,
    )  # fmt: skip


def _clean(source: Path, out: Path, chosen: Options, workers: int | None) -> Report:
    from noria.datasets.cleaning import clean_file

    try:
        with watched(source.name) as progress:
            return clean_file(source, out, chosen, workers=workers, progress=progress)
    except KeyboardInterrupt:
        note("Stopped. What is done is kept: run the same command again to go on.")
        raise typer.Exit(130) from None


def _tell(done: Report, report: Path | None, as_json: bool) -> None:
    import orjson

    if report is not None:
        report.write_bytes(orjson.dumps(done.as_json(), option=orjson.OPT_INDENT_2) + b"\n")
    if as_json:
        emit(done.as_json())
        return
    note(
        f"{done.turns_in:,} turns of {done.conversations_in:,} conversations: {done.turns_out:,} "
        f"kept, {done.dropped.total():,} dropped."
    )
    if done.dropped:
        table(
            ["reason", ">turns"],
            ((reason, f"{turns:,}") for reason, turns in done.dropped.most_common()),
            empty="",
        )
    for fault in done.faults[:5]:
        note(f"  {fault['source']}: {fault['reason']}")


def _keep(rows: Rows, kept: Iterable[Row], out: Path | None, report: dict[str, Any]) -> str:
    """Write rows to a file, or as the next version of the set that they came from."""
    from noria.datasets import Dataset, write_rows

    if out is None and rows.dataset is None:
        raise typer.BadParameter("a file of rows needs it", param_hint="--out")
    if out is not None:
        write_rows(out, kept)
        return str(out)
    assert rows.dataset is not None
    with open_home() as home:
        made = Dataset.create(home.db, rows.dataset.name, kept, parents=[rows.name], report=report)
    return made.reference


def _rows_of(names: list[str]) -> Iterable[Row]:
    for name in names:
        with open_rows(name) as rows:
            yield from rows.read()


def _questions(names: list[str]) -> Iterable[str]:
    """The texts of questions: noria's own, MT-bench's form, or the questions of rows."""
    from noria.datasets.readers import conversations_of, pieces
    from noria.evals.questions import shipped_questions

    for name in names:
        if name == "shipped":
            for question in shipped_questions():
                yield from question.turns
            continue
        for piece in pieces(Path(name)):
            import orjson

            value = orjson.loads(piece.data) if not piece.fault else None
            if isinstance(value, dict) and isinstance(value.get("turns"), list):
                yield from (str(turn) for turn in value["turns"])
                continue
            for draft in conversations_of(piece):
                yield from (turn.content for turn in draft.turns if turn.role == "user")
