"""Columns as tables of pyarrow, pandas and polars, which are loaded when one is asked for.

A column is a numpy array, a masked one where there can be none, or a list of texts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib import import_module
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any] | Sequence[Any]]
"""Columns of one length by name."""


class Tabular:
    """Something that is a table, too, for whoever has pyarrow, pandas or polars."""

    __slots__ = ()

    def columns(self) -> Columns:
        """Give the columns of the table."""
        raise NotImplementedError

    def to_arrow(self) -> Any:
        """Give the `columns` as a pyarrow table.

        Raises:
            ImportError: pyarrow is not installed; says how to get it.
        """
        return to_arrow(self.columns())

    def to_pandas(self) -> Any:
        """Give them as a pandas data frame; see `to_arrow`."""
        return to_pandas(self.columns())

    def to_polars(self) -> Any:
        """Give them as a polars data frame; see `to_arrow`."""
        return to_polars(self.columns())


def to_arrow(columns: Columns) -> Any:
    """Give a pyarrow table.

    Raises:
        ImportError: pyarrow is not installed.
    """
    pa = _needed("pyarrow")
    made = {}
    for name, column in columns.items():
        mask = np.ma.getmaskarray(column) if isinstance(column, np.ma.MaskedArray) else None
        made[name] = pa.array(np.ma.getdata(column) if mask is not None else column, mask=mask)
    return pa.table(made)


def to_pandas(columns: Columns) -> Any:
    """Give a pandas data frame, in which none is ``pandas.NA``, and numbers stay whole.

    Raises:
        ImportError: pandas is not installed.
    """
    pd = _needed("pandas")
    made = {}
    for name, column in columns.items():
        if isinstance(column, np.ma.MaskedArray):
            masked = np.ma.getmaskarray(column)
            array = pd.arrays.IntegerArray(np.ma.getdata(column).copy(), masked.copy())
            made[name] = pd.Series(array)
        elif isinstance(column, np.ndarray):
            made[name] = pd.Series(column)
        else:
            made[name] = pd.Series(_pandas_list(pd, column))
    return pd.DataFrame(made)


def _pandas_list(pd: ModuleType, values: Sequence[Any]) -> Any:
    """Give a list its type: whole numbers with none among them would become floats."""
    some = next((value for value in values if value is not None), None)
    return pd.array(values, dtype="Int64" if type(some) is int else "string")


def to_polars(columns: Columns) -> Any:
    """Give a polars data frame, in which none is null.

    Raises:
        ImportError: polars is not installed.
    """
    pl = _needed("polars")
    made = []
    for name, column in columns.items():
        if isinstance(column, np.ma.MaskedArray):
            series = pl.Series(name, np.ma.getdata(column))
            valid = pl.Series("valid", ~np.ma.getmaskarray(column))
            frame = pl.DataFrame([series, valid])
            made.append(frame.select(pl.when(pl.col("valid")).then(pl.col(name)).alias(name))[name])
        else:
            made.append(pl.Series(name, column))
    return pl.DataFrame(made)


def _needed(name: str) -> ModuleType:
    try:
        return import_module(name)
    except ImportError as error:
        if error.name != name:
            raise  # it is there, and lacks something itself
        raise ImportError(
            f"{name} is not installed, which this table is made with: pip install {name}", name=name
        ) from None
