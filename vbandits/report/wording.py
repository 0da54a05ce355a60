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
NO_RESULTS = "There are no results here: all runs have failed, or none has been made yet."
NO_UNIFORM = (
    "There is no relative regret here, as the uniform agent has no regret to compare with: shown is cumulative regret."
)
NO_CALIBRATION = "There are no predictions to judge in this environment."
CLIPPED = "The uniform agent leaves the frame, so that the others can be told apart."

BOLD_METHOD = (
    "Bold: the best, and every method whose mean difference from it, paired by seed, has 0 in its 95% interval."
)
TIED = "Methods in bold are tied: these seeds do not tell them apart. Brackets are 95% intervals over seeds."
ONE_SEED_METHODS = (
    "Ordered by NLL in distribution. There is a single seed, and so no interval: no difference between methods is more "
    "than an anecdote."
)
BOLD_LEARNER = (
    "Bold: the best, and every learner whose mean difference from it, paired by seed, has 0 in its 95% interval."
)
TIED_LEARNERS = "Learners in bold are tied: these seeds do not tell them apart. Brackets are 95% intervals over seeds."
ONE_SEED_LEARNERS = (
    "There is a single seed, and so no interval: no difference between learners is more than an anecdote."
)
RANKED_LEARNERS = (
    "Cumulative regret against the best fit to all labels, in percent of that of learning nothing, and its mean over "
    "problems, each of which has the same weight. Lower is better. A learner without results on every problem has no "
    "mean."
)
_LABELS = (
    " against labels known: the mean over seeds and its 95% band, pointwise. Dotted: the fit to all labels of the pool "
    "(of several methods, the best)."
)
_TRUST_ECE = (
    "How far confidence is from accuracy, with part of the bias of few rows taken off, so that it may fall below 0, "
    "against labels known. Dotted: calibrated. Mean over seeds and 95% band, pointwise. Lower is better."
)
_TRUST_COVERAGE = (
    "How often targets fall into central 90% intervals, against labels known. Dotted: as often as they should; below "
    "it a learner is surer than it should be. Mean over seeds and 95% band, pointwise."
)
_REST = " These are the rows that a learner had not bought: what it left, and no sample of the problem."
_SEVERITY = (
    " against severity, 0 being the clean test set: the mean over corruptions and seeds, and its 95% band over seeds, "
    "pointwise. Lower is better."
)
_RELIABILITY = (
    "how often predictions of a confidence are right, over all seeds. Below the dashed line a method is surer than it "
    "should be. Bins with fewer than 0.5% of predictions are left out."
)

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
    "cost_methods": "Seconds of wall time over all datasets and seeds.",
    "cost_learners": "Seconds of wall time over all problems and seeds.",
    "curves_accuracy": f"Accuracy on the test set{_LABELS} Higher is better.",
    "curves_rmse": f"Root mean squared error on the test set{_LABELS} Lower is better.",
    "ece_debiased_test": f"On the test set. {_TRUST_ECE}",
    "ece_debiased_pool": f"On the rest of the pool. {_TRUST_ECE}{_REST}",
    "coverage_90_test": f"On the test set. {_TRUST_COVERAGE}",
    "coverage_90_pool": f"On the rest of the pool. {_TRUST_COVERAGE}{_REST}",
    "rewards": (
        "Reward so far against the rows of the stream that came by: the mean over seeds and its 95% band, pointwise. "
        "Higher is better."
    ),
    "severity_error": f"Error{_SEVERITY}",
    "severity_nll": f"Negative log-likelihood{_SEVERITY}",
    "severity_ece": f"Expected calibration error{_SEVERITY}",
    "reliability": f"Reliability on the clean test set: {_RELIABILITY}",
    "reliability_corrupted": f"Reliability over all corruptions and severities: {_RELIABILITY}",
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

SUPERVISED_DEFINITIONS = [
    ("Error", "Part of the test images whose most probable class is not their label, in percent."),
    (
        "Predictive distribution",
        "The equal mixture over the posterior's draws of the softmax of the logits (of an ensemble: over its members), "
        "each draw's logits divided by the temperature.",
    ),
    (
        "Temperature",
        "1 unless a method says otherwise; where it is fitted, the one of least NLL of the whole mixture on rows held "
        "out of training, for each seed. Shown is the mean over seeds.",
    ),
    (
        "NLL",
        "Mean negative log of the probability of the label, in nats; lower is better. A probability below 2.2e-16 "
        "counts as that.",
    ),
    (
        "ECE",
        "Expected calibration error, in percent: how far confidence is from accuracy, over 15 bins of equal width. It "
        "is biased upwards where bins hold few images; lower is better.",
    ),
    (
        "Brier score",
        "Squared distance of the probabilities from the label's unit vector, from 0 to 2; lower is better.",
    ),
    (
        "AUROC",
        "How well the predictive entropy tells images of an out-of-distribution set from those of the test set: 1 is "
        "perfect, 0.5 is chance. Under corruption: from those of the corrupted test set, which belong to the classes.",
    ),
    (
        "Under corruption",
        "The mean over all kinds of corruption and severities, each of which counts the same. The corruptions are our "
        "own; their numbers compare with nothing but this report's.",
    ),
    (
        "Seeds",
        "A seed is initial weights, minibatches and draws. Every method and every seed trains on the same rows, and is "
        "judged on the same images.",
    ),
    (
        "Intervals",
        "95% intervals of the mean over seeds: Student's t for fewer than 10 seeds, else a bootstrap that resamples "
        "whole seeds. They say nothing of other training or test rows. Nothing is corrected for many comparisons.",
    ),
    (
        "Failures",
        "Seeds that diverged (they predict all classes alike, and stay in every mean) or whose cell stopped with an "
        "error (no results).",
    ),
    (
        "Cost",
        "Wall time of training, and of all predictions; all seeds of a block run in lockstep. Memory is the largest of "
        "the process while it ran, libraries and data included (on a GPU, of the GPU).",
    ),
]

ACTIVE_DEFINITIONS = [
    (
        "Labels",
        "How many are known, those given at the start included. Every learner of a seed starts from the same ones.",
    ),
    (
        "Accuracy, RMSE",
        "On the test set, of which no label is ever bought: the part of rows whose most probable class is their label, "
        "and the root of the mean squared error of the predictive mean, in units of the target.",
    ),
    (
        "Area",
        "Mean accuracy or RMSE over the labels bought: the area under its curve by trapezoids, divided by the range. "
        "The range ends at the most labels that any learner of the problem bought; a learner that bought fewer keeps "
        "its last value up to there.",
    ),
    (
        "Regret",
        "The sum over purchases of labels bought times how far the model that was in use falls short of a reference, "
        "never clipped, in percent of the sum had it stayed as before the first purchase: 100 is learning nothing, 0 "
        "is the reference from the start, and below 0 is better than it. It is the ratio of means over seeds. The "
        "reference is the best fit to all labels of the pool by any learner of the problem, the mean over its seeds; "
        "or the learner's own fit to all labels, seed by seed. As each learner is measured by its own start, one that "
        "starts out well has less to gain: see the area for the level itself.",
    ),
    (
        "Simple regret",
        "How far the last model falls short of the best fit to all labels, in points of accuracy or units of RMSE.",
    ),
    (
        "Labels to an accuracy",
        "Labels known at the first evaluation that has it: the median over seeds; ∞ where most seeds never have it.",
    ),
    (
        "Speed-up",
        "Labels that the learner of the same method bought at random in all, over those bought until the mean curve "
        "first reaches the accuracy or RMSE that random ended with, interpolated; a dash where it never does. Noise "
        "makes a curve get there early: the speed-up of random itself tells by how much.",
    ),
    ("NLL", "Mean negative log probability (or density) of the label, in nats; lower is better."),
    (
        "ECE",
        "Expected calibration error of the most probable class, over 15 bins of equal width, in percent. It is biased "
        "upwards where bins hold few rows. Debiased: less the bias that each bin would have if its gap were the truth, "
        "in closed form; part of the bias stays, and it may be below 0.",
    ),
    ("Brier score", "Squared distance of the probabilities from the label's unit vector, from 0 to 2."),
    ("CRPS", "Continuous ranked probability score, in units of the target; lower is better."),
    ("Coverage", "How often the target falls into the central 90% interval; below 90% the learner is overconfident."),
    (
        "Test and pool",
        "Scores on the rest of the pool are of the rows not bought, which differ by learner: what they would have said "
        "of the labels that they left.",
    ),
    (
        "Intervals",
        "95% intervals of the mean over seeds: Student's t for fewer than 10 seeds, else a bootstrap that resamples "
        "whole seeds. Ratios and differences are paired by seed. For the mean over problems, each seed counts with its "
        "linear influence on the ratios. Bands in figures are Student's t intervals. Nothing is corrected for many "
        "comparisons.",
    ),
    (
        "Failures",
        "Seeds that diverged (they predict by chance, and stay in every mean) or whose cell stopped with an error (no "
        "results).",
    ),
    (
        "Cost",
        "Wall time, apart for training, querying (choosing what to buy), and the rest: evaluation and the environment; "
        "all seeds of a block run in lockstep. Memory is the largest of the process, libraries included (on a GPU, of "
        "the GPU).",
    ),
]
