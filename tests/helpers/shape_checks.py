"""How calls are checked in tests: shapes by jaxtyping, types by beartype, for which an int is a float, too, as Python says."""

from typing import Any

from beartype import BeartypeConf, FrozenDict, beartype
from numpy.typing import ArrayLike

# What NumPy can read as an array, a tuple among it, is for the code itself to refuse.
checked = beartype(conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({ArrayLike: Any, ArrayLike | None: Any})))
