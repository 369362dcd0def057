"""How instructions and inputs become messages. This is all that is sent: nothing is added.

The instructions are the system message. The inputs are one user message, each under its name in the
order in which they were given; a lone `question` stands there as it is.

    notes:
    [1] Refunds (handbook/refunds.md)
    Refunds are paid within 14 days.

    question:
    When do I get my money?
"""

from __future__ import annotations

import base64
import mimetypes
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from noria.apps.run.serialise import as_json
from noria.errors import NoriaError

__all__ = ["Image", "Message", "make_messages", "shown"]

Message = dict[str, Any]
Image = bytes | str | Path
"""An image's bytes, an address (`https:` or `data:`), or a file."""

_MAGIC = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpeg", b"GIF8": "gif", b"RIFF": "webp"}


def make_messages(
    instructions: str,
    inputs: Mapping[str, Any],
    history: Iterable[Mapping[str, Any]] = (),
    images: Sequence[Image] = (),
) -> list[Message]:
    """The messages of one call.

    Args:
        instructions: the system message; left out where it is empty.
        inputs: what the model works on, by name.
        history: messages of OpenAI's form that stand between the two.
        images: what belongs to the user message.

    Raises:
        NoriaError: there is nothing to send, or an image cannot be used.
    """
    messages: list[Message] = []
    if instructions:
        messages.append({"role": "system", "content": instructions})
    messages += [dict(message) for message in history]
    text = _user_text(inputs)
    if images:
        parts: list[Message] = [{"type": "text", "text": text}] if text else []
        parts += [{"type": "image_url", "image_url": {"url": _address(image)}} for image in images]
        messages.append({"role": "user", "content": parts})
    elif text:
        messages.append({"role": "user", "content": text})
    if not messages:
        raise NoriaError("There is nothing to ask: give instructions or inputs.")
    return messages


def _user_text(inputs: Mapping[str, Any]) -> str:
    if list(inputs) == ["question"]:
        return shown(inputs["question"])
    return "\n\n".join(f"{name}:\n{shown(value)}" for name, value in inputs.items())


def shown(value: Any) -> str:
    """An input as the model reads it: a text as it is, documents numbered from 1, everything else
    as JSON."""
    if isinstance(value, str):
        return value
    if _is_document(value):
        return str(value)
    if isinstance(value, (list, tuple)) and value and all(map(_is_document, value)):
        return "\n\n".join(f"[{number}] {one}" for number, one in enumerate(value, 1))
    return orjson.dumps(orjson.loads(as_json(value)), option=orjson.OPT_INDENT_2).decode()


def _is_document(value: Any) -> bool:
    if type(value).__name__ != "Document":
        return False
    from noria.retrieval import Document

    return isinstance(value, Document)


def _address(image: Image) -> str:
    if isinstance(image, str) and image.startswith(("https:", "http:", "data:")):
        return image
    kind = None
    if isinstance(image, (str, Path)):
        kind = mimetypes.guess_type(str(image))[0]
        try:
            body = Path(image).read_bytes()
        except OSError as unreadable:
            raise NoriaError(
                f"images: {image} cannot be read: {unreadable.strerror}.",
                "An image is its bytes, an address that begins with https:, or a file.",
            ) from None
    else:
        body = image
    if kind is None:
        kind = next(
            (f"image/{kind}" for magic, kind in _MAGIC.items() if body.startswith(magic)), None
        )
    if kind is None or not kind.startswith("image/"):
        raise NoriaError("images: the bytes are no PNG, JPEG, GIF or WebP.")
    return f"data:{kind};base64,{base64.b64encode(body).decode()}"
