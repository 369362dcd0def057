"""Nothing is lost in splitting, nothing is too long, and the overlap is what was asked for."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from noria.errors import ConfigError
from noria.retrieval.ingest.chunking import Chunking, split
from noria.retrieval.search.tokens import cut, estimate_tokens

markdown = st.lists(
    st.one_of(
        st.sampled_from(
            ["# One\n", "## Two\n", "### Three #\n", "\n\n", "```\n", "~~~ py\n", "| a | b |\n"]
        ),
        st.sampled_from(
            ["- item\n", "A sentence. And one more! ", "word ", "x = 1\n", "\t", "語。"]
        ),
        st.text(max_size=60),
        st.integers(1, 400).map(lambda n: "y" * n),
    ),
    max_size=60,
).map("".join)
chunkings = st.integers(16, 80).flatmap(
    lambda tokens: st.builds(Chunking, st.just(tokens), st.integers(0, tokens // 2))
)


@given(markdown, chunkings)
@settings(max_examples=300, deadline=None)
def test_nothing_is_lost_and_nothing_is_too_long(text: str, chunking: Chunking) -> None:
    passages = split(text, chunking)
    covered = bytearray(len(text))
    for passage in passages:
        assert text[passage.start : passage.end] == passage.text
        assert passage.text == passage.text.strip() != ""
        assert estimate_tokens(passage.text) <= chunking.tokens
        covered[passage.start : passage.end] = b"\1" * (passage.end - passage.start)
    for character, seen in zip(text, covered, strict=True):
        assert seen or character.isspace()
    for one, other in itertools.pairwise(passages):
        assert one.start < other.start
        assert one.end < other.end
        if other.start < one.end:
            repeated = text[other.start : one.end]
            assert estimate_tokens(repeated) <= chunking.overlap


def test_each_passage_begins_with_the_end_of_the_one_before() -> None:
    text = " ".join(f"word{number}" for number in range(300))
    passages = split(text, Chunking(60, 20))
    assert len(passages) > 5
    for one, other in itertools.pairwise(passages):
        repeated = text[other.start : one.end]
        assert 15 <= estimate_tokens(repeated) <= 20
        assert one.text.endswith(repeated)
        assert other.text.startswith(repeated)


def test_the_overlap_begins_at_a_sentence() -> None:
    sentences = [f"This is sentence number {number} of the story." for number in range(40)]
    passages = split(" ".join(sentences), Chunking(64, 24))
    assert len(passages) > 3
    assert all(passage.text.startswith("This is") for passage in passages)
    assert all(passage.text.endswith("story.") for passage in passages)


def test_passages_keep_to_headings() -> None:
    filler = "Some words about it that are long enough to stand alone. " * 3
    text = f"# Leave\n{filler}\n## Sick leave\n{filler}\n# Pay\n{filler}"
    passages = split(text, Chunking(200, 0))
    assert [passage.headings for passage in passages] == [
        ("Leave",),
        ("Leave", "Sick leave"),
        ("Pay",),
    ]
    assert passages[1].text.startswith("## Sick leave\n")


def test_a_heading_without_a_text_goes_with_what_follows() -> None:
    (passage,) = split("# Handbook\n\n## Leave\n\nTwenty-five days a year.", Chunking(128, 0))
    assert passage.headings == ("Handbook",)
    assert passage.text.endswith("Twenty-five days a year.")


def test_fenced_code_is_no_heading_and_stays_together() -> None:
    code = "```sh\n# not a heading\n\nmake\n```"
    text = "Words before it. " * 8 + "\n\n" + code + "\n\n" + "Words after it. " * 8
    passages = split(text, Chunking(48, 0))
    assert all(passage.headings == () for passage in passages)
    assert any(code in passage.text for passage in passages)


@pytest.mark.parametrize("chunking", [(15, 0), (9000, 0), (100, 51), (100, -1)])
def test_sizes_that_cannot_be_are_refused(chunking: tuple[int, int]) -> None:
    with pytest.raises(ConfigError, match="chunk"):
        Chunking(*chunking)


@given(st.text(max_size=300), st.integers(1, 50))
@settings(deadline=None)
def test_a_text_is_cut_to_its_tokens(text: str, tokens: int) -> None:
    kept = cut(text, tokens)
    assert text.startswith(kept)
    assert estimate_tokens(kept) <= tokens
    if estimate_tokens(text) <= tokens:
        assert kept == text
