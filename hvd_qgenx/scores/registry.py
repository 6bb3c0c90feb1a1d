"""The names of feature extractors."""

EXTRACTORS = ("auto", "inception", "resnet56", "classifier")
"""Names of feature extractors that ``make_extractor`` takes."""
