"""Shows a compressor's parameters with their defaults, help and limits, in place of the call that declares them."""

import ast
from typing import Any

import griffe


class Parameters(griffe.Extension):
    """Reads ``bits: int = parameter(4, "Bits per coordinate.", low=1, high=8)``."""

    def on_attribute_instance(self, *, attr: griffe.Attribute, **_: Any) -> None:
        call = attr.value
        if isinstance(call, griffe.ExprCall) and call.function.canonical_path == "compressors.parameters.parameter":
            attr.value, text, *limits = call.arguments
            shown = f" (`{', '.join(map(str, limits))}`)" if limits else ""
            attr.docstring = griffe.Docstring(ast.literal_eval(str(text)) + shown, parent=attr)
