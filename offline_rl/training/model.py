"""Loading a base model for training, putting adapters on it, and reaching into it."""

import functools
import types
from collections.abc import Callable
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedConfig
from trl.trainer.utils import disable_dropout_in_model

from data_gen.model_ref import ModelRef
from data_gen.remote_code import with_remedy
from data_gen.types import DataError
from offline_rl.settings.training import Lora, TrainingSettings
from offline_rl.training.varlen_attention import VARLEN


def load_policy(model: ModelRef, training: TrainingSettings) -> Any:
    """The base model in float32 with dropout off, adapters added where asked for.

    Weights come from safetensors only. bfloat16 training keeps float32 weights and rounds
    activations.
    Dropout is off because the importance ratio and the preference margin compare the policy with a
    reference that is scored without it. On a GPU in bfloat16 attention is torch's kernel for packed
    rows, unless the settings name another.
    """
    try:
        policy = AutoModelForCausalLM.from_pretrained(
            model.path,
            revision=model.revision,
            dtype=torch.float32,
            use_safetensors=True,
            trust_remote_code=model.trust_code,
            attn_implementation=training.attention,
        )
    # A folder from anywhere makes the library fail in any way; memory is the machine's own matter.
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        reason = with_remedy(" ".join(str(error).split())[:400] or type(error).__name__)
        raise DataError(f"model {model.path!r} cannot be loaded: {reason}") from error
    # Where nothing is packed it is sdpa, which must be right too.
    if training.attention == VARLEN and not (policy._supports_flash_attn and policy._supports_sdpa):
        raise DataError(f"training.attention: no varlen for {type(policy).__name__}: leave it out")
    _disable_dropout(policy)
    if training.attention is None and _serves_varlen(policy, training):
        policy.set_attn_implementation(VARLEN)
    return policy if training.lora is None else add_lora(policy, training.lora)


def _disable_dropout(policy: Any) -> None:
    disable_dropout_in_model(policy)
    # Most models have numbers besides, which they hand to functions: dropout, resid_pdrop, ...; in
    # their layers, or in the configuration that the layers read.
    configs = {id(module.config): module.config for module in policy.modules() if _has(module)}
    policy.dropout_of_base = [
        (config, name, value) for config in configs.values() for name, value in _dropouts(config)
    ]
    for place in (*policy.modules(), *configs.values()):
        for name, _ in _dropouts(place):
            setattr(place, name, 0.0)


def _has(module: Any) -> bool:
    return isinstance(getattr(module, "config", None), PreTrainedConfig)


def _dropouts(place: Any) -> list[tuple[str, float]]:
    return [
        (name, value)
        for name, value in vars(place).items()
        if "drop" in name and isinstance(value, float)
    ]


def _serves_varlen(policy: Any, training: TrainingSettings) -> bool:
    """Whether torch's kernel for packed rows takes the place of the attention it came with.

    Where flash attention is served, layers say all that they want of it, and nothing by a mask.
    """
    half = training.precision == "bfloat16" and torch.cuda.is_available()
    known = policy.config._attn_implementation == "sdpa" and policy._supports_flash_attn
    return half and bool(training.packing) and bool(known)


def add_lora(policy: Any, lora: Lora) -> Any:
    """Wraps the model in adapters that start as the identity."""
    modules = lora.target_modules
    config = LoraConfig(
        r=lora.rank,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=modules if isinstance(modules, str) else list(modules),
        use_dora=lora.dora,
        task_type="CAUSAL_LM",
    )
    return get_peft_model(policy, config)


def causal_of(policy: Any) -> Any:
    """The model without the wrapper of its adapters."""
    return policy.get_base_model() if isinstance(policy, PeftModel) else policy


def wrap_forward(module: Any, wrapper: Callable[..., Any]) -> None:
    """Makes every forward pass call `wrapper(forward, *args, **kwargs)`, `forward` being its own.

    The only place that replaces a model's `forward`. Hooks run before and after a pass: they cannot
    spare it the full logits, nor undo what they set where an interrupt ends it.
    """
    forward = module.forward

    # The library reads the parameters that a model takes off this signature.
    @functools.wraps(type(module).forward)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        return wrapper(forward, *args, **kwargs)

    module.forward = types.MethodType(wrapped, module)


def save_policy(policy: Any, folder: str, *, keep_adapter: bool = False) -> None:
    """Whole weights as safetensors; adapters are merged in, so that every engine loads them.

    With `keep_adapter` the adapter alone is saved besides, in `folder`/adapter.
    """
    if keep_adapter and isinstance(policy, PeftModel):
        policy.save_pretrained(f"{folder}/adapter")
    merged = policy.merge_and_unload() if isinstance(policy, PeftModel) else policy
    # Whoever trains it further finds the dropout that it came with.
    for config, name, value in merged.dropout_of_base:
        setattr(config, name, value)
    merged.save_pretrained(folder)
