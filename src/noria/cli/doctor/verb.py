"""`noria doctor`: is everything as it should be, and what to do where it is not."""

from __future__ import annotations

from dataclasses import asdict

import typer

from noria.cli._io.output import AsJson, console, emit, note, printable

__all__ = ["doctor"]


def doctor(as_json: AsJson = False) -> None:
    """Check the machine, the configuration, each provider, the weights and the server.

    Ends with 1 when there is a problem.
    """
    from noria.cli.doctor.checks import examine
    from noria.cli.doctor.machine import Health

    colours = {Health.OK: "green", Health.NOTE: "yellow", Health.PROBLEM: "red"}
    findings = []
    out = console()
    for finding in examine():
        findings.append(finding)
        if not as_json:
            out.print(f"{finding.health:8}", style=colours[finding.health], end=" ")
            out.print(printable(f"{finding.check}: {finding.detail}"), soft_wrap=True)
            if finding.remedy:
                out.print(printable(f"         → {finding.remedy}"), soft_wrap=True)
    if as_json:
        emit([asdict(finding) for finding in findings])
    problems = sum(finding.health is Health.PROBLEM for finding in findings)
    if problems:
        note(f"{problems} problem{'s' if problems > 1 else ''}.")
        raise typer.Exit(1)
