"""Requests and samples on their way between processes: texts as JSON, numbers as raw arrays."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, TypedDict

from data_gen.samplers.base import Request, Sample
from data_gen.types import FinishReason


class PackedRequests(TypedDict):
    """Requests without their tokens, which are the payload."""

    lengths: list[int]
    seeds: list[int]


class PackedSamples(TypedDict):
    """The samples of several requests, `counts` for each, without the numbers of the payload."""

    counts: list[int]
    lengths: list[int]
    texts: list[str]
    finish_reasons: list[FinishReason]


def pack_requests(requests: Sequence[Request]) -> tuple[PackedRequests, bytes]:
    """A JSON value and a payload for `unpack_requests`."""
    tokens = array("i")
    for request in requests:
        tokens.extend(request.tokens)
    packed = PackedRequests(
        lengths=[len(r.tokens) for r in requests], seeds=[r.seed for r in requests]
    )
    return packed, tokens.tobytes()


def unpack_requests(packed: PackedRequests, payload: bytes) -> list[Request]:
    tokens = _cut("i", payload, packed["lengths"])
    return [Request(*one) for one in zip(tokens, packed["seeds"], strict=True)]


def pack_samples(answers: Sequence[Sequence[Sample]]) -> tuple[PackedSamples, bytes]:
    """A JSON value and a payload for `unpack_samples`.

    Log-probabilities travel as the 32-bit floats that engines compute.
    """
    samples = [sample for answer in answers for sample in answer]
    tokens, logps = array("i"), array("f")
    for sample in samples:
        tokens.extend(sample.tokens)
        logps.extend(sample.logps)
    packed = PackedSamples(
        counts=[len(answer) for answer in answers],
        lengths=[len(sample.tokens) for sample in samples],
        texts=[sample.text for sample in samples],
        finish_reasons=[sample.finish_reason for sample in samples],
    )
    return packed, tokens.tobytes() + logps.tobytes()


def unpack_samples(packed: PackedSamples, payload: bytes) -> list[list[Sample]]:
    middle = len(payload) // 2
    samples = map(
        Sample,
        _cut("i", memoryview(payload)[:middle], packed["lengths"]),
        _cut("f", memoryview(payload)[middle:], packed["lengths"]),
        packed["texts"],
        packed["finish_reasons"],
    )
    return [list(islice(samples, count)) for count in packed["counts"]]


def _cut(code: str, payload: bytes | memoryview, lengths: Sequence[int]) -> Iterator[Any]:
    """An array of each length, one after another from the payload."""
    view = memoryview(payload)
    start = 0
    for length in lengths:
        piece = array(code)
        piece.frombytes(view[start : start + length * piece.itemsize])
        start += length * piece.itemsize
        yield piece
