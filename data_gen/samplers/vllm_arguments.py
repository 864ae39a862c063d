"""Which further arguments of vLLM's engine a settings file may give."""

import ast
import difflib
import importlib.util
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path

# Arguments that may run code, open connections or reach files: settings come from anywhere.
_REACHES_OUT = frozenset(
    {
        "trust_remote_code",
        "worker_cls",
        "worker_extension_cls",
        "scheduler_cls",
        "logits_processors",
        "distributed_executor_backend",
        "model_impl",
        "load_format",
        "model_loader_extra_config",
        "pt_load_map_location",
        "code_revision",
        "hf_overrides",
        "model_class_overrides",
        "io_processor_plugin",
        "reasoning_parser_plugin",
        "kv_transfer_config",
        "ec_transfer_config",
        "structured_outputs_config",
        "additional_config",
        "profiler_config",
        "logging_config",
        "log_config_file",
        "weight_transfer_config",
        "master_addr",
        "master_port",
        "data_parallel_address",
        "data_parallel_rpc_port",
        "otlp_traces_endpoint",
        "allowed_local_media_path",
        "allowed_media_domains",
        "hf_token",
        "download_dir",
    }
)

# Arguments that are not left to options, each with the reason.
_SET_OTHERWISE = {
    "model": "the experiment's model is sampled",
    "tokenizer": "the experiment's model has its own",
    "revision": "the experiment's revision is taken",
    "tokenizer_revision": "the experiment's revision is taken",
    "seed": "sampling.seed sets it for each sample",
    "enable_lora": "set lora",
    "max_lora_rank": "set lora",
    "max_loras": "set lora",
    "default_mm_loras": "set lora",
    "data_parallel_size_local": "set data_parallel_size",
    "data_parallel_rank": "set data_parallel_size",
    "data_parallel_start_rank": "set data_parallel_size",
    "data_parallel_backend": "set data_parallel_size",
    "disable_log_stats": "no statistics are read",
    "logprobs_mode": "raw log-probabilities are kept",
    "skip_tokenizer_init": "the text is needed",
    "enable_chunked_prefill": "seeded samples need it off on a CPU, and vLLM decides on a GPU",
}


def check_option(name: str, fields: AbstractSet[str]) -> None:
    """Raises ValueError for an argument that vLLM does not have, or that is not to be given.

    `fields` are the settings that stand beside the options.
    """
    if name in fields:
        raise ValueError(f"{name} is a setting of its own: put it beside options")
    if name in _SET_OTHERWISE:
        raise ValueError(f"{name} cannot be an option: {_SET_OTHERWISE[name]}")
    if name in _REACHES_OUT:
        raise ValueError(f"{name} cannot be an option: it could run code or reach other files")
    known = engine_arguments() - _REACHES_OUT - _SET_OTHERWISE.keys()
    if known and name not in known:
        near = difflib.get_close_matches(name, known | fields, 1, cutoff=0)
        raise ValueError(f"{name!r} is no argument of vLLM's EngineArgs; the nearest is {near[0]}")


@cache
def engine_arguments() -> frozenset[str]:
    """The names of vLLM's EngineArgs; none where vLLM is not installed.

    Read from its source: importing vLLM takes longer than everything else that checks settings.
    """
    spec = importlib.util.find_spec("vllm")
    if spec is None or not spec.submodule_search_locations:
        return frozenset()
    source = Path(spec.submodule_search_locations[0]) / "engine" / "arg_utils.py"
    names: set[str] = set()
    for node in ast.parse(source.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ClassDef) and node.name == "EngineArgs":
            fields = (field for field in node.body if isinstance(field, ast.AnnAssign))
            names |= {f.target.id for f in fields if isinstance(f.target, ast.Name)}
    return frozenset(name for name in names if not name.startswith("_"))
