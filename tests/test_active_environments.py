"""Laws of pools whose labels are for sale: what is known, what may be asked, what it costs, and whose chance it is."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from vbandits.envs import Pool, PoolActiveLearning, StreamActiveLearning
from vbandits.envs.check import check
from vbandits.envs.gymnasium_check import Checkable
from vbandits.envs.spaces import family
from vbandits.envs.spec import EnvironmentSpec, fingerprint
from vbandits.experiment.resolve import resolve
from vbandits.registry import ACTIVE, BANDITS

NAME, STREAM = "vbandits/PoolActiveLearning-v0", "vbandits/StreamActiveLearning-v0"
VARIANTS = [
    (NAME, {"budget": 6}),
    (NAME, {"pool": "wine", "budget": 12, "batch": 3, "initial": 2, "label_noise": 0.3}),
    (NAME, {"pool": "gap", "budget": 6, "batch": 2, "initial": 5, "label_noise": 0.5}),
    (STREAM, {"steps": 20, "budget": 5}),
    (STREAM, {"pool": "wine", "predict": True, "budget": None, "label_noise": 0.2}),
    (STREAM, {"pool": "gap", "steps": 15, "budget": 15, "label_noise": 0.5}),
]
every_kind = pytest.mark.parametrize(("name", "kwargs"), VARIANTS)


def choose(environment, info, randoms):
    """Returns actions that the masks allow, each lane's by its own chance."""
    batch = getattr(environment, "batch", 1)
    chosen = [
        random.choice(np.flatnonzero(mask), batch, replace=False)
        for random, mask in zip(randoms, info["action_mask"].numpy(), strict=True)
    ]
    actions = torch.from_numpy(np.stack(chosen))
    return actions[:, 0] if batch == 1 else actions


def play(environment, seeds, *, reset=True):
    """Returns every observation with its mask, and rewards; each a list of dicts or tensors [R, ...]."""
    randoms = [np.random.default_rng(seed) for seed in seeds]
    observation, info = environment.reset(seed=list(seeds) if reset else None)
    seen, rewards, ended = [observation | info], [], torch.zeros(len(seeds), dtype=torch.bool)
    while not ended.any():
        observation, reward, ended, truncated, info = environment.step(choose(environment, info, randoms))
        assert set(info) == {"action_mask"}, "nothing else is told"
        assert not truncated.any()
        seen.append(observation | info)
        rewards.append(reward)
    assert ended.all(), "all lanes end at once"
    return seen, rewards


def same(one, other, lane=slice(None), mine=slice(None)):
    return len(one) == len(other) and all(
        torch.equal(a[key][lane].nan_to_num(77.0), b[key][mine].nan_to_num(77.0))
        for a, b in zip(one, other, strict=True)
        for key in a
    )


@every_kind
@pytest.mark.filterwarnings("ignore:.*infinit")
@pytest.mark.filterwarnings("ignore:.*unwrapped")
def test_gymnasiums_checker_accepts_a_single_lane(name, kwargs):
    environment = gymnasium.make(name, **kwargs).unwrapped
    check_env(Checkable(environment), skip_render_check=True, skip_close_check=True)
    observation, info = environment.reset(seed=0)
    assert observation in environment.observation_space
    observation, reward, terminated, _, info = environment.step(
        Checkable(environment).possible(
            np.flatnonzero(info["action_mask"])[: getattr(environment, "batch", 1)].squeeze()
        )
    )
    assert observation in environment.observation_space
    assert type(reward) is float
    assert type(terminated) is bool
    assert isinstance(environment.features, np.ndarray)
    assert isinstance(environment.test_targets, np.ndarray)


@pytest.mark.filterwarnings("ignore:.*infinit")
@pytest.mark.parametrize("name", ACTIVE)
def test_gymnasiums_checker_accepts_the_defaults_as_they_are(name):
    environment = gymnasium.make(name).unwrapped
    environment.action_space.seed(0)
    check_env(environment, skip_render_check=True)


@every_kind
def test_gymnasium_makes_a_batch_whose_observations_are_in_its_space(name, kwargs):
    environment = gymnasium.make_vec(name, 3, vectorization_mode="vector_entry_point", **kwargs)
    observation, _ = environment.reset(seed=[4, 5, 6])
    assert {key: part.numpy() for key, part in observation.items()} in environment.observation_space
    actions = environment.action_space.sample()
    assert actions.shape == ((3,) if getattr(environment, "batch", 1) == 1 else (3, environment.batch))


@every_kind
def test_a_lane_of_five_is_the_lane_alone(name, kwargs):
    seeds = [11, 3, 2**31, 0, 7]
    batch, rewards = play(EnvironmentSpec("it", name, kwargs).open(5), seeds)
    for lane in (0, 2, 4):
        alone, mine = play(EnvironmentSpec("it", name, kwargs).open(1), [seeds[lane]])
        assert same(batch, alone, slice(lane, lane + 1))
        assert [reward[lane].item() for reward in rewards] == [reward.item() for reward in mine]


@every_kind
def test_seeds_differ_and_the_same_seed_does_not(name, kwargs):
    environment = EnvironmentSpec("it", name, kwargs).open(2)
    first, _ = play(environment, (4, 9))
    again, _ = play(environment, (4, 9))
    other, _ = play(environment, (9, 4))
    assert same(first, again)
    start = "context" if "context" in first[0] else "labels"
    assert not torch.equal(first[0][start].nan_to_num(0), other[0][start].nan_to_num(0))


@every_kind
def test_a_reset_without_seed_is_another_episode_that_follows_from_the_seed(name, kwargs):
    environment, twin = (EnvironmentSpec("it", name, kwargs).open(2) for _ in range(2))
    first, _ = play(environment, (1, 2))
    second, _ = play(environment, (1, 2), reset=False)
    play(twin, (1, 2))
    assert same(second, play(twin, (1, 2), reset=False)[0])
    start = "context" if "context" in first[0] else "labels"
    assert not torch.equal(first[0][start].nan_to_num(0), second[0][start].nan_to_num(0))


@every_kind
def test_what_was_observed_is_not_changed_by_what_follows(name, kwargs):
    environment = EnvironmentSpec("it", name, kwargs).open(2)
    seen, _ = play(environment, (1, 2))
    copies = [{key: part.clone() for key, part in step.items()} for step in seen]
    for step in seen:
        for part in step.values():
            part.zero_()
    assert same(play(environment, (1, 2))[0], copies)


@every_kind
def test_all_lanes_share_one_pool_in_memory(name, kwargs):
    environment = EnvironmentSpec("it", name, kwargs).open(4)
    assert environment.features.data_ptr() == environment.pool.features.ctypes.data
    assert environment.features.shape == environment.pool.features.shape
    other = EnvironmentSpec("it", name, kwargs).open(1)
    assert environment.features.data_ptr() == other.features.data_ptr(), "loaded once"


@pytest.mark.parametrize(("kwargs", "unknown"), [(VARIANTS[1][1], -1), (VARIANTS[2][1], None)])
def test_labels_masks_and_budget_go_together(kwargs, unknown):
    environment = PoolActiveLearning(3, cost=0.25, **kwargs)
    batch, budget = kwargs["batch"], kwargs["budget"]
    seen, rewards = play(environment, (0, 1, 2))
    assert len(rewards) == budget // batch
    assert all(reward.dtype == torch.float64 and (reward == -0.25 * batch).all() for reward in rewards)
    for step, now in enumerate(seen):
        known = ~now["labels"].isnan() if unknown is None else now["labels"] != -1
        assert torch.equal(now["action_mask"], (~known).to(torch.int8))
        assert (known.sum(1) == known.sum(1)[0]).all()
        assert (now["budget_left"] == budget - batch * step).all()
        if step:
            before = seen[step - 1]
            fresh = before["action_mask"].bool() & known
            for lane in range(3):
                assert set(fresh[lane].nonzero().flatten().tolist()) == set(now["queried"][lane].tolist())
                old = ~before["action_mask"][lane].bool()
                assert torch.equal(now["labels"][lane][old], before["labels"][lane][old])
    assert (seen[0]["queried"] == -1).all()


def test_answers_are_the_targets_where_there_is_no_noise():
    seen, _ = play(PoolActiveLearning(2, pool="wine", budget=20, initial=3), (0, 1))
    environment = PoolActiveLearning(1, pool="wine")
    labels = seen[-1]["labels"]
    for lane in range(2):
        known = labels[lane] >= 0
        assert known.sum() == 29
        assert torch.equal(labels[lane][known], environment.targets[known])
        first = labels[lane][seen[0]["labels"][lane] >= 0]
        assert first.bincount().tolist() == [3, 3, 3], "as many of every class"
    assert not torch.equal(seen[0]["labels"][0], seen[0]["labels"][1])


def test_a_regression_knows_so_many_labels_and_a_list_says_which():
    labels = PoolActiveLearning(2, pool="gap", initial=7).reset(seed=0)[0]["labels"]
    assert (~labels.isnan()).sum(1).tolist() == [7, 7]
    labels = PoolActiveLearning(2, pool="gap", initial=[5, 900]).reset(seed=0)[0]["labels"]
    assert (~labels.isnan()).nonzero().tolist() == [[0, 5], [0, 900], [1, 5], [1, 900]]


@pytest.mark.parametrize("make", [PoolActiveLearning, StreamActiveLearning])
def test_wrong_classes_are_as_frequent_as_asked_and_each_as_likely(make):
    environment = make(4, pool="digits", label_noise=0.3, budget=200)
    environment.reset(seed=0)
    answers, truth = environment._answers, environment.targets
    wrong = answers != truth
    assert wrong.double().mean().item() == pytest.approx(0.3, abs=4 * np.sqrt(0.21 / wrong.numel()))
    shift = ((answers - truth) % 10)[wrong].bincount(minlength=10)[1:].double()
    expected = shift.sum() / 9
    assert ((shift - expected) ** 2 / expected).sum() < 26.1, "chi-squared, 8 degrees of freedom, 0.1 %"
    assert not torch.equal(wrong[0], wrong[1])


def test_noise_on_numbers_has_its_standard_deviation_and_asking_tells_the_same():
    environment = PoolActiveLearning(2, pool="gap", label_noise=0.5, budget=900, batch=900)
    environment.reset(seed=3)
    noise = environment._answers - environment.targets
    assert noise.std().item() == pytest.approx(0.5, rel=0.07)
    assert not torch.equal(noise[0], noise[1])
    seen, _ = play(environment, (3, 4))
    known = ~seen[-1]["labels"].isnan()
    assert torch.equal(seen[-1]["labels"][known], environment._answers[known])


def test_actions_that_cannot_be_taken_are_refused():
    environment = PoolActiveLearning(2, pool="wine")
    _, info = environment.reset(seed=0)
    known = (info["action_mask"][1] == 0).nonzero()[0].item()
    free = (info["action_mask"].sum(0) == 2).nonzero()[0].item()
    for actions, message in (
        ([free, 142], "sub-environment 1: expected a row in 0..141, got 142"),
        ([-1, free], "sub-environment 0: expected a row in 0..141, got -1"),
        (
            [free, known],
            rf"sub-environment 1: expected a row without a label, as info\['action_mask'\] tells, got {known}$",
        ),
        ([-1, known], "sub-environment 0: .*; sub-environment 1: "),
        ([0.0, 1.0], r"expected whole numbers of shape \(2,\)"),
        ([[1], [2]], r"expected whole numbers of shape \(2,\) as actions, got torch.int64 of shape \(2, 1\)"),
    ):
        with pytest.raises(ValueError, match=message):
            environment.step(torch.tensor(actions))
    assert environment.step(torch.tensor([free, free]))[0]["budget_left"].tolist() == [99, 99], "refusals cost nothing"


def test_a_row_twice_and_steps_outside_an_episode_are_refused():
    environment = PoolActiveLearning(2, pool="wine", batch=2, budget=2)
    with pytest.raises(ValueError, match="got a step before reset"):
        environment.step(torch.zeros(2, 2, dtype=torch.long))
    _, info = environment.reset(seed=0)
    free = (info["action_mask"].sum(0) == 2).nonzero().flatten()[:2].tolist()
    with pytest.raises(ValueError, match=f"sub-environment 1: expected 2 different rows, got {free[1]} twice"):
        environment.step(torch.tensor([free, [free[1], free[1]]]))
    environment.step(torch.tensor([free, free]))
    with pytest.raises(ValueError, match=r"after the end: call reset\(\)"):
        environment.step(torch.tensor([free, free]))


TINY = Pool(
    "tiny",
    np.eye(6, dtype=np.float32),
    np.array([0, 0, 0, 1, 1, 2]),
    np.eye(6, dtype=np.float32),
    np.array([0, 0, 0, 1, 1, 2]),
    3,
)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"budget": 4}, "budget: expected at most the 3 labels that can be bought, got 4"),
        ({"budget": 3, "batch": 4}, "batch: expected at most the 3 labels"),
        ({"budget": 3, "batch": 2}, r"budget: expected a multiple of batch \(2\), such as 2, got 3"),
        ({"budget": 0}, "budget: expected at least 1"),
        ({"batch": 0}, "batch: expected at least 1"),
        ({"initial": 0}, "initial: expected at least 1, got 0"),
        ({"initial": 2}, "got 2, but there are 1 of class 2"),
        ({"initial": [0, 3]}, "a row of every class, got none of 2"),
        ({"initial": [0, 3, 9, 3]}, "rows in 0..5, got 9; and every row once, got more of 3"),
        ({"initial": []}, "initial: expected a number or a list of rows"),
        ({"label_noise": 1.5}, "label_noise: expected a probability of a wrong class, got 1.5"),
        ({"cost": -1.0}, "cost: expected a finite number of at least 0"),
        ({"pool": "gap", "label_noise": -0.5}, "label_noise: expected a standard deviation"),
        ({"pool": "digit"}, "unknown pool 'digit'; did you mean 'digits'"),
    ],
)
def test_what_cannot_be_sold_is_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        PoolActiveLearning(**{"pool": TINY, "budget": 2, **kwargs})


def test_parameters_are_held_to_their_types_and_names():
    with pytest.raises(ValueError, match="budget: expected a whole number, got '5'"):
        EnvironmentSpec("it", NAME, {"budget": "5"}).open(1)
    with pytest.raises(ValueError, match=r"unknown parameter of .*'bach'; did you mean 'batch'"):
        EnvironmentSpec("it", NAME, {"bach": 5}).open(1)


def test_a_fingerprint_holds_the_pools_rows():
    one, other = (
        fingerprint(EnvironmentSpec("it", NAME, {"pool": "wine", "budget": 9, "pool_seed": seed})) for seed in (0, 1)
    )
    assert one["data"] != other["data"]
    assert one["data"] == PoolActiveLearning(pool="wine", budget=9).pool.digest()[:16]
    arrays = fingerprint(EnvironmentSpec("it", NAME, {"pool": (np.eye(40), np.arange(40) % 2), "budget": 3}))
    assert arrays["kwargs"]["pool"] == "arrays"
    assert len(arrays["data"]) == 16


def test_families_are_told_apart_and_the_wrong_one_is_refused():
    assert [family(EnvironmentSpec("it", name).open(1)) for name in (NAME, STREAM, next(iter(BANDITS)))] == [
        "pool",
        "stream",
        "bandit",
    ]
    with pytest.raises(ValueError, match=r"expected active learning on a pool.*, or active .*, got a bandit"):
        EnvironmentSpec("it", "vbandits/Wheel-v0").open(2, families=("pool", "stream"))
    with pytest.raises(ValueError, match=r"expected active learning on a stream.*, got active learning on a pool"):
        EnvironmentSpec("it", NAME).open(2, families=("stream",))
    with pytest.raises(Exception, match="expected a bandit, whose actions pay rewards, got active learning on a pool"):
        resolve({"name": "it", "environments": [NAME], "agents": ["uniform"]})


@every_kind
def test_the_checker_has_nothing_to_say(name, kwargs):
    report = check(name, kwargs)
    assert report.works
    assert {line.status for line in report.lines} == {"passed"}, str(report)
