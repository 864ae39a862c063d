"""Fuzzes what reads hostile text, led by coverage, and says what it tried.

    python tests/soak/fuzz.py [--seconds 600] [--only worker,verifier,importer,decoder,parquet]

`worker` is what a verifier's process does with two answers, `verifier` the whole verifier with its
processes, which must outlive all of it, `importer` a .jsonl file of rollouts made elsewhere,
`decoder` what the process that decodes Parquet files does with a damaged one, and `parquet` such a
file read in every way, that process included. A crash is anything but a verdict or a DataError, or
a process that takes this one with it; the input that did it is kept and named, and the exit code
is 1. Needs atheris (pip install atheris): without it nothing is tried, which is said.
"""

import argparse
import importlib.util
import io
import json
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

WORDS = [
    *("\\boxed{", "\\frac{", "\\sqrt{", "\\text{", "\\left(", "\\right)", "\\cup", "\\infty"),
    *("\\begin{pmatrix}", "\\end{pmatrix}", "\\\\", "\\pi", "^{", "_{", "!", "\\binom{", "\\in"),
    *("answer is ", "####", "</think>", "<|im_end|>", "\\mod", "\\log_", "x=", "\\pm", "\\circ"),
    *("problem", "answer", "completion", "completions", "reward", "tokens", "logps", "role"),
    *("content", "user", "assistant", "finish_reason", "stop", "null", "true", "1e999", "\\ud800"),
]
SEEDS = {
    "worker": [b"\\frac{1}{2}\x000.5", b"(1,2)\\cup[3,\\infty)\x00x>1", b"x=5\x00\\{1,2\\}"],
    "verifier": [b"1/2\x00so \\boxed{\\frac12}", b"B\x00The answer is (B).", b"7\x00####7"],
    "importer": [
        b'{"problem": "q", "answer": "1", "completions": ["a", {"text": "b", "tokens": [1]}]}',
        b'{"prompt": [{"role": "user", "content": "q"}], "gold": 1, "response": "x", "score": 1}',
    ],
}
DEADLINE = 20
"""Seconds that one input may take; a comparison alone may take 8."""


class Slow(BaseException):
    """An input took too long. Not an Exception, which the code under test may catch."""


def pair(data: bytes) -> tuple[str, str]:
    gold, _, other = data.decode("utf-8", "replace").partition("\0")
    return gold, other


def worker() -> Callable[[bytes], None]:
    from data_gen.verifiers.answer_text.limits import refusal
    from data_gen.verifiers.math_engine.worker import _handle

    def overdue(*_: object) -> None:
        raise Slow

    signal.signal(signal.SIGALRM, overdue)

    def one(data: bytes) -> None:
        gold, answer = pair(data)
        if refusal(gold, 2000, gold) or refusal(answer, 2000, gold):
            return
        # In use the parent ends a process that computes for so long, which is no crash.
        signal.alarm(2)
        try:
            label, reason = _handle({"gold": gold, "answer": answer})
        except (Slow, MemoryError):
            return
        finally:
            signal.alarm(0)
        assert label in ("correct", "wrong", "unverifiable")
        assert isinstance(reason, str)
        json.dumps([label, reason]).encode()

    return one


def verifier() -> Callable[[bytes], None]:
    from data_gen.verifiers import verify

    settings: list[dict[str, Any]] = [
        {"answer": "boxed", "workers": 1, "deadline_seconds": 2},
        {"answer": "any", "workers": 1, "deadline_seconds": 2},
        *({"kind": kind, "answer": "any"} for kind in ("numeric", "choice")),
        *({"kind": "exact", "answer": answer} for answer in ("boxed", "whole")),
    ]

    def one(data: bytes) -> None:
        gold, text = pair(data)
        for given in settings:
            [verdict] = verify([(gold, text)], **given)
            assert verdict.label in ("correct", "wrong", "unverifiable")
            assert verdict.reason or verdict.label == "correct"

    return one


def importer() -> Callable[[bytes], None]:
    from data_gen.exchange.import_rollouts import import_rollouts
    from data_gen.model_ref import ModelRef
    from data_gen.problems.sources import ProblemSource
    from data_gen.samplers.tokenizer import load_tokenizer
    from data_gen.types import DataError
    from data_gen.verifiers.exact import ExactSettings
    from offline_rl.tiny_base import TINY_BASE

    tokenizer = load_tokenizer(ModelRef(str(TINY_BASE)))
    path = Path(tempfile.mkdtemp()) / "x.jsonl"
    judge = ExactSettings().open()

    def one(data: bytes) -> None:
        path.write_bytes(data)
        for verify in (judge, None):
            try:
                import_rollouts(path, tokenizer=tokenizer, style="raw", verify=verify)
            except DataError:
                continue
        try:
            ProblemSource(source=str(path), incomplete="drop").load()
        except DataError:
            return

    return one


def decoder() -> Callable[[bytes], None]:
    import pyarrow as pa

    from data_gen.exchange.import_rows import written
    from data_gen.store.table_files import parquet_errors_name
    from data_gen.store.untrusted_parquet_worker import Refused, send
    from data_gen.types import DataError

    path = Path(tempfile.mkdtemp()) / "x.parquet"
    # As in that process.
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))

    def one(data: bytes) -> None:
        path.write_bytes(data)
        sink = io.BytesIO()
        try:
            with parquet_errors_name(path):
                send(path, 512, (), 256 << 20, sink)
                for batch in pa.ipc.open_stream(sink.getvalue()):
                    for row in batch.to_pylist():
                        list(written(row, "x"))
        except (DataError, Refused):
            return

    return one


def parquet() -> Callable[[bytes], None]:
    from data_gen.exchange.import_rows import foreign_rows, written
    from data_gen.store.rollouts import load_rollouts
    from data_gen.store.table_files import read_file
    from data_gen.types import DataError

    path = Path(tempfile.mkdtemp()) / "x.parquet"

    def one(data: bytes) -> None:
        path.write_bytes(data)
        for read in (
            load_rollouts,
            read_file,
            lambda path: [list(written(row, at)) for at, row in foreign_rows(path)],
        ):
            try:
                read(path)
            except DataError:
                continue
        assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss >> 10 < 5000

    return one


def parquet_seeds() -> list[bytes]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    from data_gen.store.rollouts import save_rollouts
    from data_gen.types import Completion, Problem, Rollout, Verdict

    sys.path.append(str(Path(__file__).parents[2]))
    from tests.helpers.parquet_bombs import list_of_nothing, rows_of_nothing

    path = Path(tempfile.mkdtemp()) / "x.parquet"
    completion = Completion("p", 0, 1, "q", [1], "text", [2, 3], [-0.5, -1], "stop")
    save_rollouts([Rollout(Problem("p", "q", "1"), completion, Verdict.correct("1"))] * 3, path)
    seeds = [path.read_bytes()]
    seeds += [rows_of_nothing(3), list_of_nothing(3)]
    table = {"problem": ["q"], "answer": ["1"], "completions": [["a"]], "rewards": [[1.0]]}
    for compression in ("none", "zstd"):
        pq.write_table(pa.table(table), path, compression=compression)
        seeds.append(path.read_bytes())
    return seeds


RUN = {
    "worker": worker,
    "verifier": verifier,
    "importer": importer,
    "decoder": decoder,
    "parquet": parquet,
}


def fuzz(target: str, seconds: int, folder: Path) -> None:
    """Never returns: libFuzzer ends the process."""
    import atheris

    # Imported under its eyes; libraries of parsers too, or it would be led by our own lines alone.
    watched = ["data_gen", "latex2sympy2_extended", "math_verify", "json"]
    with atheris.instrument_imports(include=watched):
        one = RUN[target]()
    corpus = folder / "corpus"
    corpus.mkdir()
    seeds = parquet_seeds() if target in ("decoder", "parquet") else SEEDS[target]
    for number, seed in enumerate(seeds):
        (corpus / str(number)).write_bytes(seed)
    words = folder / "words"
    quoted = (re.sub(r'([\\"])', r"\\\1", word) for word in WORDS)
    words.write_text("".join(f'"{word}"\n' for word in quoted))
    options = [f"-max_total_time={seconds}", f"-timeout={DEADLINE}", "-rss_limit_mb=6000"]
    options += ["-max_len=4000", f"-dict={words}", f"-artifact_prefix={folder}/crash-"]
    atheris.Setup([sys.argv[0], *options, str(corpus)], one)
    atheris.Fuzz()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=600, help="for all targets together")
    parser.add_argument("--only", default=",".join(RUN))
    parser.add_argument("--target", choices=RUN, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.target:
        fuzz(given.target, given.seconds, given.folder)
    if importlib.util.find_spec("atheris") is None:
        print("fuzz: skipped, atheris is not installed: pip install atheris")
        return 0
    chosen = given.only.split(",")
    crashed = False
    print(f"{'target':<10} {'inputs':>9} {'a second':>9} {'edges':>7}  result")
    for target in chosen:
        folder = Path(tempfile.mkdtemp(prefix=f"fuzz-{target}-"))
        share = max(1, given.seconds // len(chosen))
        again = [sys.executable, __file__, "--target", target, "--folder", str(folder)]
        done = subprocess.run(
            [*again, "--seconds", str(share)], capture_output=True, text=True, errors="replace"
        )
        told = done.stdout + done.stderr
        runs = re.search(r"Done (\d+) runs in (\d+) second", told)
        edges = re.findall(r"\bcov: (\d+)", told) or ["0"]
        tried = int(runs[1]) if runs else int((re.findall(r"^#(\d+)", told, re.M) or ["0"])[-1])
        fine = done.returncode == 0 and runs is not None
        crashed |= not fine
        result = "no crash" if fine else f"CRASH, exit code {done.returncode}, see {folder}"
        print(
            f"{target:<10} {tried:>9,} {tried / share:>9,.1f} {edges[-1]:>7}  {result}", flush=True
        )
        if not fine:
            print(told[-3000:])
    return int(crashed)


if __name__ == "__main__":
    sys.exit(main())
