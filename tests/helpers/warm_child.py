"""The warm process of tests/helpers/faults.py: reads requests, forks, and tells how forks ended."""

import gc
import importlib
import io
import json
import os
import random
import socket
import sys
import time
import traceback
import zlib
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT)]


def scripted_engine():
    """An engine that knows the answers and gives them now and then, as seed and weights decide."""
    from data_gen.model_ref import ModelRef
    from data_gen.problems.arithmetic import arithmetic_problems
    from data_gen.samplers.base import Engine, Sample
    from data_gen.samplers.tokenizer import load_tokenizer
    from offline_rl.tiny_base import TINY_BASE

    tokenizer = load_tokenizer(ModelRef(str(TINY_BASE)))
    golds = {
        one.prompt: one.answer
        for split in ("train", "test", "validation")
        for one in arithmetic_problems(split, 700)
    }

    class Scripted(Engine):
        def load(self, model):
            self._mark = zlib.crc32((Path(model.path) / "model.safetensors").read_bytes())

        def stream(self, batches, sampling):
            for batch in batches:
                yield [self._answers(request, sampling.samples) for request in batch]

        def _answers(self, request, count):
            gold = golds[tokenizer.decode(list(request.tokens), skip_special_tokens=True)]
            return [self._answer(gold, request.seed + j) for j in range(count)]

        def _answer(self, gold, seed):
            chance = random.Random(f"{seed}/{self._mark}")
            text = f" \\boxed{{{gold if chance.random() < 0.5 else chance.randrange(99)}}}"
            tokens = tokenizer.encode(text, add_special_tokens=False)
            return Sample(tokens, [-chance.random() for _ in tokens], text, "stop")

        @property
        def description(self):
            return {
                "engine": "scripted",
                "version": "1",
                "device": "cpu",
                "dtype": "float32",
                "threads": "1",
            }

        @property
        def context_tokens(self):
            return 256

        def close(self):
            pass

    def start(settings, model):
        engine = Scripted()
        engine.load(model)
        return engine

    return start


def fork(request, start_engine):
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child:
        theirs.close()
        return child, ours
    ours.close()
    code, said = 70, ""
    output = io.StringIO()
    try:
        # First of all: whoever reads it waits for this, and is told of any end after it.
        pipe = [Path(request["pipe"]).open("w", 1)] if "pipe" in request else []  # noqa: SIM115 (it ends with the process)
        sys.stdin.close()
        sys.stdout = sys.stderr = output
        os.environ.clear()
        os.environ.update(request["environment"])
        if request.get("powerless"):
            drop_capabilities()
        trace_me()
        if "packages" in request:
            begin_with(request["packages"])
        if request.get("scripted", True):
            import offline_rl.stages.engines

            offline_rl.stages.engines.start_engine = start_engine
        while "gate" in request and not os.path.exists(request["gate"]):
            time.sleep(0.002)
        if "clock" in request:
            jump(request["clock"])
        if "head_seconds" in request:
            import data_gen.cluster.head

            data_gen.cluster.head._HEAD_SECONDS = request["head_seconds"]
        break_methods(**request.get("broken", {}))
        ended = work(request)(request["arguments"], *pipe)
        assert not sys.modules.keys() & set(request.get("absent", ()))
        code = ended or 0
    except BaseException:
        output.write(traceback.format_exc())
    said = output.getvalue()
    # No `write`: those are counted, and made to fail.
    theirs.sendall(json.dumps([code, said]).encode())
    os._exit(code)


def work(request):
    """The command, or what `call` names as module:function."""
    if "call" not in request:
        return command
    module, _, name = request["call"].partition(":")
    return getattr(importlib.import_module(module), name)


def command(arguments):
    from offline_rl.cli.app import main

    sys.argv = ["offline-rl", *arguments]
    try:
        main()
    except SystemExit as end:
        return end.code or 0


def begin_with(packages):
    """As a process that starts with these packages: what is ours has not looked for any yet."""
    sys.path.insert(0, packages)
    for name in [name for name in sys.modules if name.partition(".")[0] == "offline_rl"]:
        del sys.modules[name]


def jump(seconds):
    """From here on the clock of the day goes wrong, a jump at each reading."""
    real, sign = time.time, [1]

    def wrong():
        sign[0] = -sign[0]
        return real() + sign[0] * seconds

    time.time = wrong


def break_methods(spent=None, divergent=None, mistaken=None):
    """One method that runs out of memory, one whose loss is no number, one with a slip in it."""
    import torch

    from offline_rl.methods.registry import METHODS

    def no_memory(self, logps, batch):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")

    def no_number(self, logps, batch):
        return logps * float("nan")

    def no_operand(self, logps, batch):
        return logps + "1"

    if spent is not None:
        METHODS[spent].loss = no_memory
    if divergent is not None:
        METHODS[divergent].loss = no_number
    if mistaken is not None:
        METHODS[mistaken].loss = no_operand


def drop_capabilities():
    """From here on the modes of files and folders count, for the superuser too."""
    import ctypes

    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    if libc.capset(header, (ctypes.c_uint32 * 6)()):
        raise OSError(ctypes.get_errno(), "capset")


def trace_me():
    """Lets a process that is no ancestor attach, where the kernel asks for that."""
    import ctypes

    ctypes.CDLL(None).prctl(0x59616D61, ctypes.c_ulong(-1), 0, 0, 0)


def import_everything():
    """What a run would import on its way."""
    for module in (
        "data_gen.store.parquet",
        "matplotlib.backends.backend_svg",
        "offline_rl.training.logprob_gap",
        "offline_rl.workflows.experiment",
        "offline_rl.training.launch",
        "offline_rl.report.page.model_section",
        "offline_rl.workflows.reports",
        "offline_rl.config.several_models",
        "offline_rl.training.train",
        "torch.utils.data._utils",
        "transformers.models.llama.modeling_llama",
    ):
        importlib.import_module(module)


def main():
    gc.disable()
    import_everything()
    from offline_rl.cli.data_commands import quiet_libraries

    quiet_libraries()
    start_engine = scripted_engine()
    gc.freeze()
    gc.enable()
    print("ready", flush=True)
    children = {}
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            pid = request["wait"]
            messages = children.pop(pid)
            said = b""
            while piece := messages.recv(1 << 16):
                said += piece
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            print(json.dumps([code, json.loads(said)[1] if said else ""]), flush=True)
            continue
        pid, messages = fork(request, start_engine)
        children[pid] = messages
        print(json.dumps(pid), flush=True)


if __name__ == "__main__":
    main()
