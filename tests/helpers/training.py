"""What the tests of training share: rollouts, a trainer at work, and every method once more, slow.

The slow losses are written over whole logits in float64, one unpadded row after another, and share
no code with what they are held against.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import AutoTokenizer
from trl import SFTConfig

from data_gen.model_ref import ModelRef
from data_gen.selection import Pairing, Selection
from data_gen.types import Completion, Problem, Rollout, Verdict
from offline_rl.methods.registry import METHODS
from offline_rl.settings.training import Lora, TrainingSettings
from offline_rl.training.model import load_policy
from offline_rl.training.train import prepare
from offline_rl.training.trainer import OfflineTrainer

SELECTION = Selection(pairs=Pairing(per_problem=2))
LAST = 8
"""How many examples `make_trainer` takes: the whole of one optimiser batch."""


def twelve_problems(model: str) -> list[Rollout]:
    """Twelve problems with two accepted and two wrong rollouts each, of different lengths.

    Every third problem has one accepted rollout less, so that mean rewards differ.
    """
    tokenizer = AutoTokenizer.from_pretrained(model)
    generator = random.Random(0)
    made = []
    for number in range(12):
        problem = Problem(f"p{number}", f"{number}+{number}=", str(2 * number))
        for sample in range(4):
            right = sample < (1 if number % 3 == 1 else 2)
            text = f"{2 * number + (0 if right else sample)}" + "!" * generator.randint(0, 15)
            made.append(rollout(tokenizer, problem, sample, text, right=right))
    return made


def rollout(tokenizer: Any, problem: Problem, sample: int, text: str, *, right: bool) -> Rollout:
    tokens = [*tokenizer.encode(text, add_special_tokens=False), tokenizer.eos_token_id]
    completion = Completion(
        problem_id=problem.id,
        sample=sample,
        seed=sample,
        prompt=problem.prompt,
        prompt_tokens=tokenizer.encode(problem.prompt, add_special_tokens=False),
        text=text,
        tokens=tokens,
        logps=(-1.0,) * len(tokens),
        finish_reason="stop",
    )
    verdict = Verdict.correct(text) if right else Verdict.wrong("different", text)
    return Rollout(problem, completion, verdict)


def make_trainer(
    kind: str,
    model: str,
    rollouts: list[Rollout],
    folder: Any,
    *,
    budget: int = 10**6,
    lora: Lora | None = None,
    attention: str | None = None,
    how: dict[str, Any] | None = None,
    **settings: Any,
) -> OfflineTrainer:
    """A trainer whose policy has moved a little away from the reference, so that ratios differ.

    They move such that kto's divergence is more than 0. `how` goes to the trainer itself.
    """
    method = METHODS[kind](**settings)
    examples, _ = prepare(method, rollouts, SELECTION, 0, 10**6)
    trainer = OfflineTrainer(
        method=method,
        examples=examples[:LAST],
        tokens_per_microbatch=budget,
        **(how or {}),
        model=load_policy(ModelRef(model), TrainingSettings(lora=lora, attention=attention)),
        args=SFTConfig(
            output_dir=str(folder),
            use_cpu=True,
            bf16=False,
            report_to="none",
            gradient_checkpointing=False,
            dataset_kwargs={"skip_prepare_dataset": True},
            remove_unused_columns=False,
            max_length=None,
        ),
        processing_class=AutoTokenizer.from_pretrained(model),
    )
    trainer.add_reference()
    torch.manual_seed(5)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            if parameter.requires_grad:
                parameter -= 0.02 * torch.randn_like(parameter)
    # The start of training has passed: the policy is not the reference any more.
    trainer.state.global_step = 1
    trainer.create_accelerator_and_postprocess()
    return trainer


def gradients_of_step(trainer: OfflineTrainer) -> dict[str, Tensor]:
    trainer.model.zero_grad()
    count = len(trainer._examples)
    trainer.training_step(trainer.model, {"examples": torch.arange(count)})
    return gradients(trainer.model)


def gradients(model: Any) -> dict[str, Tensor]:
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


def assert_equal_gradients(
    ours: dict[str, Tensor], expected: dict[str, Tensor], tolerance: float = 1e-5
) -> None:
    scale = max(gradient.abs().max() for gradient in expected.values()).item()
    assert scale > 0
    assert ours.keys() == expected.keys()
    for name, gradient in expected.items():
        torch.testing.assert_close(
            ours[name].double(), gradient.double(), atol=tolerance * scale, rtol=0, msg=name
        )


@dataclass(frozen=True)
class Scored:
    """One completion in float64: logits of policy and base at its tokens, and the tokens' own."""

    problem: str
    sample: int
    logits: Tensor
    base_logits: Tensor
    tokens: Tensor

    @property
    def own(self) -> Tensor:
        return _picked(self.logits, self.tokens)

    @property
    def base(self) -> Tensor:
        return _picked(self.base_logits, self.tokens)

    @property
    def right(self) -> bool:
        return self.sample < (1 if int(self.problem[1:]) % 3 == 1 else 2)

    @property
    def mean_reward(self) -> float:
        return (1 if int(self.problem[1:]) % 3 == 1 else 2) / 4


def _picked(logits: Tensor, tokens: Tensor) -> Tensor:
    every = logits - logits.exp().sum(-1, keepdim=True).log()
    return torch.stack([every[t, token] for t, token in enumerate(tokens)])


def slow_loss(trainer: OfflineTrainer, model: Any, base: Any) -> Tensor:
    """The method's objective on the trainer's examples; both models are in float64."""
    examples = [[_scored(model, base, row) for row in example] for example in trainer._examples]
    return SLOW[trainer._method.kind](trainer._method, examples, _kl(trainer, model, base))


def _scored(model: Any, base: Any, row: Any, completion: Any = None) -> Scored:
    prompt = row.tokens[: row.prompt_length]
    other = row if completion is None else completion
    tokens = other.tokens[other.prompt_length :]
    whole = torch.tensor([[*prompt, *tokens]])
    logits = model(whole).logits[0, len(prompt) - 1 : -1]
    with torch.no_grad():
        base_logits = base(whole).logits[0, len(prompt) - 1 : -1]
    problem, sample = row.rollout_id.split("#")
    return Scored(problem, int(sample), logits, base_logits, torch.tensor(tokens))


def _kl(trainer: OfflineTrainer, model: Any, base: Any) -> Callable[[], Tensor]:
    """KTO's divergence: every completion behind the prompt of the problem four rows further."""

    def kl() -> Tensor:
        rows = [row for (row,) in trainer._examples]
        mixed = [_scored(model, base, row, rows[i - 4]) for i, row in enumerate(rows)]
        with torch.no_grad():
            return torch.stack([(one.own - one.base).sum() for one in mixed]).mean().clamp(min=0)

    return kl


def _per_token(loss: Callable[[Any, Scored], Tensor]) -> Callable[..., Tensor]:
    def mean(method: Any, examples: list[list[Scored]], kl: Any) -> Tensor:
        every = torch.cat([loss(method, one) for example in examples for one in example])
        return every.sum() / len(every)

    return mean


def _per_example(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def mean(method: Any, examples: list[list[Scored]], kl: Any) -> Tensor:
        return sum(loss(method, *example) for example in examples) / len(examples)  # type: ignore[return-value]

    return mean


def _nll(method: Any, one: Scored) -> Tensor:
    return -one.own


def _dft(method: Any, one: Scored) -> Tensor:
    return -one.own.exp()  # the objective itself, in place of the weighted one


def _iw_sft(method: Any, one: Scored) -> Tensor:
    return -(one.own - one.base).mean().exp().detach() * one.own


def _power(method: Any, one: Scored) -> Tensor:
    return (1 - one.own.exp() ** method.alpha) / method.alpha


def _asft(method: Any, one: Scored) -> Tensor:
    p, base = one.logits.softmax(-1), one.base_logits.softmax(-1)
    return _dft(method, one) + method.kl_weight * (base * (base.log() - p.log())).sum(-1)


def _psft(method: Any, one: Scored) -> Tensor:
    ratio = (one.own - one.base).exp()  # the policy was last looked at before it left the base
    return -ratio.clamp(max=method.clip[1])


def _offline_grpo(method: Any, one: Scored) -> Tensor:
    return -(one.right - one.mean_reward) * one.own.exp()


def _topr(method: Any, one: Scored) -> Tensor:
    taper = min((one.own - one.base).sum().exp().item(), 1.0)
    return -one.own if one.right else taper * one.own


def _asymre(method: Any, one: Scored) -> Tensor:
    return -(one.right - one.mean_reward - method.offset) * one.own


def _rift(method: Any, one: Scored) -> Tensor:
    return -one.own if one.right else method.penalty * one.own.exp()


def _dpo(method: Any, chosen: Scored, rejected: Scored) -> Tensor:
    margin = (chosen.own - chosen.base).sum() - (rejected.own - rejected.base).sum()
    return (1 + (-method.beta * margin).exp()).log()


def _ipo(method: Any, chosen: Scored, rejected: Scored) -> Tensor:
    margin = (chosen.own - chosen.base).mean() - (rejected.own - rejected.base).mean()
    return (margin - 0.5 / method.beta) ** 2


def _simpo(method: Any, chosen: Scored, rejected: Scored) -> Tensor:
    margin = method.beta * (chosen.own.mean() - rejected.own.mean()) - method.gamma
    return (1 + (-margin).exp()).log()


def _kto(method: Any, examples: list[list[Scored]], kl: Callable[[], Tensor]) -> Tensor:
    divergence, losses = kl(), []
    for (one,) in examples:
        sign = 1 if one.right else -1
        gain = sign * method.beta * ((one.own - one.base).sum() - divergence)
        weight = method.desirable_weight if one.right else method.undesirable_weight
        losses.append(weight * (1 - 1 / (1 + (-gain).exp())))
    return torch.stack(losses).mean()


SLOW: dict[str, Callable[..., Tensor]] = {
    **dict.fromkeys(("rft", "sft"), _per_token(_nll)),
    "dft": _per_token(_dft),
    "iw_sft": _per_token(_iw_sft),
    "power": _per_token(_power),
    "asft": _per_token(_asft),
    "psft": _per_token(_psft),
    "offline_grpo": _per_token(_offline_grpo),
    "topr": _per_token(_topr),
    "asymre": _per_token(_asymre),
    "rift": _per_token(_rift),
    "dpo": _per_example(_dpo),
    "ipo": _per_example(_ipo),
    "simpo": _per_example(_simpo),
    "kto": _kto,
}
