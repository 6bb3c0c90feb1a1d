"""Exchanges by name."""

NAMES = ("auto", "allreduce", "allgather", "two-phase", "hierarchical")
