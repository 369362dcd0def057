"""What people decide about rows, and forgetting what was theirs."""

from __future__ import annotations

from typing import Annotated

import typer

from noria.cli._io.home import open_home
from noria.cli._io.output import AsJson, emit, note, table

__all__ = ["forget", "label"]


def label(
    name: Annotated[str, typer.Argument(metavar="SET", help="The set.")],
    row: Annotated[int | None, typer.Option(help="Decide about this row, from 0.")] = None,
    decision: Annotated[
        str | None, typer.Option(metavar="accept|reject|edit|chosen|rejected", help="What.")
    ] = None,
    answer: Annotated[
        str | None, typer.Option(help="For edit: the answer as it should be.")
    ] = None,
    tags: Annotated[str | None, typer.Option(help="Tags of the row, with commas.")] = None,
    person: Annotated[
        str | None, typer.Option("--as", help="Who decides; by default the user's name.")
    ] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Make the next version out of what was decided.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Decide about rows, show how far people agree, or make the version that follows.

    In the browser this is a page: /label/SET.
    """
    import getpass

    from noria.cli._io import options
    from noria.datasets import Dataset
    from noria.datasets.reviewing import agreement, apply_reviews, next_row, review

    if (row is None) != (decision is None):
        raise typer.BadParameter("--row and --decision go together", param_hint="--row")
    who = person or getpass.getuser()
    with open_home() as home:
        dataset = Dataset.open(home.db, name)
        if row is not None and decision is not None:
            review(home.db, dataset, row, who, decision, answer=answer, tags=options.names(tags))
        if apply:
            dataset = apply_reviews(home.db, dataset)
        told = agreement(home.db, dataset.name)
        following = next_row(home.db, dataset, who)
    if as_json:
        emit(
            {
                "dataset": dataset.reference, "rows": dataset.count, "reviewed": told.rows,
                "shared": told.shared, "equal": told.equal, "alpha": told.alpha,
                "next": following,
            }
        )  # fmt: skip
        return
    note(f"{told.rows:,} of {dataset.count:,} rows of {dataset.reference} are decided about.")
    if told.shared:
        sure = "" if told.alpha is None else f"; Krippendorff's alpha {told.alpha:.2f}"
        note(f"Two or more people agree on {told.equal:,} of {told.shared:,}{sure}.")
    if following is not None:
        note(f"The next one for {who} is row {following}: open /label/{dataset.name}")


def forget(
    text: Annotated[str | None, typer.Option(help="A sentence that stands in it.")] = None,
    user: Annotated[str | None, typer.Option(help="The person whose data it is.")] = None,
    trace: Annotated[str | None, typer.Option(help="The run.")] = None,
    document: Annotated[str | None, typer.Option(help="The document's id.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list the sets that hold it.")
    ] = False,
    mark: Annotated[
        bool, typer.Option("--mark", help="Only mark them, so that nothing learns from them.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make the next version of each set without somebody's words, and delete them everywhere.

    Old versions, records of runs, journals and free space of the database are cleared as well.
    Exits with 1 where the sentence still stands in a file of the home.
    """
    from noria.datasets.forgetting import Subject, holding, mark_holding
    from noria.datasets.forgetting import forget as erase

    subject = Subject(text, user, trace, document)
    with open_home() as home:
        home.take_in()
        if dry_run or mark:
            why = f"holds {subject}"
            found = mark_holding(home.db, subject, why) if mark else holding(home.db, subject)
            if as_json:
                emit([{"set": one.dataset.reference, "rows": one.rows} for one in found])
            else:
                table(
                    ["set", ">rows"],
                    ((one.dataset.reference, str(len(one.rows))) for one in found),
                    empty="No set holds it.",
                )
            return
        if not yes:
            typer.confirm(f"Forget {subject} for good?", abort=True, err=True)
        done = erase(home.db, subject)
    if as_json:
        emit(done.as_json())
    else:
        note(f"{done.rows:,} rows and the contents of {done.record.traces:,} runs are gone.")
        for one in done.made:
            note(f"  {one.reference} is the version without them")
        for model in done.models:
            note(f"  {model} learned from them: delete or make it again")
        for path in done.left:
            note(f"  it still stands in {path}")
    if done.left:
        raise typer.Exit(1)
