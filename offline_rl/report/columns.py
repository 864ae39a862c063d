"""What every column of the report's CSV files means."""

import re
from collections.abc import Mapping

_PASS = "pass_at_<k>_percent"

COLUMNS: Mapping[str, Mapping[str, str]] = {
    "comparison.csv": {
        "label": "policy and its decoding: the untouched base, or a method",
        "benchmark": "set of held-out problems; macro is the unweighted mean over all of them",
        "temperature": "of sampling; 0 is greedy decoding",
        "problems": "number of problems; their sum in a macro row",
        "samples_per_problem": "k of avg@k and maj@k; the fewest of the benchmarks in a macro row",
        "training_seeds": "seeds the method was trained with; 0 for an untrained policy",
        "avg_at_k_percent": "share of correct samples, mean over problems and training seeds",
        "avg_at_k_low_percent": "lower end of its 95% interval over problems and training seeds",
        "avg_at_k_high_percent": "upper end of that interval",
        "standard_error_points": "of avg@k, clustered by problem, for the checkpoints at hand",
        "training_seed_sd_points": "standard deviation of avg@k between training seeds",
        _PASS: "chance that at least one of k samples is correct (unbiased); empty if fewer drawn",
        "maj_at_k_percent": "share of problems whose most frequent answer is correct; ties shared",
        "truncated_percent": "samples cut off at the token limit",
        "no_answer_percent": "samples without a final answer that the verifier found",
        "verifier_timeout_percent": "samples that the verifier could not judge in time",
        "mean_reward": "mean of what the verifier gave",
        "mean_tokens": "mean length of a completion in tokens",
        "distinct_answers": "mean number of different answers among a problem's samples",
        "token_entropy_nats": "mean -log p of the sampled tokens; empty unless temperature is 1",
        "training_examples": "examples the method found; this and what follows: means over seeds",
        "training_steps": "optimiser steps taken",
        "training_epochs": "passes over the examples",
        "training_examples_seen": "examples trained on, repetitions counted",
        "training_tokens_seen": "completion tokens trained on, repetitions counted",
        "training_flops": "estimated operations of forward and backward passes",
        "training_trials": "trials that the method's settings were chosen among",
    },
    "pairwise.csv": {
        "label": "trained method",
        "against": "what it is compared with",
        "benchmark": "set of held-out problems; macro is the unweighted mean over all of them",
        "problems": "number of problems, each answered by both sides",
        "difference_points": "avg@k of label less that of against, in percentage points",
        "low_points": "lower end of its 95% interval over problems and training seeds",
        "high_points": "upper end of that interval",
        "standard_error_points": "of the difference: paired over problems, plus training seeds",
        "degrees_of_freedom": "Satterthwaite's, of the interval's Student t",
        "p_value": "two-sided, of that t",
        "holm_p_value": "p_value adjusted for all rows of the family",
        "family": "rows tested together: primary (macro) or secondary (single benchmarks)",
        "minimum_detectable_points": "true difference found in 80 of 100 such comparisons",
        "wins": "problems on which label is right more often, training seeds averaged",
        "ties": "problems on which both are right equally often",
        "losses": "problems on which label is right less often",
        "training_seeds_label": "training seeds of label",
        "training_seeds_against": "training seeds of against; 0 for an untrained policy",
        "budgets_that_differ": "of steps, examples_seen, trained_tokens_seen and trials, those in"
        " which the two differ by more than 5%",
    },
    "training.csv": {
        "label": "the method's name in the experiment",
        "training_seed": "seed of data order and initialisation",
        "role": "compared, or the number of a trial that settings were chosen by",
        "trials": "trials that the method's settings were chosen among; 0: as written",
        "validation_avg_at_k_percent": "of a trial, on the sweep's problems",
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
        "lora_rank": "rank of the adapters; empty where all weights are trained",
        "examples": "examples the method found among the rollouts",
        "rollouts_per_example": "1, or 2 for pairs",
        "examples_too_long": "examples left out as longer than max_tokens",
        "examples_seen": "examples trained on, repetitions counted",
        "trained_tokens_seen": "completion tokens trained on, repetitions counted",
        "flops": "estimated operations of forward and backward passes",
        "final_loss": "the method's own loss at the last logged step; not comparable across kinds",
        "final_accepted_nll_nats": "mean -log p of the accepted completions' tokens, last step",
        "final_accepted_mean_p": "mean probability of those tokens, last step",
        "final_accepted_entropy_nats": "mean entropy of the policy at those tokens, last step",
        "final_gradient_norm": "before scaling, last step",
        "seconds": "wall time of training, a clock reading",
        "peak_memory_gib": "largest memory held: of the GPU if there is one, else of the process",
    },
    "data.csv": {
        "stage": "sampled (all rollouts), filters (what each one left), dataset (what methods learn"
        " from), pairs (of the first training seed), audit (by a second verifier), behaviour (the"
        " trainer's log-probabilities against the sampler's)",
        "statistic": "what was counted",
        "value": "the count, share or text",
    },
}


def meaning(table: str, column: str) -> str:
    """What a column of a CSV file means. Raises KeyError for one that is not documented."""
    return COLUMNS[table][re.sub(r"^pass_at_\d+_percent$", _PASS, column)]
