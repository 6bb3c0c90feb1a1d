"""What texts can be cut into."""

WORDS, CHARACTERS = UNITS = ("words", "characters")
