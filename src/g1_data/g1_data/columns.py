"""Columns of parquet files as arrays."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pyarrow as pa

from g1_data.mapping import Mapped
from g1_data.schema import Schema


def read_columns(table: pa.Table, mapped: Mapped, path: Path) -> dict[str, np.ndarray]:
    """Columns (T, n) of a schema that are in the table; ValueError as of `read_column`."""
    read = {}
    for name, source in mapped.columns.items():
        if source.column in table.column_names:
            dtype = mapped.schema.columns[name][1]
            values = read_column(table, source.column, source.size, dtype, path)
            read[name] = values if source.whole else values[:, list(source.pick)]
    return read


def read_column(table: pa.Table, name: str, size: int, dtype: str, path: Path) -> np.ndarray:
    """(T, size) of that type, of a column of lists or of numbers.

    ValueError where it is missing, or of something else; `path` is where the table is from.
    """
    if name not in table.column_names:
        raise ValueError(f'{path}: column {name} is missing')
    column = table[name].combine_chunks()
    kind = column.type
    if pa.types.is_list(kind) or pa.types.is_fixed_size_list(kind):
        column = column.flatten()
    try:
        values = column.to_numpy(zero_copy_only=False)
        return values.astype(dtype, casting='same_kind', copy=False).reshape(len(table), size)
    except (ValueError, TypeError, OverflowError, pa.ArrowException):
        raise ValueError(
            f'{path}: {name}: expected {size} numbers a row, {dtype}, got {kind}'
        ) from None


def arrow_table(columns: Mapping[str, np.ndarray]) -> pa.Table:
    """Columns (T,) and (T, n) as LeRobot has them: one number a row is no list."""
    arrays = {
        name: pa.array(values.reshape(-1))
        if values.ndim == 1 or values.shape[1] == 1
        else pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])
        for name, values in columns.items()
    }
    return pa.table(arrays)


def refuse_nan(values: np.ndarray, where: str, column: str, schema: Schema) -> None:
    """ValueError names the first number of a column (T, n) that is not finite: frame and joint."""
    if not np.isfinite(values).all():
        frame, number = np.argwhere(~np.isfinite(values))[0]
        raise ValueError(
            f'{where}, frame {frame}: {column} of {schema.names(column)[number]}: expected a '
            f'finite number, got {values[frame, number]}; `g1 dataset drop` writes the dataset '
            'without this episode'
        )
