"""Evaluations as ordinary tests: an application under test, repeats, a rate that must be passed.

pytest_plugins = ["noria.testing.plugin"]          # in conftest.py

@pytest.mark.noria(app="app.py", repeats=10, at_least=0.8)
def test_refunds(app):
    reply = app.ask("How long may I return a product?")
    assert "30 days" in reply.text
    assert reply.checks["grounded"] == "pass"
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from noria.statistics import wilson

if TYPE_CHECKING:
    from noria.evals.evaluation.contestants import Answer, Contestant

__all__ = ["AppUnderTest"]

_OPTION = "noria_app"


@dataclass(frozen=True, slots=True)
class AppUnderTest:
    """An application, or one variant of it, called in this process with all its checks."""

    contestant: Contestant

    def ask(self, question: str, history: Sequence[dict[str, str]] = ()) -> Answer:
        """Ask its chat function.

        Args:
            question: what is asked.
            history: messages before it.

        Returns: the text, the trace's id, the milliseconds, and how each check came out.

        Raises:
            ApiError: it could not answer, or a blocking check held the answer back.
        """
        return self._run(
            lambda context: self.contestant.answer(
                [*history, {"role": "user", "content": question}], context
            )
        )

    def run(self, **arguments: Any) -> Answer:
        """Call its function with these arguments. Raises as `ask`."""
        return self._run(lambda context: self.contestant.answer_row(arguments, context))

    @staticmethod
    def _run(call: Any) -> Answer:
        from noria.apps.run.standalone import current_context

        async def work() -> Answer:
            answer: Answer = await call(await current_context())
            return answer

        return asyncio.run(work())


def pytest_addoption(parser: pytest.Parser) -> None:
    """The application that tests without a name of their own are about."""
    parser.addini(_OPTION, "The application under test: app.py, or app.py:NAME.FUNCTION@VARIANT.")


def pytest_configure(config: pytest.Config) -> None:
    """Make the mark known."""
    config.addinivalue_line(
        "markers",
        "noria(app=None, repeats=1, at_least=1.0): an evaluation of an application, run so many "
        "times, of which at least this share must pass",
    )


@pytest.fixture
def app(request: pytest.FixtureRequest) -> AppUnderTest:
    """The application that the mark `noria(app=...)` or the setting `noria_app` names."""
    from noria.evals.evaluation.contestants import contestant_of

    mark = request.node.get_closest_marker("noria")
    name = (mark.kwargs.get("app") if mark else None) or request.config.getini(_OPTION)
    if not name:
        raise pytest.UsageError(
            "Name the application under test: @pytest.mark.noria(app='app.py'), or "
            f"{_OPTION} = app.py in the settings of pytest."
        )
    return AppUnderTest(contestant_of(name))


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a marked test as often as it asks, and hold its pass rate against what it asks."""
    mark = pyfuncitem.get_closest_marker("noria")
    repeats = mark.kwargs.get("repeats", 1) if mark else 1
    if mark is None or repeats == 1:
        return None
    at_least = mark.kwargs.get("at_least", 1.0)
    names = pyfuncitem._fixtureinfo.argnames
    arguments = {name: pyfuncitem.funcargs[name] for name in names}
    failures: list[str] = []
    for number in range(repeats):
        try:
            pyfuncitem.obj(**arguments)
        except Exception as failure:  # noqa: BLE001 - an evaluation that fails is one of many
            failures.append(f"  run {number + 1}: {type(failure).__name__}: {failure}"[:500])
    passed = repeats - len(failures)
    rate = wilson(passed, repeats)
    # Ten runs do not tell 70 % from 80 %: it fails where the rate is surely too low.
    if rate.upper < at_least:
        told = "\n".join(failures[:10])
        pytest.fail(
            f"{passed} of {repeats} runs passed ({rate.value:.0%}, between {rate.lower:.0%} and "
            f"{rate.upper:.0%}); at least {at_least:.0%} must.\n{told}",
            pytrace=False,
        )
    return True
