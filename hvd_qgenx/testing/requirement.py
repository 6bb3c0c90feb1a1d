"""What a check does with what it finds."""


def require(condition: object, sentence: str) -> None:
    """Raises AssertionError with the sentence if the condition is false, also where Python leaves out ``assert``."""
    if not condition:
        raise AssertionError(sentence)
