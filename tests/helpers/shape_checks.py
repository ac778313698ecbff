"""How calls are checked in tests: shapes by jaxtyping, types by beartype, for which an int is a float, too, as Python says."""

from beartype import BeartypeConf, beartype

checked = beartype(conf=BeartypeConf(is_pep484_tower=True))
