"""What decoding may find wrong."""


class CorruptPayloadError(ValueError):
    """Bytes that no encoder writes."""
