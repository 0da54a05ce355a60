from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import nn

from tests.helpers import rows, task
from vbandits.likelihoods import Categorical
from vbandits.networks import from_module
from vbandits.posteriors.deterministic import Deterministic
from vbandits.posteriors.dropout import Dropout
from vbandits.types import Optimizer, Schedule


def modelled(categorical=False, module=None, features=3, **fields):
    made = task(outputs=3, **fields)
    made = replace(made, likelihood=Categorical()) if categorical else made
    return made if module is None else replace(made, network=from_module(module.double(), features=features))


def trained(method, given, updates=3, **fields):
    state = method.init(modelled(**fields))
    for _ in range(updates):
        method.update(state, given)
    return state


def set_masks(state, masks):
    """Sets the predictive's uniform numbers to those of masks [S, U] of zeros and ones, at a rate of 0.5."""
    state.fixed = torch.tensor(masks, dtype=torch.float64).clamp(0.1, 0.9).expand(len(state.fixed), -1, -1)


@pytest.mark.parametrize("categorical", [False, True])
@pytest.mark.parametrize("module", [False, True])
def test_a_rate_of_zero_is_the_deterministic_network_bit_for_bit(categorical, module):
    module = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 3)) if module else None
    given, plain, method = rows(outputs=3), Deterministic(), Dropout(rate=0.0)
    reference, state = (trained(m, given, categorical=categorical, module=module) for m in (plain, method))
    assert torch.equal(reference.parameters.values, state.parameters.values)
    assert torch.equal(plain.mean(reference)(given.x), method.mean(state)(given.x))
    torch.testing.assert_close(method.draw(state, 3)(given.x), plain.draw(reference, 3)(given.x), rtol=0, atol=1e-13)


@pytest.mark.parametrize("module", [False, True])
def test_on_a_linear_layer_mean_and_covariance_have_their_closed_form(module):
    """Values are b + sum of z_i w_i x_i: their covariance is rate / (1 - rate) * sum of w_i^2 x_i x'_i."""
    given, draws = rows(outputs=3), 40_000
    method = Dropout(rate=0.3)
    state = trained(method, given, hidden=(), module=nn.Sequential(nn.Linear(3, 3)) if module else None)
    flat = next(iter(state.parameters.detached.values()))
    weight = flat[:, :9].view(2, 3, 3) if not module else flat[:, :9].view(2, 3, 3).mT  # [R, in, out]
    mean = given.x @ weight + flat[:, None, 9:]
    values = method.draw(state, draws)(given.x)
    expected = 0.3 / 0.7 * torch.einsum("rik,rni,rmi->rknm", weight.square(), given.x, given.x)
    variance = expected.diagonal(dim1=2, dim2=3).mT
    assert ((values.mean(1) - mean).abs() < 5 * (variance / draws).sqrt()).all()
    centred = (values - mean.unsqueeze(1)).permute(0, 3, 2, 1)  # [R, K, N, S]
    found = centred @ centred.mT / draws
    scale = variance.mT.sqrt()  # of a standard error: normal variables would have at most sqrt(2 / S)
    assert ((found - expected).abs() < 8 * scale.unsqueeze(3) * scale.unsqueeze(2) / draws**0.5).all()
    torch.testing.assert_close(method.mean(state)(given.x).squeeze(1), mean, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("module", [False, True])
@pytest.mark.parametrize("categorical", [False, True])
def test_a_mask_leaves_out_hidden_units(module, categorical):
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 3)) if module else None
    given, method = rows(outputs=3), Dropout(rate=0.5)
    state = trained(method, given, hidden=(4,), module=module, categorical=categorical)
    masks = list(product((0, 1), repeat=4))
    set_masks(state, masks)
    first, last = list(state.parameters.detached.values())
    shape = (2, 4, 3) if module else (2, 3, 4)
    a, b = first[:, :12].view(shape), last[:, :12].view(2, 3, 4) if module else last[:, :12].view(2, 4, 3)
    a, b = (a.mT, b.mT) if module else (a, b)
    hidden = (given.x @ a + first[:, None, 12:]).relu()
    kept = 2 * torch.tensor(masks, dtype=torch.float64)  # [S, H]
    expected = (hidden.unsqueeze(1) * kept[:, None]) @ b.unsqueeze(1) + last[:, None, None, 12:]
    predicted = method.predict(state, given.x, given.output, given.noise)
    if categorical:
        torch.testing.assert_close(predicted.logits, expected)
    else:
        index = given.output[:, None, :, None].expand(-1, 16, -1, -1)
        torch.testing.assert_close(predicted.values, expected.gather(3, index).squeeze(3))


def test_of_a_convolution_whole_channels_are_left_out():
    module = nn.Sequential(nn.Unflatten(1, (1, 4, 4)), nn.Conv2d(1, 2, 3), nn.Tanh(), nn.Conv2d(2, 3, 2), nn.Flatten())
    given = rows(features=16, outputs=3)
    method = Dropout(rate=0.5)
    state = method.init(modelled(module=module, features=16))
    masks = list(product((0, 1), repeat=2))
    set_masks(state, masks)
    predicted = method.predict(state, given.x, given.output, given.noise).values[0]
    with torch.no_grad():
        flat = torch.cat([block[0] for block in state.parameters.detached.values()])
        for (_, own), part in zip(module.named_parameters(), flat.split([18, 2, 24, 3]), strict=True):
            own.copy_(part.view(own.shape))
        for draw, mask in enumerate(masks):
            channels = module[:3](given.x[0]) * 2 * torch.tensor(mask).view(1, 2, 1, 1)
            expected = module[3:](channels).gather(1, given.output[0, :, None]).squeeze(1)
            torch.testing.assert_close(predicted[draw], expected)


def test_layers_are_chosen_by_place_or_by_name():
    def names(layers):
        return [layer.name for layer in Dropout(layers=layers).init(task(hidden=(8, 8))).masked]

    assert names("not_input") == ["1", "2"]
    assert names("last") == ["2"]
    assert names("all") == ["0", "1", "2"]
    assert names(("0", "2")) == ["0", "2"]
    with pytest.raises(ValueError, match=r"unknown layer .7. \(known: 0, 1, 2\)"):
        names(("7",))


def one_step(method, given):
    optimizer = Optimizer(learning_rate=0.1, momentum=0.0, clip=1e9)
    single = task(
        outputs=3,
        hidden=(),
        optimizer=optimizer,
        parametrization="sp",
        schedule=Schedule(gradient_steps=1, batch_size=30),
    )
    state = method.init(single)
    before = state.parameters.values.clone()
    method.update(state, given)
    return before, state.parameters.values - before


def test_training_averages_the_loss_over_masks():
    """Of a linear model it is the squared error plus rate / (1 - rate) * sum of w_i^2 x_i^2 (Wager et al., 2013)."""
    given = rows(outputs=3)
    plain = one_step(Deterministic(), given)[1]
    before, moved = one_step(Dropout(rate=0.4, samples=40_000), given)
    index = Deterministic().init(task(outputs=3, hidden=())).minibatches.integers(20, 30)
    batch = given.rows(index)
    taken = torch.nn.functional.one_hot(batch.output, 3).double()
    moments = torch.einsum("rni,rnk->rik", batch.x.square(), taken) / 30
    penalty = 2 * 0.4 / 0.6 * moments * before[:, :9].view(2, 3, 3)
    torch.testing.assert_close(moved[:, :9] - plain[:, :9], -0.1 * penalty.flatten(1), rtol=0, atol=3e-3)
    assert (0.1 * penalty).abs().max() > 0.03
    assert torch.equal(one_step(Dropout(rate=0.4), given)[1], one_step(Dropout(rate=0.4), given)[1])
    assert (one_step(Dropout(rate=0.4), given)[1] - moved).abs().max() > 0.01  # one mask is not their mean


def test_weight_decay_adds_the_square_of_the_weights():
    given = rows(outputs=3)
    before, plain = one_step(Dropout(), given)
    decayed = one_step(Dropout(weight_decay=0.25), given)[1]
    torch.testing.assert_close(decayed - plain, -0.1 * 2 * 0.25 * before, rtol=1e-10, atol=1e-12)


def test_classes_are_predicted_by_64_masks_the_same_at_every_call():
    given, method = rows(outputs=3), Dropout(rate=0.5)
    state = trained(method, given, categorical=True)
    first, second = (method.predict(state, given.x, given.output, given.noise) for _ in range(2))
    assert first.logits.shape == (2, 64, 20, 3)
    assert torch.equal(first.logits, second.logits)
    assert first.logits.std(1).min() > 1e-3
    assert first.log_probabilities().shape == (2, 20, 3)
