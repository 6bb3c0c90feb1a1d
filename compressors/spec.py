"""Text that names a class and gives its parameters: ``name:parameter=value,parameter=value``."""

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from compressors.naming import shown, unknown

T = TypeVar("T")


@dataclass(frozen=True)
class Spec:
    """A name, and its parameters as text."""

    name: str
    values: Mapping[str, str]

    @classmethod
    def parse(cls, text: str) -> "Spec":
        """Reads ``name`` or ``name:parameter=value,...``; a value may hold commas itself.

        Raises:
            ValueError: a parameter without a value.
        """
        name, _, rest = text.partition(":")
        values = {}
        for item in filter(None, re.split(r",(?=[^,]*=)", rest)):
            key, equals, value = item.partition("=")
            if not (key and equals and value):
                raise ValueError(f"{shown(text)} is not of the form name:parameter=value,parameter=value")
            values[key.strip().replace("-", "_")] = value.strip()
        return cls(name, values)

    def read(self, fields: Mapping[str, "dataclasses.Field[Any]"]) -> dict[str, Any]:
        """Returns the values, converted to the types of the defaults of these dataclass fields.

        Raises:
            ValueError: no such field, or a value that cannot be converted.
        """
        read = {}
        for key, value in self.values.items():
            if key not in fields:
                takes = f"it takes {', '.join(fields)}" if fields else "it takes no parameters"
                raise ValueError(f"{self.name} has no parameter {shown(key)}; {takes}")
            wanted: Any = type(fields[key].default)
            try:
                read[key] = wanted(value)
            except ValueError:
                kind = {int: "a whole number", float: "a number"}[wanted]
                raise ValueError(f"{self.name}: {key} must be {kind}, not {shown(value)}") from None
        return read

    def build(self, kind: str, classes: Mapping[str, type[T]]) -> T:
        """Makes an instance of the dataclass of this name, with these values for its fields.

        Raises:
            ValueError: the name is unknown, or as ``read`` does.
        """
        if self.name not in classes:
            raise ValueError(unknown(kind, self.name, classes))
        made = classes[self.name]
        return made(**self.read({field.name: field for field in dataclasses.fields(made)}))  # type: ignore[arg-type]
