"""What is noted before rows of a file are stored, so that a landing that is cut off is ended as it began.

What becomes of a record follows from the settings, the clock and the name of its file. Under others it might get
another id, or be refused, and what is stored of its file would not fit to what is not.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict

from meterhouse.catalog.settings import Settings
from meterhouse.landing.batch import Origin


class BegunFile(NamedTuple):
    """What a file was when it was begun, besides its content."""

    path: str
    is_changed: bool


class Begun(BaseModel):
    """A landing, or a retry of refused records: how it takes them, and the files by content that it has not ended."""

    model_config = ConfigDict(extra="forbid")

    settings: Settings
    landed_at: datetime
    is_retry: bool = False
    files: dict[str, BegunFile] = {}

    def origin(self, file_id: str) -> Origin:
        """Where records of a file that was begun come from."""
        file = self.files[file_id]
        return Origin(file_id, file.path, self.settings, self.landed_at, file.is_changed)


class Notes:
    """The notes of a store, brought up to date as files are begun and ended."""

    def __init__(self, noted: Iterable[Begun], save: Callable[[list[Begun]], None]) -> None:
        self._begun = list(noted)
        self._save = save
        self._is_saved = True

    def cut_off(self, *, is_retry: bool) -> Iterator[Begun]:
        """Landings, or retries, that have not ended some of their files, the earliest first."""
        yield from [begun for begun in self._begun if begun.files and begun.is_retry == is_retry]

    def files(self, *, is_retry: bool) -> dict[str, BegunFile]:
        """Files that such landings, or retries, have not ended."""
        return {file_id: file for begun in self.cut_off(is_retry=is_retry) for file_id, file in begun.files.items()}

    def begin(self, begun: Begun, files: Mapping[str, BegunFile]) -> None:
        """Note files of which rows will be stored; safe on the disk when this returns."""
        if not files.keys() <= begun.files.keys():
            if all(noted is not begun for noted in self._begun):
                self._begun.append(begun)
            begun.files.update(files)
            self._is_saved = False
            self.save()

    def end(self, begun: Begun, file_ids: Iterable[str]) -> None:
        """Files of which all is stored; `save` says so, and until then they may be begun again for nothing."""
        for file_id in file_ids:
            self._is_saved &= begun.files.pop(file_id, None) is None

    def save(self) -> None:
        """Store the notes as they are."""
        if not self._is_saved:
            self._save([begun for begun in self._begun if begun.files])
            self._is_saved = True
