"""Random numbers by their places, on whatever device: Philox 4x32-10.

Every block of four words of 32 bits is a function of a key and of the block's place alone, so that all blocks of all
keys are made at once: Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3" (2011).
"""

import math

import torch
from jaxtyping import Float, Int64
from torch import Tensor

MULTIPLIERS, WEYL, ROUNDS = (0xD2511F53, 0xCD9E8D57), (0x9E3779B9, 0xBB67AE85), 10
MASK = 2**32 - 1
BLOCKS = 2**22
"""Blocks of words that are made together."""


def words(keys: Int64[Tensor, "R 2"], first: int, count: int) -> Int64[Tensor, "4 R n"]:
    """Returns the words of n blocks of each key from a place on, numbers below 2^32."""
    place = torch.arange(first, first + count, device=keys.device)
    zero = torch.zeros_like(place)
    return mixed(keys, torch.stack([place & MASK, place >> 32, zero, zero]))


def mixed(keys: Int64[Tensor, "R 2"], block: Int64[Tensor, "4 n"]) -> Int64[Tensor, "4 R n"]:
    """Returns what becomes of blocks of words under each key. Products wrap at 2^64, which leaves their bits."""
    one, other = keys[:, :1], keys[:, 1:]
    a, b, c, d = block.unsqueeze(1).expand(-1, len(keys), -1)
    for _ in range(ROUNDS):
        first, second = MULTIPLIERS[0] * a, MULTIPLIERS[1] * c
        a, b, c, d = (
            ((second >> 32) & MASK) ^ b ^ one,
            second & MASK,
            ((first >> 32) & MASK) ^ d ^ other,
            first & MASK,
        )
        one, other = (one + WEYL[0]) & MASK, (other + WEYL[1]) & MASK
    return torch.stack([a, b, c, d])


def uniform(keys: Int64[Tensor, "R 2"], first: int, count: int) -> Float[Tensor, "R m"]:
    """Returns two uniform numbers in [0, 1) of each block, of 53 bits in float64."""
    return (_of_53_bits(words(keys, first, count)) * 2**-53).permute(1, 2, 0).flatten(1)


def normal(keys: Int64[Tensor, "R 2"], first: int, count: int, dtype: torch.dtype) -> Float[Tensor, "R m"]:
    """Returns standard normal numbers (Box and Muller, "A note on the generation of random normal deviates", 1958):
    four of each block in float32, else two of float64's digits."""
    found = words(keys, first, count)
    if dtype != torch.float32:
        (length, angle), size = _of_53_bits(found).split(1), 2.0**-53
    else:
        (length, angle), size = found.to(torch.float32).split(2), 2.0**-32
    radius = ((length + 0.5) * size).log_().mul_(-2).sqrt_()
    angle = angle * (2 * math.pi * size)
    return torch.cat([radius * angle.cos(), radius * angle.sin()]).permute(1, 2, 0).flatten(1).to(dtype)


def _of_53_bits(found: Int64[Tensor, "4 R n"]) -> Float[Tensor, "2 R n"]:
    """Returns whole numbers below 2^53 in float64."""
    return ((found[::2] << 21) | (found[1::2] >> 11)).double()
