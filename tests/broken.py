"""Posteriors, rules and acquisitions, each broken in one way, and the law that tells so."""

from dataclasses import dataclass, replace
from random import randrange

import numpy as np
import torch

from vbandits.agents.acquisition import ranking
from vbandits.likelihoods import Gaussian
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.linear import Linear
from vbandits.predictive import Mixture
from vbandits.streams import Stream


@dataclass(frozen=True)
class Walking(Deterministic):
    """A regression with the right mean whose draws are that plus noise of a fixed size: to be broken in many ways."""

    def init(self, task):
        if not isinstance(task.likelihood, Gaussian):
            raise ValueError("expected a regression")
        state = super().init(task)
        state.mine = Stream(task.seeds, "draws", dtype=task.dtype)
        state.fixed = Stream(task.seeds, "predictive", dtype=task.dtype).normal(64, task.outputs)
        return state

    def mean(self, state):
        return Deterministic().mean(state)

    def shifts(self, state, draws):
        return state.mine.normal(draws, state.task.outputs)

    def shifted(self, state, shifts):
        mean = self.mean(state)
        return lambda x: mean(x) + shifts.unsqueeze(2)

    def draw(self, state, draws):
        return self.shifted(state, self.shifts(state, draws))

    def predict(self, state, x, output, noise):
        return state.task.likelihood.predictive(self.shifted(state, state.fixed)(x), output, noise)


class AnotherFunctionEachTime(Walking):
    def draw(self, state, draws):
        return lambda x: self.shifted(state, self.shifts(state, draws))(x)


class NoiseOfRows(Walking):
    def draw(self, state, draws):
        mean, stream = self.mean(state), Stream(state.task.seeds, "rows", dtype=state.task.dtype)
        return lambda x: mean(x) + stream.normal(draws, *x.shape[1:2], 1)


class SameDrawsForever(Walking):
    def shifts(self, state, draws):
        return state.fixed[:, :draws]


class OneNoiseForAllDraws(Walking):
    def shifts(self, state, draws):
        return super().shifts(state, 1).expand(-1, draws, -1)


class OneGenerator(Walking):
    def init(self, task):
        state = super().init(task)
        state.mine = torch.Generator().manual_seed(sum(task.seeds))
        return state

    def shifts(self, state, draws):
        return torch.randn(len(state.task.seeds), draws, state.task.outputs, generator=state.mine).double()


class SameGeneratorForEverySeed(Walking):
    def init(self, task):
        state = super().init(task)
        state.mine = Stream((0,) * len(task.seeds), "draws", dtype=task.dtype)
        return state


class TorchsOwnGenerator(Walking):
    def shifts(self, state, draws):
        return torch.randn(len(state.task.seeds), draws, state.task.outputs).double()


class RandomPredictions(Walking):
    def predict(self, state, x, output, noise):
        return state.task.likelihood.predictive(self.draw(state, 8)(x), output, noise)


class PredictionsThatUseUpDraws(Walking):
    def predict(self, state, x, output, noise):
        self.shifts(state, 1)
        return super().predict(state, x, output, noise)


class StandardisedByRowsAskedFor(Walking):
    def predict(self, state, x, output, noise):
        return super().predict(state, x - x.mean(1, keepdim=True), output, noise)


class MeanOverReplicas(Walking):
    def mean(self, state):
        return lambda x: Deterministic().mean(state)(x).mean(0, keepdim=True).expand(len(x), -1, -1, -1)


class NewRowsOfOthers(Walking):
    def condition_on(self, state, data):
        self.update(state, replace(data, y=data.y.mean(0, keepdim=True).expand_as(data.y)))


class TrainedOnRawRows(Walking):
    def update(self, state, data):
        super().update(state, type(data).of(data.x, data.output, data.y))


class DeafToOutputs(Walking):
    def update(self, state, data):
        super().update(state, replace(data, output=data.output * 0))


class UpdatesACopy(Walking):
    def update(self, state, data):
        super().update(self.init(state.task), data)


class KeepsItsPredictions(Walking):
    def predict(self, state, x, output, noise):
        if not hasattr(state, "kept"):
            state.kept = super().predict(state, x, output, noise)
        values = state.kept.values[..., : x.shape[1]]
        return Mixture(values, noise.unsqueeze(1).expand(output.shape))


class WritesIntoRows(Walking):
    def update(self, state, data):
        super().update(state, data)
        data.y.mul_(0.5)


class SqueezesDraws(Walking):
    def draw(self, state, draws):
        return lambda x: super(SqueezesDraws, self).draw(state, draws)(x).transpose(1, 2)


class NoMean(Walking):
    mean = None  # type: ignore[assignment]


class DividesByNothing(Walking):
    def predict(self, state, x, output, noise):
        return super().predict(state, x, output, noise * 0)


class TakesNothing(Walking):
    def init(self, task):
        raise ValueError("expected more")


class ClassesByMistake(Linear):
    """Does not look at the likelihood: classes are learned as zeros."""

    def init(self, task):
        return super().init(replace(task, likelihood=Gaussian()))


class LogitsOfProbabilities(Deterministic):
    def predict(self, state, x, output, noise):
        found = super().predict(state, x, output, noise)
        return replace(found, logits=found.logits / 0) if hasattr(found, "logits") else found


POSTERIORS = [
    (AnotherFunctionEachTime, "one_draw_is_one_function"),
    (NoiseOfRows, "one_draw_is_one_function"),
    (SameDrawsForever, "draws_are_fresh_at_every_call"),
    (OneNoiseForAllDraws, "draws_are_fresh_at_every_call"),
    (OneGenerator, "a_seed_is_the_same_alone_and_in_a_block"),
    (MeanOverReplicas, "a_seed_is_the_same_alone_and_in_a_block"),
    (NewRowsOfOthers, "a_seed_is_the_same_alone_and_in_a_block"),
    (SameGeneratorForEverySeed, "seeds_differ"),
    (TorchsOwnGenerator, "the_same_seeds_give_the_same_again"),
    (RandomPredictions, "predictions_are_the_same_at_every_call"),
    (PredictionsThatUseUpDraws, "looking_changes_nothing"),
    (StandardisedByRowsAskedFor, "a_prediction_is_of_its_row_alone"),
    (TrainedOnRawRows, "rows_are_seen_standardised"),
    (DeafToOutputs, "it_learns_the_output_taken"),
    (UpdatesACopy, "it_learns_the_output_taken"),
    (KeepsItsPredictions, "it_learns_the_output_taken"),
    (WritesIntoRows, "data_are_left_as_they_were"),
    (SqueezesDraws, "shapes_are_those_of_the_contract"),
    (SqueezesDraws, "it_plays_in_an_agent"),
    (ClassesByMistake, "shapes_are_those_of_the_contract"),
    (DividesByNothing, "values_are_finite"),
    (LogitsOfProbabilities, "values_are_finite"),
    (NoMean, "it_has_all_methods_and_takes_a_task"),
    (TakesNothing, "it_has_all_methods_and_takes_a_task"),
]


class UpperBound:
    """The mean and two standard deviations of 16 draws; the others are broken."""

    draws = 16

    def choose(self, values, random):
        there = (values != -torch.inf).all(1)
        known = values.where(there.unsqueeze(1), 0)
        return (known.mean(1) + 2 * known.std(1)).masked_fill(~there, -torch.inf).argmax(1)


class BoundOfWhatIsNotThere(UpperBound):
    def choose(self, values, random):
        return (values.mean(1) + 2 * values.std(1)).argmax(1)


class AnyArm(UpperBound):
    def choose(self, values, random):
        return (random[:, 0] * values.shape[2]).long()


class OwnChance(UpperBound):
    def choose(self, values, random):
        best = super().choose(values, random)
        return best if np.random.random() < 0.5 else values[:, 0].argmax(1)  # noqa: NPY002 (the fault that is meant)


class PythonsChance(UpperBound):
    def choose(self, values, random):
        return values[:, randrange(16)].argmax(1)


class Majority(UpperBound):
    def choose(self, values, random):
        return super().choose(values, random).mode().values.expand(len(values))


class Places(UpperBound):
    def choose(self, values, random):
        return values.argmax(2)


class Ranks(UpperBound):
    def choose(self, values, random):
        return values[:, 0].argsort(1)[:, -1].where(random[:, 0] < 0.5, 0)


class FromOne(UpperBound):
    def choose(self, values, random):
        return super().choose(values, random) + 1


class Small(UpperBound):
    def choose(self, values, random):
        return super().choose(values, random).int()


class Rounding(UpperBound):
    def choose(self, values, random):
        chosen = super().choose(values, random)
        values.clamp_(max=0)
        return chosen


class Wordless(UpperBound):
    draws = None


RULES = [
    (BoundOfWhatIsNotThere, "it_never_chooses_an_arm_that_is_not_available"),
    (AnyArm, "it_never_chooses_an_arm_that_is_not_available"),
    (AnyArm, "it_plays_in_an_agent"),
    (OwnChance, "it_decides_by_its_arguments_alone"),
    (PythonsChance, "it_decides_by_its_arguments_alone"),
    (Majority, "a_replica_decides_alone"),
    (Ranks, "arms_have_no_order"),
    (Places, "it_chooses_an_arm_for_every_replica"),
    (FromOne, "it_chooses_an_arm_for_every_replica"),
    (Small, "it_chooses_an_arm_for_every_replica"),
    (Wordless, "it_chooses_an_arm_for_every_replica"),
    (Rounding, "it_leaves_its_arguments_as_they_were"),
]


class Farthest:
    """Buys the candidates that are farthest from the pool's mean; the others are broken."""

    tasks = frozenset({"classes", "regression"})

    def score(self, view):
        return view.candidates.pool[view.candidates.index].square().sum(2)

    def select(self, view, count):
        return ranking(self.score(view), view.uniform(len(view.candidates)))[:, :count]


class RowsOfThePool(Farthest):
    def select(self, view, count):
        return view.candidates.index.gather(1, super().select(view, count))


class TwiceTheSame(Farthest):
    def select(self, view, count):
        return super().select(view, 1).expand(-1, count)


class ByTheMeanOfReplicas(Farthest):
    def score(self, view):
        spread = view.draw(4)(view.candidates.pool[view.candidates.index])[..., 0].std(1)
        return spread.mean(0, keepdim=True).expand(len(spread), -1)


class OwnDice(Farthest):
    def select(self, view, count):
        return torch.rand(view.candidates.index.shape).argsort(1)[:, :count]


class FirstOfEquals(Farthest):
    def select(self, view, count):
        return self.score(view).topk(count, 1).indices


class Ranked(Farthest):
    def score(self, view):
        return super().score(view).argsort(1).argsort(1).double()


class Undefined(Farthest):
    def score(self, view):
        return super().score(view) * torch.inf * 0


class Centring(Farthest):
    def select(self, view, count):
        view.candidates.pool.sub_(view.candidates.pool.mean(0))
        return super().select(view, count)


class Unsure(Farthest):
    tasks = frozenset({"classification"})


ACQUISITIONS = [
    (RowsOfThePool, "it_buys_different_candidates"),
    (TwiceTheSame, "it_buys_different_candidates"),
    (ByTheMeanOfReplicas, "a_replica_decides_alone"),
    (OwnDice, "the_same_seeds_buy_the_same_again"),
    (FirstOfEquals, "equals_are_told_by_chance"),
    (Ranked, "a_score_is_of_its_row_alone"),
    (Undefined, "a_score_is_of_its_row_alone"),
    (Centring, "it_leaves_the_view_as_it_was"),
    (Unsure, "it_says_what_it_can_be_used_for"),
]
