"""Requests and replies as they are stored: deflated, in zlib's format, with a dictionary.

Most bodies are short, and half of a short one is the names that OpenAI's wire always has. With a
dictionary that holds these beforehand, one of half a kilobyte takes 35 to 45 hundredths less, and
so little is left that it needs no Huffman code of its own, which was two thirds of the time. Longer
ones get one. ISA-L deflates fifty kilobytes in a quarter of zlib's time, to the same size.
"""

from __future__ import annotations

from typing import Final

from isal import isal_zlib

__all__ = ["Bodies", "compress", "decompress"]

Bodies = tuple[bytes | None, bytes | None]
"""A call's request and its response."""

_DICTIONARY: Final = (
    b'"object":"embedding","embedding":"input":["arguments":"{\\"query\\":\\"tool_call_id":"call_'
    b'"tool_calls":[{"id":"call_","type":"function","function":{"name":"tools":[{"type":"function",'
    b'"function":{"name":"description":"parameters":{"type":"object","properties":{"type":"string",'
    b'"required":["response_format":{"type":"json_schema","json_schema":{"name":"strict":true,'
    b'"schema":"prompt_tokens_details":{"cached_tokens":0,"audio_tokens":0},'
    b'"completion_tokens_details":{"reasoning_tokens":0,"audio_tokens":0,'
    b'"accepted_prediction_tokens":0,"rejected_prediction_tokens":0}},"service_tier":"default",'
    b'"system_fingerprint":"fp_{"id":"chatcmpl-","object":"chat.completion","created":17,"model":"'
    b'"usage":{"prompt_tokens":,"completion_tokens":,"total_tokens":},"choices":[{"index":0,'
    b'"message":{"role":"assistant","content":"","refusal":null,"annotations":[]},"logprobs":null,'
    b'"finish_reason":"stop"}]}{"model":"messages":[{"role":"system","content":"You are a helpful '
    b'assistant."},{"role":"assistant","content":""},{"role":"user","content":"}],"max_tokens":,'
    b'"max_completion_tokens":,"temperature":0.7,"top_p":1,"stream":true,'
    b'"stream_options":{"include_usage":true}}'
)
"""Part of the format of the store: not a byte of it may ever change. A body that needs it says so
in its second byte and gives the Adler-32 of it, so that those that were stored without one can be
read, and another could be added. The most frequent stands last, as deflate has it cheapest."""
_SHORT: Final = 1024
"""The most bytes of a body for which deflate's fixed code does."""
_WINDOW_BITS: Final = 15


def compress(body: bytes | None) -> bytes | None:
    """A body as it is stored."""
    if body is None:
        return None
    if len(body) <= _SHORT:
        stream = isal_zlib.compressobj(
            0, wbits=_WINDOW_BITS, strategy=isal_zlib.Z_FIXED, zdict=_DICTIONARY
        )
    else:
        stream = isal_zlib.compressobj(1, wbits=_WINDOW_BITS, zdict=_DICTIONARY)
    return stream.compress(body) + stream.flush()


def decompress(body: bytes | None) -> bytes | None:
    """A stored body as it was recorded.

    Raises:
        ValueError: it ends too early.
        isal_zlib.error: it is damaged otherwise.
    """
    if body is None:
        return None
    stream = isal_zlib.decompressobj(_WINDOW_BITS, _DICTIONARY)
    whole = stream.decompress(body)
    if not stream.eof:
        raise ValueError("The stored body ends too early.")
    return whole
