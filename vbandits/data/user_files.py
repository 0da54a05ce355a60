"""A user's own file, or folder of files, as a table of columns: CSV, packed or not, and Parquet."""

import gzip
import io
import zlib
from csv import Error as CsvError
from csv import reader
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as kinds
from pyarrow import csv, parquet

from vbandits.data.tables import first_line

TEXT = (".csv", ".csv.gz")
ENDINGS = (*TEXT, ".parquet")
MISSING = (
    *("", "?", "NA", "N/A", "n/a", "<NA>", "NaN", "nan", "-NaN", "-nan", "null", "NULL", "None"),
    *("#N/A", "#N/A N/A", "#NA", "1.#IND", "1.#QNAN", "-1.#IND", "-1.#QNAN"),
)
"""What stands in a CSV for what is missing: as for pandas, and the ? of UCI's files."""
UTF16 = ("\xff\xfe", "\xfe\xff")
"""How a file in UTF-16 begins."""


def is_folder(path: Path) -> bool:
    """Returns whether a path is a folder of Parquet files, as Spark, Dask and others write them."""
    return path.is_dir() and any(file.suffix.lower() == ".parquet" for file in path.rglob("*"))


def version(path: Path) -> tuple[int, int]:
    """Returns what changes when a file does, or a file of a folder."""
    files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
    return len(files), max((file.stat().st_mtime_ns for file in files), default=0)


def read(path: Path) -> tuple[pa.Table, tuple[str, ...]]:
    """Returns the columns of a file, and the names of those that are no columns to pandas, which wrote it, but its
    index.

    Raises:
        ValueError: for a file that is not there, is empty or damaged, or has a name twice.
    """
    folder = is_folder(path)
    if not (folder or path.is_file()):
        found = "a folder without Parquet files" if path.is_dir() else str(path.absolute())
        raise ValueError(f"dataset: expected a file that exists, got {str(path)!r} (which is {found})")
    if not (folder or path.name.lower().endswith(ENDINGS)):
        raise ValueError(f"{path}: expected a file that ends in {', '.join(ENDINGS)}, got {path.name!r}")
    if not folder and not path.stat().st_size:
        raise ValueError(f"{path}: expected a header and rows, got an empty file")
    packed = folder or path.suffix.lower() == ".parquet"
    try:
        table = parquet.read_table(path) if packed else _csv(path)
    except (pa.ArrowException, OSError, EOFError, zlib.error) as error:
        wanted = "a Parquet file" if packed else "a header and rows of as many columns"
        raise ValueError(f"{path}: expected {wanted}, got: {error}; it is damaged, or another file") from error
    if not len(table):
        raise ValueError(f"{path}: expected rows, got none below the header")
    names = table.column_names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"{path}: expected each column once, got more of {', '.join(twice)}")
    pandas = (table.schema.pandas_metadata or {}) if packed else {}
    return table, tuple(name for name in pandas.get("index_columns", ()) if name in names)


def place(where: str, row: int) -> str:
    """Returns where a row is, so that it can be found: the line of a CSV as an editor shows it, and of anything else
    the row as pandas and NumPy count.

    Args:
        where: what a table came from: the path of a file, or what data in memory is called.
        row: of the table, counted from 0 below the header.
    """
    path = Path(where)
    if where.lower().endswith(TEXT) and path.is_file():
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
            lines = reader(io.TextIOWrapper(file, "utf-8-sig", errors="replace", newline=""))
            before, left = 0, row + 1
            try:
                for record in lines:  # which may have several lines, or be an empty one, which is none
                    left -= bool(record)
                    if left < 0:
                        return f"line {before + 1:,}"
                    before = lines.line_num
            except CsvError:  # a field of megabytes
                pass
    return f"row {row:,}, counted from 0"


def not_utf8(path: Path) -> ValueError:
    """Returns the error of a CSV in another encoding."""
    return ValueError(
        f"{path}: expected text in UTF-8, got another encoding: save it as UTF-8, as "
        'pandas.read_csv(FILE, encoding="latin-1").to_csv(NEW, index=False) does'
    )


def _csv(path: Path) -> pa.Table:
    header = first_line(path)
    if header.startswith(UTF16):
        raise not_utf8(path)
    for separator, name, written in ((";", "semicolons", '";"'), ("\t", "tabs", r'"\t"')):
        if separator in header and "," not in header:
            raise ValueError(
                f"{path}: expected commas between values, got {name}: save it with commas, as "
                f"pandas.read_csv(FILE, sep={written}).to_csv(NEW, index=False) does"
            )
    try:
        table = _parsed(path, {})
    except pa.ArrowInvalid as error:
        if "conversion error" not in str(error):
            raise
        # the type of a column was told by its first rows alone, and a later one is no such number
        names = _parsed(path, {}, rows=1).column_names
        table = _parsed(path, dict.fromkeys(names, pa.string()))
    try:
        names = [name.strip() for name in table.column_names]
    except UnicodeDecodeError as error:
        raise not_utf8(path) from error
    return pa.table([_cleaned(column) for column in table.columns], names=names)


def _parsed(path: Path, types: dict[str, pa.DataType], rows: int | None = None) -> pa.Table:
    """Returns a CSV: lines may break inside quotes (RFC 4180). With `rows`, no more than the first block of it."""
    parse = csv.ParseOptions(newlines_in_values=True)
    convert = csv.ConvertOptions(null_values=list(MISSING), strings_can_be_null=True, column_types=types)
    with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as file:
        if rows is None:
            return csv.read_csv(file, parse_options=parse, convert_options=convert)
        with csv.open_csv(file, parse_options=parse, convert_options=convert) as reader:
            return reader.read_next_batch().slice(0, rows)


def _cleaned(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Returns a column of a CSV: text without the blanks around it, nothing where it stands for what is missing, and
    numbers where nothing else is left."""
    if not kinds.is_string(column.type):
        return column
    text = pc.call_function("utf8_trim_whitespace", [column])
    absent = pc.call_function("is_in", [text], pc.SetLookupOptions(pa.array(MISSING)))
    text = pc.call_function("if_else", [absent, pa.scalar(None, pa.string()), text])
    if text.null_count == len(text):
        return text
    for kind in (pa.int64(), pa.float64()):
        try:
            return text.cast(kind)
        except pa.ArrowInvalid:
            continue
    return text
