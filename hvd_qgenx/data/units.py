"""Units that a text can be cut into."""

WORDS, CHARACTERS = UNITS = ("words", "characters")
