"""Which further arguments of vLLM's engine a settings file may give."""

import ast
import difflib
import importlib.util
from collections.abc import Set as AbstractSet
from functools import cache
from pathlib import Path

# Arguments that name code or files of code to be run, or let a stranger in: a settings file may
# come from anywhere.
_RUNS_CODE = frozenset(
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

# Arguments that are set here, with what says so instead.
_SET_OTHERWISE = {
    "model": "the experiment's model",
    "tokenizer": "the experiment's model",
    "revision": "the experiment's revision",
    "tokenizer_revision": "the experiment's revision",
    "seed": "sampling.seed",
    "enable_lora": "lora",
    "max_lora_rank": "lora",
    "max_loras": "lora",
    "default_mm_loras": "lora",
    "data_parallel_size_local": "data_parallel_size",
    "data_parallel_rank": "data_parallel_size",
    "data_parallel_start_rank": "data_parallel_size",
    "data_parallel_backend": "data_parallel_size",
    "disable_log_stats": "nothing: it changes no sample",
    "logprobs_mode": "nothing: the raw log-probabilities are kept",
    "skip_tokenizer_init": "nothing: the text is needed",
    "enable_chunked_prefill": "nothing: seeded samples need it off on a CPU",
}


def check_option(name: str, fields: AbstractSet[str]) -> None:
    """Raises ValueError for an argument that vLLM does not have, or that is not to be given.

    `fields` are the settings that stand beside the options.
    """
    if name in fields:
        raise ValueError(f"{name} is a setting of its own: put it beside options")
    if name in _SET_OTHERWISE:
        raise ValueError(f"{name} cannot be an option; it is set by {_SET_OTHERWISE[name]}")
    if name in _RUNS_CODE:
        raise ValueError(f"{name} cannot be an option: it runs code or opens a connection")
    known = engine_arguments() - _RUNS_CODE - _SET_OTHERWISE.keys()
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
