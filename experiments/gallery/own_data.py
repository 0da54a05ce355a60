"""Your data from memory: a frame as a bandit over its classes, and a table of what every arm would have paid.

Run it: python own_data.py
"""

import numpy as np
import pandas as pd

import vbandits

random = np.random.default_rng(0)
patients = pd.DataFrame({"age": random.integers(20, 90, 400), "smokes": random.random(400) < 0.3})
patients["ward"] = np.where(patients["smokes"], "lungs", np.where(patients["age"] > 60, "heart", "general"))

prices = pd.DataFrame({"weekend": random.random(400) < 2 / 7, "rain": random.random(400)})
for price, wanted in (("low", 0.9), ("high", 0.4)):  # earnings of each price on each day
    prices[price] = (wanted + 0.3 * prices["weekend"] - 0.4 * prices["rain"]) * (1 if price == "low" else 2)

if __name__ == "__main__":
    results = vbandits.run(
        environments=[
            {"id": "vbandits/Classification-v0", "label": "wards", "kwargs": {"dataset": patients, "target": "ward"}},
            {
                "id": "vbandits/RewardTable-v0",
                "label": "prices",
                "kwargs": {"table": prices, "rewards": ["low", "high"]},
            },
        ],
        agents=["ibvi-limit", "linear-ts"],
        seeds=4,
        steps=200,
        workers=1,
    )
    print(results.summary()[["environment", "agent", "relative_regret", "reward"]])
