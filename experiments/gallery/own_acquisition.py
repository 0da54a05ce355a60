"""An acquisition of your own: buy the rows whose most likely class is another in the most draws from the posterior.

Freeman, "Elementary Applied Statistics", 1965: the variation ratio. Run it: python own_acquisition.py
"""

import torch

import vbandits
from vbandits.agents.acquisition import ranking

DRAWS = 32


class VariationRatio:
    """Buys rows on whose class draws from the posterior do not agree."""

    tasks = frozenset({"classes"})

    def select(self, view, count):
        """Returns the places of `count` candidates [R, count]."""
        blocks = view.values(view.draw(DRAWS), view.candidates, DRAWS)  # log-probabilities [R, S, C, K], block by block
        votes = torch.cat([block.argmax(3) for block in blocks], 2)  # [R, S, C]
        agreed = (votes == votes.mode(1, keepdim=True).values).double().mean(1)
        return ranking(1 - agreed, view.uniform(len(view.candidates)))[:, :count]  # equals by chance


if __name__ == "__main__":
    results = vbandits.run(
        problems=[{"label": "moons", "kwargs": {"pool": "two_moons", "budget": 12}}],
        learners=[
            {"id": "ensemble", "acquisition": ["random", "bald", VariationRatio()], "training": {"gradient_steps": 60}}
        ],
        seeds=2,
        workers=1,
    )
    print(results.summary()[["learner", "accuracy", "gain", "labels_saved"]])
