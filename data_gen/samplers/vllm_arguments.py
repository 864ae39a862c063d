"""Which further arguments of vLLM's engine a settings file may give."""

from collections.abc import Set as AbstractSet

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
        "model_weights",
        "pt_load_map_location",
        "code_revision",
        "hf_config_path",
        "hf_overrides",
        "chat_template",
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
        "mm_encoder_fp8_scale_path",
        "mm_encoder_fp8_scale_save_path",
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
    """Raises ValueError for an argument that is not to be given among the options.

    `fields` are the settings that have a place of their own. Names that vLLM does not know are
    left to vLLM, which refuses them when it starts.
    """
    if name in fields:
        raise ValueError(f"{name} is a setting of its own: put it beside options")
    if name in _SET_OTHERWISE:
        raise ValueError(f"{name} cannot be an option: {_SET_OTHERWISE[name]}")
    if name in _REACHES_OUT:
        raise ValueError(f"{name} cannot be an option: it could run code or reach other files")
