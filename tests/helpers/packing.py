"""What the tests of packing share: how a trainer is told to pack, and padded rows."""

import torch

PACKED, PADDED = ({"packing": packed} for packed in (True, False))


def padded(lengths, seed=0):
    """Random tokens, and an attention mask that is 1 at the first ones of every row."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(1, 200, (len(lengths), max(lengths)), generator=generator)
    attention = (torch.arange(max(lengths)) < torch.tensor(lengths)[:, None]).long()
    return tokens * attention, attention
