"""The names of feature extractors."""

EXTRACTORS = ("auto", "inception", "resnet56", "classifier")
