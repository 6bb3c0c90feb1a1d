"""Errors of decoding."""


class CorruptPayloadError(ValueError):
    """Bytes that no encoder writes."""
