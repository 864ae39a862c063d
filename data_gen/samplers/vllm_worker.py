"""The child process that holds vLLM; started by data_gen.samplers.vllm."""

import gc
import os
from itertools import chain
from typing import Any

from data_gen.process import serve


class Worker:
    def __init__(self) -> None:
        self.llm: Any = None

    def __call__(self, message: dict[str, Any]) -> dict[str, Any]:
        try:
            return self.load(message["load"]) if "load" in message else self.sample(message)
        except Exception as error:  # every failure of the engine is the parent's to report
            return {"error": f"{type(error).__name__}: {error}"}

    def load(self, options: dict[str, Any]) -> dict[str, Any]:
        import torch
        import vllm
        from vllm import SamplingParams

        self.llm = None
        gc.collect()
        self.llm = vllm.LLM(**options, seed=0, trust_remote_code=False, disable_log_stats=True)
        # Shapes that the kernels do not serve show with the first token only.
        self.llm.generate([{"prompt_token_ids": [0]}], SamplingParams(max_tokens=1), use_tqdm=False)
        flags = {key: str(value) for key, value in options.items() if key != "model"}
        return {
            "context_tokens": self.llm.model_config.max_model_len,
            "description": {
                "engine": "vllm",
                "version": vllm.__version__,
                "torch": torch.__version__,
                "device": vllm.platforms.current_platform.device_name,
                "threads": os.environ.get("OMP_NUM_THREADS", ""),
                **flags,
            },
        }

    def sample(self, message: dict[str, Any]) -> dict[str, Any]:
        from vllm import SamplingParams

        sampling = message["sampling"]
        count = sampling.pop("samples")
        requests = message["requests"]
        # Only stop strings need the text token by token, which costs a tenth of the time.
        by_token = bool(sampling["stop"])
        outputs = self.llm.generate(
            [{"prompt_token_ids": tokens} for tokens, _ in requests],
            [
                SamplingParams(n=count, seed=seed, logprobs=0, detokenize=by_token, **sampling)
                for _, seed in requests
            ],
            use_tqdm=False,
        )
        tokenizer = self.llm.get_tokenizer()
        for one in chain.from_iterable(output.outputs for output in outputs):
            if not isinstance(one.stop_reason, str):  # else the text is cut at the stop string
                one.text = tokenizer.decode(one.token_ids, skip_special_tokens=True)
        return {"samples": [[_plain(one) for one in output.outputs] for output in outputs]}


def _plain(output: Any) -> tuple[list[int], list[float], str, str]:
    tokens = list(output.token_ids)
    logps = [step[token].logprob for step, token in zip(output.logprobs, tokens, strict=True)]
    if output.finish_reason not in ("stop", "length"):
        raise RuntimeError(f"a request ended with {output.finish_reason!r}")
    return tokens, logps, output.text, output.finish_reason


if __name__ == "__main__":
    serve(Worker())
