"""Finds faults of an installation, and what to compress on its links; see ``hvd-qgenx doctor``."""
