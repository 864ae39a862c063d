"""Checks of what a step computes: its gradient must not depend on how it is computed."""

import torch
from torch import Tensor

from losses import token_logps
from offline_rl.batch import Batch, TokenizedExample, collate, longest
from offline_rl.doctor.subject import CheckResult, Subject, difference, judged
from offline_rl.methods import Method
from offline_rl.methods.dft import Dft
from offline_rl.methods.dpo import Dpo
from offline_rl.methods.rft import Rft
from offline_rl.training.model import load_policy
from offline_rl.training.packing import lay

# Sums of float32 numbers in another order differ by some 1e-6; a mean taken too early by 1e-2.
_SAME = 1e-3
# Rounding of activations to 8 bits, through all layers and back.
_ROUNDED = 0.1
_NATS = 1e-3
_WHOLE, _ALONE = 2**30, 1


def accumulation(patient: Subject, method: Method) -> CheckResult:
    """Eight micro-batches of one example give the gradient of one micro-batch of eight."""
    whole = patient.gradient(method, tokens_per_microbatch=_WHOLE)
    parts = patient.gradient(method, tokens_per_microbatch=_ALONE)
    return _same(f"1 x 8 = 8 x 1, {method.kind}", parts, whole, _SAME)


def layouts(patient: Subject) -> list[CheckResult]:
    """One padded batch, batches by length, and rows end to end give the same gradient.

    Of a token- and of a pair-averaged method. Raises DataError for a model that lets such rows leak
    into each other: it trains padded.
    """
    found = []
    for method in (Rft(), Dpo()):
        check = f"padded = bucketed = packed, {method.kind}"
        examples = patient.examples(method)
        if lay(collate(examples, torch.device("cpu")).attention_mask, one_row=False) is None:
            found.append(
                CheckResult(check, "skipped", "no two rollouts are as short as the longest")
            )
            continue
        few = 3 * max(len(example) * longest(example) for example in examples)
        padded = patient.gradient(method, tokens_per_microbatch=_WHOLE, packing=False)
        bucketed = patient.gradient(method, tokens_per_microbatch=few, packing=False)
        packed = patient.gradient(method, tokens_per_microbatch=_WHOLE, packing=True)
        apart = max(difference(other, padded) for other in (bucketed, packed))
        found.append(judged(check, apart <= _SAME, f"off by {apart:.1e}", f"{_SAME:g}"))
    return found


def precision(patient: Subject, method: Method) -> CheckResult:
    """Training in bfloat16 keeps to the gradient of float32 within its rounding."""
    exact = patient.gradient(method, tokens_per_microbatch=_WHOLE)
    rounded = patient.gradient(method, tokens_per_microbatch=_WHOLE, precision="bfloat16")
    return _same(f"bf16 = float32, {method.kind}", rounded, exact, _ROUNDED)


def dft_raises_p(patient: Subject) -> CheckResult:
    """DFT's gradient is that of -p, taken here from whole logits, one example after another."""
    dft = Dft()
    examples = patient.examples(dft)
    policy = _policy(patient, dft)
    tokens = sum(row.trained_tokens for (row,) in examples)
    for example in examples:
        logps, batch = _scored(policy, [example])
        loss = -(logps.exp() * batch.mask).sum() / tokens
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
    parameters = [p for p in policy.parameters() if p.grad is not None]
    slow = torch.cat([p.grad.flatten() for p in parameters if p.grad is not None]).cpu()
    return _same("DFT's gradient = that of -p", patient.gradient(dft), slow, _SAME)


def padding(patient: Subject) -> CheckResult:
    """Log-probabilities in a padded batch are those of every rollout by itself."""
    rft = Rft()
    examples = patient.examples(rft)
    policy = _policy(patient, rft).eval()
    gap = 0.0
    with torch.no_grad():
        together, batch = _scored(policy, examples)
        for row, mask, example in zip(together, batch.mask, examples, strict=True):
            alone, own = _scored(policy, [example])
            both = row[mask > 0] - alone[own.mask > 0]
            gap = max(gap, both.abs().max().item())
    figure = f"off by {gap:.1e} nats"
    return judged("padded = one by one", gap <= _NATS, figure, f"{_NATS:g} nats")


def _same(check: str, gradient: Tensor, expected: Tensor, limit: float) -> CheckResult:
    apart = difference(gradient, expected)
    return judged(check, apart <= limit, f"off by {apart:.1e}", f"{limit:g}")


def _policy(patient: Subject, method: Method) -> torch.nn.Module:
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    policy: torch.nn.Module = load_policy(patient.model, patient.training(method, lora=None))
    return policy.to(device)


def _scored(policy: torch.nn.Module, examples: list[TokenizedExample]) -> tuple[Tensor, Batch]:
    batch = collate(examples, next(policy.parameters()).device)
    logits = policy(
        input_ids=batch.tokens, attention_mask=batch.attention_mask, use_cache=False
    ).logits
    return token_logps(logits[:, :-1].float(), batch.tokens[:, 1:]), batch
