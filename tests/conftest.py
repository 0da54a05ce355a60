"""Shapes in signatures are checked while the tests run; every test has one torch thread, as a worker has."""

from jaxtyping import install_import_hook

# is_pep484_tower: a whole number will do where a real one is expected, as type checkers have it
install_import_hook("vbandits", "beartype.beartype(conf=beartype.BeartypeConf(is_pep484_tower=True))")

import torch  # noqa: E402

torch.set_num_threads(1)
