import os

import pytest

from data_gen.cluster import ClusterSettings
from tests.helpers.cluster import NODE


@pytest.fixture(scope="module")
def cluster():
    """Two nodes on this machine, four cores each in name; the settings to use them."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    nodes = Cluster(initialize_head=True, head_node_args={**NODE, "include_dashboard": False})
    nodes.add_node(**NODE)
    nodes.wait_for_nodes()
    yield ClusterSettings(address=nodes.address, replicas=2, verifiers=1, wait_seconds=300)
    ray.shutdown()
    nodes.shutdown()
