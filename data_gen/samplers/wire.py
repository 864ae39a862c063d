"""Requests and samples on their way between processes: texts as JSON, numbers as raw arrays."""

from array import array
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from data_gen.samplers.base import Request, Sample


def pack_requests(requests: Sequence[Request]) -> tuple[dict[str, Any], bytes]:
    """A JSON value and a payload that `unpack_requests` understands."""
    tokens = array("i")
    for request in requests:
        tokens.extend(request.tokens)
    value = {"lengths": [len(r.tokens) for r in requests], "seeds": [r.seed for r in requests]}
    return value, tokens.tobytes()


def unpack_requests(value: dict[str, Any], payload: bytes) -> list[Request]:
    tokens = _cut("i", payload, value["lengths"])
    return [Request(*one) for one in zip(tokens, value["seeds"], strict=True)]


def pack_samples(answers: Sequence[Sequence[Sample]]) -> tuple[dict[str, Any], bytes]:
    """A JSON value and a payload that `unpack_samples` understands.

    Log-probabilities travel as the 32-bit floats that engines compute.
    """
    samples = [sample for answer in answers for sample in answer]
    tokens, logps = array("i"), array("f")
    for sample in samples:
        tokens.extend(sample.tokens)
        logps.extend(sample.logps)
    value = {
        "counts": [len(answer) for answer in answers],
        "lengths": [len(sample.tokens) for sample in samples],
        "texts": [sample.text for sample in samples],
        "finish_reasons": [sample.finish_reason for sample in samples],
    }
    return value, tokens.tobytes() + logps.tobytes()


def unpack_samples(value: dict[str, Any], payload: bytes) -> list[list[Sample]]:
    middle = len(payload) // 2
    samples = map(
        Sample,
        _cut("i", memoryview(payload)[:middle], value["lengths"]),
        _cut("f", memoryview(payload)[middle:], value["lengths"]),
        value["texts"],
        value["finish_reasons"],
    )
    return [list(islice(samples, count)) for count in value["counts"]]


def _cut(code: str, payload: bytes | memoryview, lengths: Sequence[int]) -> Iterator[Any]:
    """An array of each length, one after another from the payload."""
    view = memoryview(payload)
    start = 0
    for length in lengths:
        piece = array(code)
        piece.frombytes(view[start : start + length * piece.itemsize])
        start += length * piece.itemsize
        yield piece
