"""From sampled rollouts to the data set that methods learn from."""

from data_gen.filters.apply import Choice, Dropped, Passage, choose
from data_gen.filters.settings import Filters

__all__ = ["Choice", "Dropped", "Filters", "Passage", "choose"]
