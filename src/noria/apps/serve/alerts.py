"""Telling somebody that a check's pass rate has fallen: once for each fall, through a webhook.

A rate has fallen when it is surely below `at_least`: when even the upper end of the 95 % interval
over the last answers is (at most 200, of one day, and no fewer than 5). It has recovered when the
rate itself is `at_least` again; only then can it fall once more.
"""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from noria.errors import NoriaError, StoreUnavailable

if TYPE_CHECKING:
    from noria.apps.declare.app import App
    from noria.apps.declare.check import Check
    from noria.store import Database
    from noria.store.evals.check_results import Alert, CheckRate

__all__ = ["PassRateMonitor", "watch_rates"]

log = logging.getLogger("noria.apps")

_ANSWERS = 200
_FEWEST = 5
_DAY_NS = 24 * 3_600_000_000_000
_POST_SECONDS = 10.0
_PAUSES = (1.0, 5.0, 30.0, 120.0)
"""Seconds before each further attempt to reach a webhook."""


async def watch_rates(apps: Sequence[App], db: Database, *, every: float = 5.0) -> None:
    """Look at the pass rates again and again, until it is cancelled.

    Args:
        apps: the applications of this process.
        db: the store.
        every: seconds between two looks.
    """
    watch = PassRateMonitor(apps, db)
    try:
        while True:
            try:
                await watch.look()
            except StoreUnavailable as away:
                log.warning("pass rates cannot be looked at: %s", away.message)
            await asyncio.sleep(every)
    finally:
        await watch.close()


class PassRateMonitor:
    """The checks whose pass rates have fallen, as far as is known."""

    def __init__(
        self, apps: Sequence[App], db: Database, pauses: Sequence[float] = _PAUSES
    ) -> None:
        self._checks = [check for app in apps for check in app.checks if check.at_least is not None]
        self._db = db
        self._pauses = pauses
        self._fallen: dict[str, bool] = {}
        self._telling: set[asyncio.Task[None]] = set()

    async def look(self) -> list[Alert]:
        """Look at each rate once, and begin to tell of new falls.

        Raises:
            StoreUnavailable: the database cannot be reached.
        """
        found = []
        for check in self._checks:
            alert = await asyncio.to_thread(self._look, check)
            if alert is not None:
                found.append(alert)
                task = asyncio.create_task(self._tell(check, alert))
                self._telling.add(task)
                task.add_done_callback(self._telling.discard)
        return found

    async def told(self) -> None:
        """Wait until everybody was told, or could not be."""
        await asyncio.gather(*self._telling)

    async def close(self) -> None:
        """Give up what is still being told; the alert stays in the store."""
        for task in self._telling:
            task.cancel()
        await asyncio.gather(*self._telling, return_exceptions=True)

    def _look(self, check: Check) -> Alert | None:
        from noria.store.evals.check_results import latest_rate, list_alerts, record_alert

        app, least = check.function.app.name, check.at_least
        assert least is not None
        since = time.time_ns() - _DAY_NS
        rate = latest_rate(self._db, app, check.name, most=_ANSWERS, since_ns=since)
        key = f"{app}.{check.name}"
        if key not in self._fallen:
            # After a start: a fall that somebody was told of, and that lasts, is not a new one.
            before = list_alerts(self._db, app=app, check=check.name, limit=1)
            self._fallen[key] = bool(before) and rate.rate.value < least
        if rate.rate.value >= least:
            self._fallen[key] = False
        elif not self._fallen[key] and has_fallen(rate, least):
            self._fallen[key] = True
            return record_alert(self._db, rate, least)
        return None

    async def _tell(self, check: Check, alert: Alert) -> None:
        from noria.store.evals.check_results import alert_delivered, alert_failed

        try:
            url = _address(check.function.app)
            if url is None:
                return
            why = ""
            for pause in (0.0, *self._pauses):
                await asyncio.sleep(pause)
                why = await _post(url, message(check, alert))
                if not why:
                    await asyncio.to_thread(alert_delivered, self._db, alert.id)
                    return
            await asyncio.to_thread(alert_failed, self._db, alert.id, why)
            log.warning("nobody could be told that %s fell: %s", check.name, why)
        except NoriaError as failure:
            log.warning("nobody could be told that %s fell: %s", check.name, failure.message)


def has_fallen(rate: CheckRate, at_least: float) -> bool:
    """Whether a rate is surely below what it should be."""
    return rate.total >= _FEWEST and rate.rate.upper < at_least


def message(check: Check, alert: Alert) -> dict[str, Any]:
    """What a webhook is sent."""
    from noria.statistics import wilson

    app = check.function.app
    share = wilson(alert.passed, alert.total)
    text = (
        f"{app.title}: the check {check.name} passes {share.value:.0%} of {alert.total} answers, "
        f"and should pass {alert.at_least:.0%}."
    )
    return {
        "text": text,
        "app": app.name,
        "function": check.function.name,
        "check": check.name,
        "passed": alert.passed,
        "total": alert.total,
        "rate": share.value,
        "interval": [share.lower, share.upper],
        "at_least": alert.at_least,
        "alert_id": alert.id,
    }


def _address(app: App) -> str | None:
    alert = app.alert
    if alert is None or alert.startswith(("http://", "https://")):
        return alert
    url = os.environ.get(alert)
    if not url:
        raise NoriaError(f"{app.name} has no webhook: {alert} is not set")
    return url


async def _post(url: str, body: dict[str, Any]) -> str:
    """Send it; the reason where that fails, never the address, which may hold a secret."""
    import httpx2

    try:
        async with httpx2.AsyncClient(timeout=_POST_SECONDS) as client:
            answer = await client.post(url, json=body)
    except httpx2.HTTPError as lost:
        return f"the webhook cannot be reached: {type(lost).__name__}"
    if answer.status_code >= 400:
        return f"the webhook answered {answer.status_code}"
    return ""
