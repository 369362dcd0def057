"""Prices as tables write them."""

from __future__ import annotations

from decimal import ROUND_CEILING, Decimal, InvalidOperation

from noria.types import NANO_PER_USD

__all__ = ["nano_of_usd"]


def nano_of_usd(text: str) -> int | None:
    """A price in nano-dollars, rounded up.

    Returns:
        None where it is unknown: an empty field or 0, which never means free.

    Raises:
        ValueError: it is not a price.
    """
    if not text.strip():
        return None
    try:
        usd = Decimal(text.strip())
    except InvalidOperation:
        raise ValueError(f"{text!r} is no price") from None
    if not usd.is_finite() or usd < 0:
        raise ValueError(f"{text!r} is no price")
    return int((usd * NANO_PER_USD).to_integral_value(ROUND_CEILING)) or None
