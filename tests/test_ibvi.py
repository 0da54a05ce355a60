import pytest
import torch

from tests.helpers import play, preset, rows, task
from tests.registries import over
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.ibvi import IBVI
from vbandits.types import Data, Optimizer, Schedule


def linear_problem(features=12, count=5):
    """An overparametrised linear model, D > N: its data, and the projections on their span and null space."""
    random = torch.Generator().manual_seed(1)
    directions = torch.linalg.qr(torch.randn(2, features, count, generator=random, dtype=torch.float64)).Q.mT
    x = torch.linspace(1, 2, count, dtype=torch.float64).unsqueeze(1) * directions  # well conditioned: SGD ends soon
    y = torch.randn(2, count, generator=random, dtype=torch.float64)
    inverse = torch.linalg.pinv(x)
    null = torch.eye(features, dtype=torch.float64) - inverse @ x
    assert features > count
    return Data.of(x, torch.zeros(2, count, dtype=torch.long), y), inverse, null


@over("momentum", [0.0, 0.9], quick=[0.9])
def test_on_a_linear_network_the_limit_is_the_projection_of_the_prior(momentum):
    data, inverse, null = linear_problem()
    schedule = Schedule(gradient_steps=3000, batch_size=4)
    optimizer = Optimizer(learning_rate=0.2 if momentum else 2.0, momentum=momentum, clip=1e9)
    linear = task(features=12, outputs=1, hidden=(), bias=False, schedule=schedule, optimizer=optimizer)
    method = IBVI(rank=4)
    state = method.init(linear)
    mean0, factor0 = (state.parameters.detached[name].clone() for name in ("mean/0", "factor/0"))
    assert factor0.abs().min() > 0
    method.update(state, data)
    mean, factor = state.parameters.detached["mean/0"], state.parameters.detached["factor/0"]
    expected = (inverse @ data.y.unsqueeze(2) + null @ mean0.unsqueeze(2)).squeeze(2)
    torch.testing.assert_close(mean, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(factor, null @ factor0, rtol=0, atol=1e-6)
    assert (factor - factor0).abs().max() > 0.01


def test_what_the_data_do_not_span_never_moves():
    data, _, null = linear_problem()
    linear = task(features=12, outputs=1, hidden=(), bias=False, schedule=Schedule(gradient_steps=1, batch_size=2))
    method = IBVI(rank=4)
    state = method.init(linear)
    start = {
        name: null @ block if block.dim() == 3 else (null @ block.unsqueeze(2)).squeeze(2)
        for name, block in state.parameters.detached.items()
    }
    before = state.parameters.values.clone()
    for _ in range(50):
        method.update(state, data)
    torch.testing.assert_close(
        (null @ state.parameters.detached["mean/0"].unsqueeze(2)).squeeze(2), start["mean/0"], rtol=0, atol=1e-12
    )
    torch.testing.assert_close(null @ state.parameters.detached["factor/0"], start["factor/0"], rtol=0, atol=1e-12)
    assert (state.parameters.values - before).abs().max() > 1e-3


def test_a_prior_scale_of_zero_is_the_deterministic_network_bit_for_bit():
    data = rows(dtype=torch.float32)
    single = task(dtype=torch.float32)
    trained = []
    for method in (Deterministic(), IBVI(prior_scale=0.0)):
        state = method.init(single)
        for _ in range(5):
            method.update(state, data)
        trained.append((state.parameters.values, method.draw(state, 3)(data.x)))
    assert torch.equal(trained[0][0], trained[1][0])
    assert torch.equal(trained[0][1], trained[1][1])


def test_a_factor_of_zero_in_the_last_layer_stays_zero_and_leaves_the_mean_deterministic():
    data, single = rows(), task()
    plain, method = Deterministic(), IBVI(layers="last")
    reference, state = plain.init(single), method.init(single)
    state.parameters.detached["factor/1"].zero_()
    for _ in range(5):
        plain.update(reference, data)
        method.update(state, data)
    assert torch.equal(state.parameters.detached["factor/1"], torch.zeros_like(state.parameters.detached["factor/1"]))
    for layer in ("0", "1"):
        mean = state.parameters.detached[f"mean/{layer}"]
        torch.testing.assert_close(mean, reference.parameters.detached[layer], rtol=0, atol=1e-13)


def test_without_a_factor_its_agent_acts_as_the_deterministic_agent():
    runs = [
        play(preset(name, optimizer={"learning_rate": 0.02}, standardize=True, **more), range(3), 80)
        for name, more in (("deterministic", {}), ("ibvi", {"posterior": {"prior_scale": 0}}))
    ]
    assert runs[0]["action"].tolist() == runs[1]["action"].tolist()
    assert runs[0]["action"].nunique() > 1


def test_entries_start_at_the_prior():
    wide = task(seeds=range(4), features=40, hidden=(300,))
    state = IBVI(rank=10, prior_scale=2.0).init(wide)
    draws = state.family.sample(state.parameters.detached, state.fixed)
    mean = state.family.mean(state.parameters.detached)
    for name, std in {"0.weight": 40**-0.5, "1.weight": 1 / 300, "0.bias": 1.0}.items():
        assert (draws[name] - mean[name]).std().item() == pytest.approx(2 * std, rel=0.1)


def test_the_closed_form_of_the_last_layer_is_the_mean_of_samples():
    data = rows()
    state = IBVI(rank=3, prior_scale=2.0).init(task())
    family, leaves = state.family, state.parameters.detached
    noise = state.noise.normal(1, family.noise_size)
    exact = family.expected_loss(leaves, next(data.batches(20)), noise)
    many = noise.expand(-1, 40_000, -1).clone()
    many[:, :, 3:] = torch.randn(2, 40_000, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    weights = family.sample(leaves, many)  # the first layer's noise is the same in every sample
    values = state.task.network.apply(weights, data.x.unsqueeze(1))
    taken = torch.gather(values, 3, data.output[:, None, :, None].expand(-1, 40_000, -1, 1)).squeeze(3)
    errors = (data.y.unsqueeze(1) - taken).square().mean(2)
    assert ((errors.mean(1) - exact).abs() < 4 * errors.std(1) / 200).all()
    assert (errors.std(1) > 0.01).all()


def test_a_factors_rate_is_divided_by_its_rank_only_where_its_gradient_is_sampled():
    state = IBVI(rank=5).init(task())
    blocks = dict(
        zip(
            state.parameters.leaves,
            state.parameters.rates.split([leaf[0].numel() for leaf in state.parameters.leaves.values()]),
            strict=True,
        )
    )
    assert torch.equal(blocks["factor/0"].view(-1, 5)[:, 0] * 5, blocks["mean/0"])
    assert torch.equal(blocks["factor/1"].view(-1, 5)[:, 0], blocks["mean/1"])


def test_draws_of_the_prior_vary_at_every_row_and_output():
    method = IBVI(prior_scale=3.0)
    assert (method.draw(method.init(task()), 4)(rows().x).std(1) > 0).all()


def test_predictions_are_the_same_at_every_call():
    method = IBVI()
    data, state = rows(), method.init(task())
    first, second = (method.predict(state, data.x, data.output, data.noise).values for _ in range(2))
    assert first.shape == (2, 64, 20)
    assert torch.equal(first, second)
