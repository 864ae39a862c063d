"""Counts of data sets for the tests of reports, without a data set."""

from data_gen.cards.counts import FilterCounts
from data_gen.cards.pair_stats import PairCounter
from data_gen.cards.rollout_counts import DatasetCounter, RolloutCounter
from offline_rl.artifacts.records import DatasetSummary


def dataset_summary(*, sampled=None, filters=None, dataset=None, pairs=None):
    """The counts of nothing at all, but for what is given; `filters` maps names to counts."""
    return DatasetSummary(
        sampled=RolloutCounter().sampled().model_copy(update=sampled),
        filters={name: FilterCounts(**left) for name, left in (filters or {}).items()},
        dataset=DatasetCounter().dataset().model_copy(update=dataset),
        pairs=PairCounter().counts().model_copy(update=pairs),
        audit=None,
    )
