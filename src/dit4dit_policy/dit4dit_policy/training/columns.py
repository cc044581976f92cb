"""Which columns of a dataset are the numbers of an embodiment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from g1_data.dataset import Dataset
from g1_description import Embodiment


def places(source: Dataset, kind: str, embodiment: Embodiment) -> list[int | None]:
    """Where the dataset has each number of the embodiment's; None where it has not.

    Found by their names; where it has none of these, as GR00T's sets call theirs motor_0 and so on,
    by the parts of its modality.json that are called as the groups. ValueError where it has other
    numbers than the embodiment, or a group's part is of another size.
    """
    if kind == 'state':
        vector, names = source.schema.state, embodiment.state_names
        groups = embodiment.state_slices()
    else:
        vector, names = source.schema.action, embodiment.action_names
        groups = embodiment.action_slices()
    if not set(names) & set(vector.names) and set(groups) <= set(vector.parts):
        parts = [vector.parts[name] for name in groups]
        for (name, place), (start, end) in zip(groups.items(), parts, strict=True):
            if end - start != place.stop - place.start:
                raise ValueError(
                    f'{source.root}/meta/modality.json: {kind}: {name}: expected the '
                    f"{place.stop - place.start} numbers of the embodiment's group, "
                    f'got {end - start}'
                )
        return [k for start, end in parts for k in range(start, end)]
    if unknown := [name for name in vector.names if name not in names]:
        raise ValueError(
            f'{source.root}: its {kind} has {", ".join(unknown)}, which the embodiment has not; '
            'name the one of its robot in `embodiment`'
        )
    return [vector.names.index(n) if n in vector.names else None for n in names]


def arranged(rows: NDArray[Any], places: list[int | None]) -> NDArray[np.float64]:
    """Columns (T, n) of numbers found by `places`; NaN where there is none."""
    values = np.full((len(rows), len(places)), np.nan)
    for column, place in enumerate(places):
        if place is not None:
            values[:, column] = rows[:, place]
    return values
