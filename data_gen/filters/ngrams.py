"""Texts as runs of words, for finding what two of them share."""

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence

_WORDS = re.compile(r"\w+")
_WORDS_AND_SIGNS = re.compile(r"\w+|[^\w\s]")


def words(text: str) -> list[str]:
    """The words and numbers of a text, whatever its case, typography and signs."""
    return _WORDS.findall(_plain(text))


def words_and_signs(text: str) -> list[str]:
    """As `words`, with every sign a member of its own: 3 + 4 is not 3 * 4."""
    return _WORDS_AND_SIGNS.findall(_plain(text))


def ngrams(members: Sequence[str], size: int) -> Iterator[str]:
    """Runs of `size` members joined by spaces; of a shorter text, the whole of it."""
    for start in range(max(len(members) - size, 0) + 1):
        yield " ".join(members[start : start + size])


def jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    """Share of what either has that both have; two empty sets are equal."""
    either = len(one | other)
    return len(one & other) / either if either else 1.0


def repeated_share(tokens: Iterable[int], size: int) -> float:
    """Share of a sequence's runs of `size` tokens that stood in it before; 0 for a shorter one."""
    whole = tuple(tokens)
    runs = [whole[start : start + size] for start in range(len(whole) - size + 1)]
    return 1 - len(set(runs)) / len(runs) if runs else 0.0


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
