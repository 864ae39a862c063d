"""Sampling and verification spread over a Ray cluster; nothing here imports Ray before it must."""

from data_gen.cluster.head import ClusterError
from data_gen.cluster.settings import ClusterSettings

__all__ = ["ClusterError", "ClusterSettings"]
