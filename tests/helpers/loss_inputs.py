"""Small logits, tokens and masks for the tests of losses."""

import pytest
import torch


@pytest.fixture
def logits():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(3, 5, 7, dtype=torch.float64, generator=generator, requires_grad=True)


@pytest.fixture
def tokens():
    return torch.randint(0, 7, (3, 5), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def mask():
    return torch.tensor([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 1, 1, 0]], dtype=torch.float64)


def p(*values):
    """Log-probabilities of one completion whose tokens have these probabilities."""
    return torch.tensor([values], dtype=torch.float64).log()
