"""Parses Kubernetes quantities: https://kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity/"""

import re
from fractions import Fraction

from compressors.naming import shown

_FORM = re.compile(r"([+-]?)(\d+\.?\d*|\.\d+)(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,3}))?")
_FACTORS = {
    **{
        suffix: Fraction(10) ** power
        for suffix, power in zip("numkMGTPE", (-9, -6, -3, 3, 6, 9, 12, 15, 18), strict=True)
    },
    **{f"{letter}i": Fraction(1024) ** power for power, letter in enumerate("KMGTPE", start=1)},
}


def parse(value: object) -> Fraction:
    """Returns the exact amount: 500m is one half, 1Ki is 1024.

    Raises:
        ValueError: the value is not a quantity.
    """
    found = _FORM.fullmatch(str(value))
    if found is None or isinstance(value, bool):
        raise ValueError(f"{shown(value)} is not an amount like 500m, 2 or 8Gi")
    sign, number, suffix, power = found.groups()
    amount = Fraction(number) * _FACTORS.get(suffix, Fraction(1)) * Fraction(10) ** int(power or 0)
    return -amount if sign == "-" else amount
