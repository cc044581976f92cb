"""Real-time chunking: new chunks continue the one in execution."""

import numpy as np
import pytest
import torch
from toy_models import INSTRUCTION, processor, scene, tiny

from dit4dit_policy.inference.chunk_policy import Observation
from dit4dit_policy.inference.chunking import guided, soft_mask
from dit4dit_policy.inference.continuation import Continuation, Prefix
from dit4dit_policy.inference.policy import DiT4DiTPolicy
from dit4dit_policy.model import flow
from dit4dit_policy.model.dit4dit import DiT4DiT

HORIZON, FROZEN = 8, 3


def gaussian_field(mean_K, covariance_KK):
    """The exact velocity of chunks (B, K, 1) that are normally distributed."""

    def velocity(x_BK1, tau):
        x_BK = x_BK1[..., 0] - (1 - tau) * mean_K
        noisy = (1 - tau) ** 2 * covariance_KK + tau**2 * torch.eye(len(mean_K))
        clean = mean_K + (1 - tau) * x_BK @ torch.linalg.solve(noisy, covariance_KK)
        return ((x_BK1[..., 0] - clean) / tau)[..., None]

    return velocity


@pytest.mark.parametrize(('steps', 'left'), [(4, 0.35), (10, 0.1)])
def test_frozen_steps_are_followed_and_the_others_go_with_them(steps, left):
    """Chunks that are smooth wherever they start: a known start tells where the rest should be."""
    k = torch.arange(HORIZON)
    covariance = 0.2**2 * torch.exp(-((k[:, None] - k) ** 2) / 8.0) + 1e-6 * torch.eye(HORIZON)
    mean = torch.linspace(-0.3, 0.3, HORIZON)
    known = mean[:FROZEN] + 0.3
    gain = covariance[:, :FROZEN] @ torch.linalg.inv(covariance[:FROZEN, :FROZEN])
    conditional = mean + gain @ (known - mean[:FROZEN])
    wanted = torch.zeros(1, HORIZON, 1)
    wanted[0, :FROZEN, 0] = known
    noise = torch.randn(500, HORIZON, 1, generator=torch.Generator().manual_seed(0))
    field, weight = gaussian_field(mean, covariance), soft_mask(FROZEN, FROZEN, HORIZON)[:, None]
    free = flow.euler(field, noise, steps)[..., 0]
    bent = flow.euler(guided(field, wanted, weight), noise, steps)[..., 0]
    errors = [(chunks[:, :FROZEN] - known).abs().mean() for chunks in (bent, free)]
    assert errors[0] < left * errors[1]
    shift, expected = bent.mean(0) - free.mean(0), conditional - mean
    assert shift[FROZEN].item() == pytest.approx(expected[FROZEN].item(), rel=0.4)
    assert shift[FROZEN + 1] > 0.5 * expected[FROZEN + 1]


def test_nothing_is_bent_where_nothing_is_wanted():
    field = gaussian_field(torch.zeros(HORIZON), torch.eye(HORIZON))
    noise = torch.randn(2, HORIZON, 1, generator=torch.Generator().manual_seed(0))
    bent = guided(field, torch.full((1, HORIZON, 1), 5.0), torch.zeros(HORIZON, 1))
    assert torch.equal(flow.euler(bent, noise, 4), flow.euler(field, noise, 4))


def test_the_mask_holds_what_is_frozen_and_fades_over_the_rest():
    weight = soft_mask(FROZEN, 6, HORIZON)
    assert weight[:FROZEN].tolist() == [1.0] * FROZEN
    assert (weight[FROZEN - 1 :].diff()[:4] < 0).all() and weight[5] > 0
    assert weight[6:].tolist() == [0.0, 0.0]


@pytest.fixture(scope='module')
def policy():
    torch.manual_seed(0)
    config = tiny()
    return DiT4DiTPolicy(DiT4DiT(config), processor(config), {'trained': False}, 'tiny')


@pytest.fixture(scope='module')
def observation():
    return Observation({'head': scene(np.array([0.3, 0.6]), 0.5)}, np.zeros(16), INSTRUCTION)


def test_a_chunk_begins_with_the_frozen_targets_and_comes_closer_to_the_rest(policy, observation):
    free = policy.infer(observation)
    prefix = Prefix(free[:10] + 0.1, frozen=3)
    chunk = policy.infer(observation, prefix)
    assert (chunk[:3] == prefix.targets[:3]).all()
    distances = [np.abs(c[3:6] - prefix.targets[3:6]).mean() for c in (chunk, free)]
    assert distances[0] < 0.8 * distances[1]
    assert (policy.infer(observation) == free).all()  # and it leaves no trace


@pytest.mark.parametrize(
    ('make', 'text'),
    [
        (lambda chunk: Prefix(chunk[:2], frozen=3), 'from 0 to 2 frozen steps, got 3'),
        (lambda chunk: Prefix(np.zeros((17, 16)), frozen=0), 'a chunk has 16 steps, got 17'),
        (lambda chunk: Prefix(chunk[:2, :7], frozen=1), 'expected 16 values'),
    ],
)
def test_a_prefix_that_cannot_be_is_refused(policy, observation, make, text):
    with pytest.raises(ValueError, match=text):
        policy.infer(observation, make(policy.infer(observation)))


def test_the_next_chunk_continues_the_last_on_its_own_times():
    continuation = Continuation(step=0.1)
    assert continuation.prefix(5.0) is None
    ramp = np.arange(16.0)[:, None] * np.ones(2)  # one a step
    continuation.sent(5.0, ramp, latency=0.12)
    prefix = continuation.prefix(5.25)
    assert prefix is not None and prefix.frozen == 2
    assert prefix.targets[:, 0] == pytest.approx(np.arange(2.5, 15.0))
    continuation.sent(5.25, ramp, latency=0.31)  # once late, late again is expected
    continuation.sent(5.45, ramp, latency=0.05)
    prefix = continuation.prefix(5.65)
    assert prefix is not None and prefix.frozen == 4
    assert continuation.prefix(5.45) is None  # the same image again
    assert continuation.prefix(7.0) is None  # it has ended
