"""Finding out what a call has made, by our tags, from a provider that may be behind."""

from __future__ import annotations

from collections.abc import Sequence

from noria.actions.plan import Plan
from noria.actions.provider import Key, Provider, ProviderError, Resource
from noria.actions.running.environment import Environment
from noria.actions.running.resources import note_seen

__all__ = ["observe", "planned_prices", "watch"]

_LOOKS = 5
_SHORTEST_S = 0.2


def observe(
    environment: Environment, provider: Provider, plan: Plan, call: int | None = None
) -> list[Resource]:
    """What a plan, or one of its calls, has made that lives; what is seen is kept.

    Raises:
        ProviderError: the provider does not tell, however often it is asked.
    """
    tags = {"noria:plan": plan.id} if call is None else Key(plan.id, call).tags
    seen = _asked(environment, provider, tags)
    ours = [one for one in seen if _is_ours(one, plan)]
    note_seen(environment.db, ours, planned_prices(environment, plan), environment.pace.clock())
    return [one for one in ours if one.lives]


def watch(
    environment: Environment,
    provider: Provider,
    plan: Plan,
    call: int,
    *,
    since_ns: int,
    enough: int,
    surely: bool = False,
) -> list[Resource]:
    """What a call has made, looked for until there is enough or all of it must be visible.

    Args:
        environment: what the run works with.
        provider: who was called.
        plan: the plan.
        call: its place.
        since_ns: when the provider was called last.
        enough: how many there should be.
        surely: look until all of it must be visible, enough or not, since there may be more.
    """
    consistency_s = provider.traits.consistency_s
    visible_ns = since_ns + int(consistency_s * 1_000_000_000)
    while True:
        over = environment.pace.clock() >= visible_ns
        found = observe(environment, provider, plan, call)
        if over or (len(found) >= enough and not surely):
            return found
        environment.pace.pause(max(_SHORTEST_S, consistency_s / _LOOKS))


def planned_prices(environment: Environment, plan: Plan) -> dict[int, int]:
    """For each call that starts something, the planned price of one."""
    prices = {}
    for place, call in enumerate(plan.calls):
        parameter = environment.operation(call.operation).starts.get("count", "")
        count = call.arguments.get(parameter, 1)
        if call.price_hour_nano and isinstance(count, int) and count > 0:
            prices[place] = -(-call.price_hour_nano // count)
    return prices


def _asked(
    environment: Environment, provider: Provider, tags: dict[str, str]
) -> Sequence[Resource]:
    for attempt in range(environment.settings.attempts):
        try:
            return provider.observe(tags)
        except ProviderError as failed:
            if not (failed.again or failed.unknown):
                raise
            last = failed
        environment.pause_after(attempt)
    raise last


def _is_ours(resource: Resource, plan: Plan) -> bool:
    """Whether a resource's tags name a call of the plan; anybody may write a tag."""
    number = resource.tags.get("noria:call", "")
    return (
        resource.tags.get("noria:plan") == plan.id
        and number.isdigit()
        and int(number) < len(plan.calls)
    )
