"""YAML files to checked definitions, with messages that name file and place."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    from pathlib import Path

Definition = TypeVar("Definition", bound=BaseModel)


class _ExactLoader(yaml.SafeLoader):
    """Safe YAML whose numbers are exact decimals and whose keys may not repeat."""

    def construct_exact(self, node: yaml.ScalarNode) -> Decimal:
        return Decimal(self.construct_scalar(node).replace("_", ""))

    def construct_unique(self, node: yaml.MappingNode) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key}' stands twice", key_node.start_mark)
            seen.add(key)
        self.flatten_mapping(node)
        return super().construct_mapping(node, deep=True)


_ExactLoader.add_constructor("tag:yaml.org,2002:float", _ExactLoader.construct_exact)
_ExactLoader.add_constructor("tag:yaml.org,2002:map", _ExactLoader.construct_unique)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as a mapping; numbers with a point are Decimals. Raises ProjectError with the line at fault."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_ExactLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, ArithmeticError, UnicodeDecodeError) as fault:
        message = f"{path}: this is not valid YAML: {fault}. Mend the line named, or compare with `meterhouse init`."
        raise ProjectError(message) from None
    except OSError as fault:
        message = f"{path}: cannot be read ({fault.strerror}). Expected a project folder as `meterhouse init` makes it."
        raise ProjectError(message) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        message = f"{path}: expected `key: value` lines at the top, found a {type(content).__name__}."
        raise ProjectError(message)
    return content


def checked(definition: type[Definition], content: dict[str, Any], where: str) -> Definition:
    """The content as a definition. Raises ProjectError that lists every fault with its place."""
    try:
        return definition.model_validate(content)
    except ValidationError as invalid:
        faults = "\n".join(f"  {_place(fault['loc'])}: {fault['msg']}" for fault in invalid.errors())
        message = f"{where}:\n{faults}"
        raise ProjectError(message) from None


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(str(part) for part in location) or "here"
