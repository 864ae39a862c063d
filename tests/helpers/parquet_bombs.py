"""Small Parquet files that stand for a lot: written by hand, as no writer would write them."""

import struct

I32, I64, BINARY, LIST, STRUCT = 5, 6, 8, 9, 12
DOUBLE, LISTED = 5, 3
REQUIRED, OPTIONAL, REPEATED = 0, 1, 2
PLAIN, RLE = 0, 3


def number(value):
    """An unsigned number in as many bytes as it needs."""
    written = bytearray()
    while value > 127:
        written.append(value & 127 | 128)
        value >>= 7
    return bytes([*written, value])


def thrift(*fields):
    """A struct of Thrift's compact protocol; a field is its id, its kind and its value."""
    written, last = b"", 0
    for key, kind, value in fields:
        written += bytes([(key - last) << 4 | kind])
        if kind in (I32, I64):
            written += number(value << 1)
        elif kind == BINARY:
            written += number(len(value)) + value
        else:
            written += value
        last = key
    return written + b"\0"


def listed(kind, *values):
    return bytes([0xF0 | kind]) + number(len(values)) + b"".join(values)


def levels(*runs):
    """The levels of a page: so often this one, then so often that one."""
    written = b"".join(number(times << 1) + bytes([level]) for times, level in runs)
    return struct.pack("<I", len(written)) + written


def column_file(schema, path, page, *, values, rows):
    """A file of one column with one page."""
    data_header = thrift((1, I32, values), (2, I32, PLAIN), (3, I32, RLE), (4, I32, RLE))
    header = thrift((1, I32, 0), (2, I32, len(page)), (3, I32, len(page)), (5, STRUCT, data_header))
    chunk = thrift(
        (1, I32, DOUBLE),
        (2, LIST, listed(I32, number(PLAIN << 1), number(RLE << 1))),
        (3, LIST, listed(BINARY, *(number(len(name)) + name for name in path))),
        (4, I32, 0),
        (5, I64, values),
        (6, I64, len(header) + len(page)),
        (7, I64, len(header) + len(page)),
        (9, I64, 4),
    )
    column = thrift((2, I64, 4), (3, STRUCT, chunk))
    group = thrift((1, LIST, listed(STRUCT, column)), (2, I64, len(page)), (3, I64, rows))
    footer = thrift(
        (1, I32, 2),
        (2, LIST, listed(STRUCT, *schema)),
        (3, I64, rows),
        (4, LIST, listed(STRUCT, group)),
    )
    return b"PAR1" + header + page + footer + struct.pack("<I", len(footer)) + b"PAR1"


def rows_of_nothing(rows):
    """So many rows without a value."""
    root = thrift((4, BINARY, b"root"), (5, I32, 1))
    leaf = thrift((1, I32, DOUBLE), (3, I32, OPTIONAL), (4, BINARY, b"reward"))
    page = levels((rows, 0))
    return column_file([root, leaf], [b"reward"], page, values=rows, rows=rows)


def list_of_nothing(values):
    """One row, which is a list of so many elements without a value."""
    root = thrift((4, BINARY, b"root"), (5, I32, 1))
    outer = thrift((3, I32, OPTIONAL), (4, BINARY, b"rewards"), (5, I32, 1), (6, I32, LISTED))
    middle = thrift((3, I32, REPEATED), (4, BINARY, b"list"), (5, I32, 1))
    leaf = thrift((1, I32, DOUBLE), (3, I32, OPTIONAL), (4, BINARY, b"element"))
    page = levels((1, 0), (values - 1, 1)) + levels((values, 2))
    path = [b"rewards", b"list", b"element"]
    return column_file([root, outer, middle, leaf], path, page, values=values, rows=1)
