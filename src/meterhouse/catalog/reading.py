"""YAML files to checked definitions, with messages that name file and place."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from meterhouse.catalog.faults import Written, explained
from meterhouse.errors import ProjectError

if TYPE_CHECKING:
    from pathlib import Path

Definition = TypeVar("Definition", bound=BaseModel)

_DECIMAL: Final = re.compile(r"[-+]?(\d+\.\d*|\.\d+)(e[-+]?\d{1,3})?", re.IGNORECASE)
_WHOLE: Final = re.compile(r"[-+]?(0|[1-9]\d{0,39})")
_MERGE: Final = "tag:yaml.org,2002:merge"


class _ExactLoader(yaml.SafeLoader):
    """Safe YAML whose numbers are exact decimals and whose keys may not repeat.

    Numbers that YAML would read in another way than people do are refused: 010 as 8, 1:30 as 90, .inf.
    """

    def construct_decimal(self, node: yaml.ScalarNode) -> Decimal:
        return Decimal(self._digits(node, _DECIMAL))

    def construct_whole(self, node: yaml.ScalarNode) -> int:
        return int(self._digits(node, _WHOLE))

    def _digits(self, node: yaml.ScalarNode, form: re.Pattern[str]) -> str:
        text = str(self.construct_scalar(node))
        digits = text.replace("_", "")
        if form.fullmatch(digits) is None:
            problem = f"'{text}' is not written as a plain number; put quotes around it where it is a text"
            raise yaml.constructor.ConstructorError(None, None, problem, node.start_mark)
        return digits

    def construct_unique(self, node: yaml.MappingNode) -> dict[Any, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            if key_node.tag == _MERGE:
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise yaml.constructor.ConstructorError(None, None, "a key must be one word", key_node.start_mark)
            key = self.construct_object(key_node)
            if key in seen:
                raise yaml.constructor.ConstructorError(None, None, f"'{key}' stands twice", key_node.start_mark)
            seen.add(key)
        self.flatten_mapping(node)
        written = Written(super().construct_mapping(node, deep=True))
        written.lines = {self.construct_object(key): key.start_mark.line + 1 for key, _ in node.value}
        return written


_ExactLoader.add_constructor("tag:yaml.org,2002:float", _ExactLoader.construct_decimal)
_ExactLoader.add_constructor("tag:yaml.org,2002:int", _ExactLoader.construct_whole)
_ExactLoader.add_constructor("tag:yaml.org,2002:map", _ExactLoader.construct_unique)


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file as a mapping; numbers with a point are Decimals. Raises ProjectError with the line at fault."""
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=_ExactLoader)  # noqa: S506 - a SafeLoader
    except (yaml.YAMLError, UnicodeDecodeError) as fault:
        place, what = _where(fault, path)
        message = (
            f"{path}{place}: this is not valid YAML: {what.removesuffix('.')}. "
            "Mend that line, or compare with the files that `meterhouse init` makes."
        )
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


def _where(fault: yaml.YAMLError | UnicodeDecodeError, path: Path) -> tuple[str, str]:
    """Line and column as editors take them behind a file's name, and what is wrong there."""
    match fault:
        case yaml.MarkedYAMLError(problem_mark=yaml.Mark() as mark):
            told = [words for words in (fault.context, fault.problem) if words]
            return f":{mark.line + 1}:{mark.column + 1}", ", ".join(told)
        case UnicodeDecodeError():
            line = path.read_bytes().count(b"\n", 0, fault.start) + 1
            return f":{line}", f"byte 0x{fault.object[fault.start]:02x} is not UTF-8 text"
        case yaml.reader.ReaderError():
            line = path.read_text(encoding="utf-8").count("\n", 0, fault.position) + 1
            return f":{line}", f"the character U+{ord(fault.character):04X} is not allowed"
        case _:
            return "", str(fault)


def checked(definition: type[Definition], content: dict[str, Any], where: str) -> Definition:
    """The content as a definition. Raises ProjectError that lists every fault with its place."""
    try:
        return definition.model_validate(content)
    except ValidationError as invalid:
        faults = "\n".join(f"  {fault}" for fault in explained(invalid, definition, content))
        message = f"{where} cannot be used:\n{faults}\nMend what is named, or compare with `meterhouse init`."
        raise ProjectError(message) from None
