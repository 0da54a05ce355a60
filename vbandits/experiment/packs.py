"""Files of many jobs in one archive each: a hundred thousand small ones are slow to list, to copy and to keep."""

import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from vbandits.errors import ConfigError
from vbandits.files import atomic

ENDING = ".zip"
AGE = (1980, 1, 1, 0, 0, 0)
"""Of what is in an archive, so that the same files make the same archive."""
HEADER = struct.Struct("<4s22xHH")
"""What stands before a file in an archive: a signature, and at the end the lengths of the name and of more that follow
(PKWARE, "APPNOTE.TXT - .ZIP File Format Specification", section 4.3.7)."""
SIGNATURE = b"PK\x03\x04"


class Packed(NamedTuple):
    """A file in an archive, read like a `Path`."""

    archive: Path
    name: str
    start: int
    size: int
    checksum: int

    def __str__(self) -> str:
        """Returns where it is."""
        return f"{self.archive}/{self.name}"

    def exists(self) -> bool:
        """Returns that it does."""
        return True

    def read_bytes(self) -> bytes:
        """Returns its content; raises an OSError if it is not what was packed."""
        with self.archive.open("rb") as file:
            file.seek(self.start)
            begin = file.read(HEADER.size)
            if len(begin) == HEADER.size and begin[:4] == SIGNATURE:
                _, name, more = HEADER.unpack(begin)
                file.seek(name + more, 1)
                content = file.read(self.size)
                if zlib.crc32(content) == self.checksum:
                    return content
        raise OSError("other bytes than were packed")

    def read_text(self, encoding: str) -> str:
        """Returns its content as text."""
        return self.read_bytes().decode(encoding)


File = Path | Packed


class Packs:
    """The archives in a folder: files as they are, one after another, not compressed (ZIP, method "stored").

    Any program opens them; here they are read in place, and nothing is ever unpacked to disk.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def files(self) -> dict[str, Packed]:
        """Returns all files in archives by name."""
        if not self.folder.is_dir():
            return {}
        return _files(str(self.folder), self.folder.stat().st_mtime_ns)

    def write(self, name: str, files: Iterable[File]) -> None:
        """Writes an archive at once or not at all, in the place of one of the same name, from which files may be."""
        self.folder.mkdir(exist_ok=True)
        with (
            atomic(self.folder / f"{name}{ENDING}") as temporary,
            zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive,
        ):
            for file in files:
                archive.writestr(zipfile.ZipInfo(file.name, AGE), file.read_bytes())
        _files.cache_clear()


@lru_cache(maxsize=4)
def _files(folder: str, changed: int) -> dict[str, Packed]:
    """Returns the files in a folder's archives by name; `changed` is when an archive was last put there."""
    found = {}
    for path in sorted(Path(folder).glob(f"*{ENDING}")):
        if path.is_symlink():
            raise ConfigError(f"{path}: expected a file, got a link: put what it leads to in its place")
        found |= {file.name: file for file in _stored(path)}
    return found


def _stored(path: Path) -> Iterator[Packed]:
    """Yields the files of an archive that are stored as they are; none of one that cannot be read, whose jobs are then
    run again."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (OSError, ValueError, NotImplementedError, zipfile.BadZipFile):
        return
    for one in members:
        if one.compress_type == zipfile.ZIP_STORED and one.compress_size == one.file_size and not one.flag_bits & 1:
            yield Packed(path, one.filename, one.header_offset, one.file_size, one.CRC)
