"""What every column of the report's CSV files means."""

from collections.abc import Mapping

from eval.comparison import CHECK_COLUMNS
from eval.curves import PASS_AT_K, PROFILE
from eval.label_rows import COMPARISON, SEEDS
from eval.pair_rows import PAIRWISE

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "comparison.csv": {
        **COMPARISON,
        "training_examples": "examples the method found; this and what follows: means over seeds",
        "training_steps": "optimiser steps taken",
        "training_epochs": "passes over the examples",
        "training_examples_seen": "examples trained on, repetitions counted",
        "training_tokens_seen": "completion tokens trained on, repetitions counted",
        "training_flops": "estimated operations of forward and backward passes",
        "training_trials": "trials that the method's settings were chosen among",
    },
    "pairwise.csv": {
        **PAIRWISE,
        "budgets_that_differ": "of steps, examples_seen, trained_tokens_seen and trials, those in"
        " which the two differ by more than 5%",
    },
    "checks.csv": CHECK_COLUMNS,
    "seeds.csv": SEEDS,
    "pass_at_k.csv": PASS_AT_K,
    "performance_profile.csv": PROFILE,
    "training.csv": {
        "model": "the base model that was trained",
        "label": "the method's name in the experiment",
        "training_seed": "seed of data order and initialisation",
        "role": "compared, or the number of a trial that settings were chosen by",
        "trials": "trials that the method's settings were chosen among; 0: as written",
        "validation_avg_at_k_percent": "of a trial on the sweep's problems, else of the weights"
        " that training.validation chose on its own",
        "validation_best_step": "step whose weights training.validation chose; empty without it",
        "stopped_early": "whether it ended the training there",
        "kind": "which method it is",
        "status": "finished or failed",
        "reason": "why it failed",
        "method_settings": "the method's own settings",
        "lr": "peak learning rate",
        "steps": "optimiser steps taken",
        "epochs": "passes over the examples",
        "examples_per_step": "examples in one optimiser step; an example is a rollout or a pair",
        "scheduler": "shape of the learning rate over steps",
        "warmup": "share of steps in which the learning rate rises",
        "betas": "Adam's decay rates",
        "weight_decay": "decoupled weight decay",
        "max_grad_norm": "gradients are scaled down to this norm",
        "optimizer": "name of the optimiser",
        "max_tokens": "rollouts longer than this, prompt included, were left out",
        "precision": "number format of the forward pass",
        "attention": "the kernel that computed it",
        "packed": "whether rows were laid end to end for it, and not padded",
        "lora_rank": "rank of the adapters; empty where all weights are trained",
        "examples": "examples the method found among the rollouts",
        "rollouts_per_example": "1, or 2 for pairs",
        "examples_too_long": "examples left out as longer than max_tokens",
        "examples_seen": "examples trained on, repetitions counted",
        "trained_tokens_seen": "completion tokens trained on, repetitions counted",
        "flops": "estimated operations of forward and backward passes",
        "update_kept_in_bfloat16_percent": "weights that still differ from the base's when rounded"
        " to bfloat16, of those that training changed",
        "final_loss": "the method's own loss at the last logged step; not comparable across kinds",
        "final_accepted_nll_nats": "mean -log p of the accepted completions' tokens, last step",
        "final_accepted_mean_p": "mean probability of those tokens, last step",
        "final_accepted_entropy_nats": "mean entropy of the policy at those tokens, last step",
        "final_gradient_norm": "before scaling, last step",
        "seconds": "wall time of training, a clock reading",
        "peak_memory_gib": "largest memory held: of the GPU if there is one, else of the process",
    },
    "learning_curves.csv": {
        "model": "the base model that was trained",
        "label": "the method's name in the experiment",
        "training_seed": "seed of data order and initialisation",
        "step": "optimiser steps taken",
        "loss": "the method's own loss; not comparable across kinds",
        "accepted_nll_nats": "mean -log p of the accepted completions' tokens in the step's batch",
        "accepted_mean_p": "mean probability of those tokens",
        "accepted_entropy_nats": "mean entropy of the policy at those tokens",
        "gradient_norm": "before scaling",
        "learning_rate": "of the step",
    },
    "data.csv": {
        "model": "the base model whose data it is",
        "stage": "sampled (all rollouts), filters (what each one left), dataset (what methods learn"
        " from), pairs (of the first training seed), audit (by a second verifier), behaviour (the"
        " trainer's log-probabilities against the sampler's)",
        "statistic": "what was counted",
        "value": "the count, share or text",
    },
    "samples.csv.gz": {
        "model": "the base model that the policy comes from",
        "label": "policy and its decoding",
        "training_seed": "seed it was trained with; empty for an untrained policy",
        "benchmark": "set of held-out problems",
        "problem_id": "which of them",
        "sample": "number of the sample among those of the problem",
        "seed": "of the sampling",
        "verdict": "correct, wrong or unverifiable",
        "reason": "why the verifier said so",
        "answer": "final answer that it found",
        "reward": "what it gave",
        "tokens": "length of the completion",
        "truncated": "whether it was cut off at the token limit",
        "nll": "minus the mean log-probability of its tokens in nats",
    },
}
