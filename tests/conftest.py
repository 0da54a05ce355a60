"""Shapes in signatures are checked while the tests run; every test has one torch thread, as a worker has."""

from jaxtyping import install_import_hook

install_import_hook("vbandits", "beartype.beartype")

import torch  # noqa: E402

torch.set_num_threads(1)
