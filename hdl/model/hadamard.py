"""Hadamard matrices: orthogonal up to a factor, with entries of 1 and -1. They spread what is large in few features
over all features, so that integers of few bits hold it."""

from functools import cache, reduce

import numpy as np

__all__ = ["hadamard", "rotation", "spread", "spread_block"]

MOST_SPREAD = 128
"""Features that are spread among themselves in hardware, at most."""

FIELDS = {3: (11, False), 5: (19, False), 7: (13, True)}
"""By an odd prime p: the prime whose squares make a matrix of order 4 p, and whether by Paley's second way."""


@cache
def hadamard(order: int) -> np.ndarray | None:
    """A Hadamard matrix of this order, int64 [order, order]: a Kronecker product of small ones. None where the prime
    factors of the order do not allow that."""
    factors: list[np.ndarray] = []
    rest = order
    for prime, (field, second) in FIELDS.items():
        while rest % prime == 0 and rest % (4 * prime) == 0:
            factors.append(_paley(field, second=second))
            rest //= 4 * prime
    if rest & (rest - 1):
        return None
    factors += [np.array([[1, 1], [1, -1]])] * (rest.bit_length() - 1)
    return reduce(np.kron, factors, np.ones((1, 1), dtype=np.int64))


def _paley(prime: int, *, second: bool) -> np.ndarray:
    """Paley's matrix of order p + 1 for a prime p of 4 k + 3; or of order 2 (p + 1) for one of 4 k + 1."""
    squares = {i * i % prime for i in range(1, prime)}
    sign = np.array([0, *(1 if i in squares else -1 for i in range(1, prime))])
    core = np.zeros((prime + 1, prime + 1), dtype=np.int64)
    core[1:, 1:] = sign[(np.arange(prime)[:, None] - np.arange(prime)) % prime]
    core[0, 1:], core[1:, 0] = 1, 1 if second else -1
    own = np.eye(prime + 1, dtype=np.int64)
    if not second:
        return own + core
    return np.kron(core, np.array([[1, 1], [1, -1]])) + np.kron(own, np.array([[1, -1], [-1, -1]]))


def rotation(features: int) -> np.ndarray:
    """An orthogonal matrix [features, features] whose entries are as flat as the number of features allows: a Hadamard
    matrix with random signs, or for other numbers a random matrix."""
    generator = np.random.default_rng(features)
    if (found := hadamard(features)) is not None:
        return found * generator.choice([-1.0, 1.0], (features, 1)) / np.sqrt(features)
    orthogonal: np.ndarray = np.linalg.qr(generator.standard_normal((features, features)))[0]
    return orthogonal


def spread_block(features: int) -> int:
    """How many neighbouring features are spread among themselves: the largest power of two that divides them, up to
    `MOST_SPREAD`."""
    return min(MOST_SPREAD, features & -features)


def spread(rows: np.ndarray, block: int) -> np.ndarray:
    """Rows [..., features] with each block of features times the Hadamard matrix of its order, by sums alone (fast
    Walsh-Hadamard transform)."""
    found, step = rows, 1
    while step < block:
        pairs = found.reshape(*rows.shape[:-1], -1, 2, step)
        first, second = pairs[..., 0, :], pairs[..., 1, :]
        found = np.stack([first + second, first - second], axis=-2).reshape(rows.shape)
        step *= 2
    return found
