"""Wire-compatible venue servers over a seeded two-venue world with known truth.

A second, independent reading of the venues' wire: it imports no producer, processor, executor or projection, so that
one misreading cannot pass its own test.
"""
