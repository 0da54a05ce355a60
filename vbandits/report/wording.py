"""Texts that the page and the Markdown file share: notes on reading them, and what every column means."""

BOLD = (
    "Bold: the best, and every agent whose mean difference from it, paired by seed, has a 95% interval that includes 0."
)
TIES = "Agents in bold are tied: these seeds do not tell them apart. Brackets are 95% intervals over seeds."
ONE_SEED = "There is a single seed, and so no interval: no difference between agents is more than an anecdote."
NO_REGRET = (
    "This environment does not tell regret, and regret is never invented: agents are compared by mean reward per "
    "decision, where higher is better."
)
NO_UNIFORM = (
    "There is no relative regret here, as the uniform agent has no regret to compare with: shown is cumulative regret."
)
NO_CALIBRATION = "There are no predictions to judge in this environment."
CLIPPED = "The uniform agent leaves the frame, so that the others can be told apart."

CAPTIONS = {
    "cumulative_regret": "Cumulative regret: the mean over seeds and its 95% band, pointwise. Flatter is better.",
    "reward": "Mean reward per decision so far: the mean over seeds and its 95% band, pointwise. Higher is better.",
    "coverage": (
        "Calibration: how much more often, or less often, outcomes fall into central predictive intervals than they "
        "should. Left of zero the agent is surer than it should be. Bars are 95% intervals of the mean over seeds."
    ),
    "probability": (
        "Calibration of the probability of reward: Brier score (lower is better), and how far the mean predicted "
        "probability is from how often reward came. Bars are 95% intervals of the mean over seeds."
    ),
    "cost": "Seconds of wall time over all environments and seeds.",
}

DEFINITIONS = [
    (
        "Regret",
        "Expected reward of the best action minus expected reward of the action taken, as the environment knows them; "
        "free of noise, and never seen by the agent. Cumulative regret is its sum over a run.",
    ),
    (
        "Relative regret",
        "Mean cumulative regret in percent of the uniform agent's on the same seeds. 100 is choosing at random, 0 is "
        "never erring. The mean over environments gives each of them the same weight.",
    ),
    (
        "Simple regret",
        "Mean regret of the last 500 decisions (of all, in a shorter run): how good the agent has become.",
    ),
    (
        "Intervals",
        "95% intervals of the mean over seeds, by a bootstrap that resamples whole seeds, never steps, with "
        "percentiles widened for few seeds. Ratios and differences are paired by seed. For the mean over "
        "environments, each seed counts with its linear influence on the ratios. Bands and bars in figures are "
        "Student's t intervals. Nothing is corrected for many comparisons.",
    ),
    ("Reward", "Mean reward per decision."),
    (
        "Predictive distribution",
        "The equal mixture of N(f, s²) over 64 draws f of the value of the action taken (of an ensemble: over its "
        "members), in original units of reward. The noise s² is estimated from prequential residuals. The linear agent "
        "gives its exact Student's t. Rewards in {0, 1}: a Bernoulli distribution.",
    ),
    (
        "Prequential scoring",
        "Every prediction is scored before the agent learns from its outcome, on the actions that the agent chose. "
        "Agents so see different data: their scores say whether each can be trusted where it goes. The uniform agent "
        "predicts nothing, and a dash stands for what does not exist.",
    ),
    ("NLL", "Negative log density (or probability) of the outcome under the predictive distribution; lower is better."),
    ("CRPS", "Continuous ranked probability score, in units of reward; lower is better."),
    ("Brier score", "Squared error of the predicted probability of a reward of 1; for rewards in {0, 1} only."),
    (
        "Coverage",
        "How often the outcome falls into the central 50%, 90% or 95% interval of the predictive distribution. A "
        "calibrated agent comes close to the nominal number; below it, the agent is overconfident.",
    ),
    (
        "Failures",
        "Seeds whose agent diverged (it acts uniformly from then on, and stays in every mean) or whose cell stopped "
        "with an error (no results).",
    ),
    (
        "Cost",
        "Wall time, apart for the agent (choosing and learning), the environment, and scoring; all seeds of a block "
        "run in lockstep. Memory is the largest of the process, libraries included (on a GPU, of the GPU).",
    ),
]
