"""collect(): nothing is sampled twice, lost, or judged out of place."""

import gc
import subprocess
import sys
import threading
import time

import pytest

from data_gen import collect, load_rollouts
from data_gen.collection import collected_chunks
from data_gen.types import Completion, DataError, Problem, Rollout, Sampling, Verdict

pytestmark = pytest.mark.xdist_group("verifiers")

SAMPLING = Sampling(samples=2, max_tokens=5)


def problems(count):
    return [Problem(f"p{n}", f"{n}+1", str(n + 1)) for n in range(count)]


class Scripted:
    """A sampler that answers right with sample 0 and wrong with the others, and keeps a log."""

    def __init__(self, fail_at=None):
        self.asked = []
        self.fail_at = fail_at

    def __call__(self, chunk, sampling):
        if len(self.asked) == self.fail_at:
            raise RuntimeError("the engine is gone")
        self.asked.append([problem.id for problem in chunk])
        return [
            Completion(
                p.id, j, j, p.prompt, (1,), p.answer if j == 0 else "x", (2,), (-0.5,), "stop"
            )
            for p in chunk
            for j in range(sampling.samples)
        ]


def verify(pairs):
    return [Verdict.correct(t) if g == t else Verdict.wrong("different", t) for g, t in pairs]


def test_rollouts_come_in_the_order_of_problems_and_samples():
    rollouts = collect(problems(5), Scripted(), verify, SAMPLING, chunk_problems=2)
    assert [(r.problem.id, r.completion.sample) for r in rollouts] == [
        (f"p{n}", j) for n in range(5) for j in range(2)
    ]
    assert [r.verdict.label for r in rollouts] == ["correct", "wrong"] * 5


def test_the_size_of_chunks_changes_nothing():
    whole = collect(problems(7), Scripted(), verify, SAMPLING)
    assert whole == collect(problems(7), Scripted(), verify, SAMPLING, chunk_problems=3)


def test_a_chunk_is_verified_while_the_next_is_sampled():
    sampling_second = threading.Event()

    class Waiting(Scripted):
        def __call__(self, chunk, sampling):
            if self.asked:
                sampling_second.set()
            return super().__call__(chunk, sampling)

    def patient(pairs):
        assert sampling_second.wait(10)
        return verify(pairs)

    assert len(collect(problems(2), Waiting(), patient, SAMPLING, chunk_problems=1)) == 4


def test_every_chunk_comes_once_and_in_order(tmp_path):
    def chunks_of(sample):
        chunks = collected_chunks(
            problems(5), sample, verify, SAMPLING, folder=tmp_path, chunk_problems=2
        )
        return [[r.problem.id for r in rollouts] for rollouts in chunks]

    first = chunks_of(Scripted())
    assert first == [["p0", "p0", "p1", "p1"], ["p2", "p2", "p3", "p3"], ["p4", "p4"]]
    assert chunks_of(Scripted(fail_at=0)) == first


@pytest.mark.parametrize("fail_at", [1, 2, 3])
def test_after_a_failure_only_what_is_missing_is_sampled(tmp_path, fail_at):
    expected = collect(problems(8), Scripted(), verify, SAMPLING, chunk_problems=2)
    failing, resumed = Scripted(fail_at), Scripted()

    def slow(pairs):
        time.sleep(0.2)
        return verify(pairs)

    def run(sample):
        return collect(problems(8), sample, slow, SAMPLING, folder=tmp_path, chunk_problems=2)

    with pytest.raises(RuntimeError, match="the engine is gone"):
        run(failing)
    assert len(list(tmp_path.glob("part-*.parquet"))) == fail_at
    assert run(resumed) == expected == load_rollouts(tmp_path)
    asked = failing.asked + resumed.asked
    assert asked == [["p0", "p1"], ["p2", "p3"], ["p4", "p5"], ["p6", "p7"]]


def test_a_failing_verifier_is_reported_and_keeps_what_was_done(tmp_path):
    def failing(pairs):
        if pairs[0][0] == "3":
            raise RuntimeError("no verdicts")
        return verify(pairs)

    def run(judge, sample):
        return collect(problems(4), sample, judge, SAMPLING, folder=tmp_path, chunk_problems=1)

    with pytest.raises(RuntimeError, match="no verdicts"):
        run(failing, Scripted())
    resumed = Scripted()
    assert len(run(verify, resumed)) == 8
    assert ["p0"] not in resumed.asked


KILLED = """
import os, signal, sys
from pathlib import Path
from data_gen import collect
from test_data_gen_collection import SAMPLING, Scripted, problems, verify

class Mortal(Scripted):
    def __call__(self, chunk, sampling):
        if len(self.asked) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        with open(sys.argv[2], "a") as log:
            print(*(problem.id for problem in chunk), file=log)
        return super().__call__(chunk, sampling)

collect(problems(6), Mortal(), verify, SAMPLING, folder=Path(sys.argv[1]), chunk_problems=1)
"""


def test_a_killed_process_goes_on_where_it_was(tmp_path, pytestconfig):
    folder, log = tmp_path / "rollouts", tmp_path / "log"
    path = f"import sys; sys.path += [{str(pytestconfig.rootpath / 'tests')!r}]\n"
    command = [sys.executable, "-P", "-c", path + KILLED, str(folder), str(log)]
    assert subprocess.run(command, check=False).returncode == -9
    kept = {path.name: path.read_bytes() for path in folder.glob("part-*.parquet")}
    assert 1 <= len(kept) <= 3
    (folder / ".part-00004.parquet.torn").write_bytes(b"PAR1")
    resumed = Scripted()
    rollouts = collect(problems(6), resumed, verify, SAMPLING, folder=folder, chunk_problems=1)
    assert rollouts == collect(problems(6), Scripted(), verify, SAMPLING)
    assert resumed.asked == [[f"p{n}"] for n in range(len(kept), 6)]
    assert all((folder / name).read_bytes() == content for name, content in kept.items())
    assert sorted(p.name for p in folder.iterdir()) == [f"part-{n:05}.parquet" for n in range(6)]


def test_a_corrupt_part_is_an_error_that_names_it(tmp_path):
    def run():
        return collect(problems(3), Scripted(), verify, SAMPLING, folder=tmp_path, chunk_problems=1)

    run()
    part = tmp_path / "part-00001.parquet"
    whole = part.read_bytes()
    part.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match=r"part-00001\.parquet: not a whole Parquet file"):
        run()
    part.unlink()
    assert len(run()) == 6


def test_parts_of_other_problems_or_settings_are_refused(tmp_path):
    def run(some, sampling):
        return collect(some, Scripted(), verify, sampling, folder=tmp_path)

    run(problems(3), SAMPLING)
    for some, sampling in (
        (problems(2), SAMPLING),
        ([Problem(p.id, p.prompt, "0") for p in problems(3)], SAMPLING),
        (problems(3), Sampling(samples=3, max_tokens=5)),
    ):
        with pytest.raises(DataError, match=r"part-00000\.parquet: holds rollouts of other"):
            run(some, sampling)


def test_no_problems_and_ids_given_twice_are_refused():
    with pytest.raises(DataError, match="no problems"):
        collect([], Scripted(), verify, SAMPLING)
    with pytest.raises(DataError, match="two problems have the id 'p0'"):
        collect(problems(1) * 2, Scripted(), verify, SAMPLING)


def test_a_sampler_that_leaves_something_out_is_caught():
    with pytest.raises(ValueError, match="every problem's samples"):
        collect(problems(2), lambda chunk, s: Scripted()(chunk[1:], s), verify, SAMPLING)


def test_chunks_found_on_disk_are_those_that_were_made(tmp_path):
    def chunks(sample):
        return collected_chunks(
            problems(5), sample, verify, SAMPLING, folder=tmp_path, chunk_problems=2
        )

    made = list(chunks(Scripted()))
    labels = [[rollout.verdict.label for rollout in rollouts] for rollouts in made]
    assert labels == [["correct", "wrong"] * n for n in (2, 2, 1)]
    assert list(chunks(Scripted(fail_at=0))) == made


def test_few_chunks_are_in_memory_at_any_time(tmp_path):
    """Counted over 60 chunks of rollouts that are all alike in size."""
    counts = []
    gc.collect()
    # What is frozen is not counted: rollouts of other tests, and all that was imported.
    gc.freeze()
    for rollouts in collected_chunks(
        problems(60), Scripted(), verify, SAMPLING, folder=tmp_path, chunk_problems=1
    ):
        assert len(rollouts) == SAMPLING.samples
        counts.append(sum(type(one) is Rollout for one in gc.get_objects()))
    assert SAMPLING.samples <= min(counts)
    assert max(counts) <= 3 * SAMPLING.samples


class Streaming(Scripted):
    """Takes chunks ahead, as engines do."""

    def __init__(self, ahead, fail_at=None):
        super().__init__(fail_at)
        self.ahead = ahead
        self.taken = 0
        self.closed = False

    def stream(self, chunks, sampling):
        waiting = []
        try:
            for chunk in chunks:
                self.taken += 1
                waiting.append(chunk)
                if len(waiting) > self.ahead:
                    yield self(waiting.pop(0), sampling)
            for chunk in waiting:
                yield self(chunk, sampling)
        finally:
            self.closed = True


@pytest.mark.parametrize("ahead", [0, 1, 9])
def test_a_sampler_may_take_chunks_ahead(tmp_path, ahead):
    expected = collect(problems(7), Scripted(), verify, SAMPLING)
    sample = Streaming(ahead)
    assert collect(problems(7), sample, verify, SAMPLING, chunk_problems=2) == expected
    assert sample.closed
    # A part that is there already is not asked for, whatever is around it.
    collect(problems(7), Streaming(ahead), verify, SAMPLING, folder=tmp_path, chunk_problems=2)
    (tmp_path / "part-00001.parquet").unlink()
    again = Streaming(ahead)
    rollouts = collect(problems(7), again, verify, SAMPLING, folder=tmp_path, chunk_problems=2)
    assert rollouts == expected
    assert again.asked == [["p2", "p3"]]


def test_whoever_stops_early_ends_the_sampling_and_keeps_what_is_done(tmp_path):
    sample = Streaming(ahead=2)
    for _ in collected_chunks(
        problems(9), sample, verify, SAMPLING, folder=tmp_path, chunk_problems=1
    ):
        break
    gc.collect()
    assert sample.closed
    assert sample.taken < 9
    assert len(list(tmp_path.glob("part-*.parquet"))) == len(sample.asked) == 2
