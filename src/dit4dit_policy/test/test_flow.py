import pytest
import torch

from dit4dit_policy.model import flow


def test_path_starts_at_data_and_ends_at_noise():
    x0, noise = torch.randn(2, 3, 4), torch.randn(2, 3, 4)
    assert torch.equal(flow.interpolate(x0, noise, torch.zeros(2)), x0)
    assert torch.equal(flow.interpolate(x0, noise, torch.ones(2)), noise)


def test_target_is_the_velocity_of_the_path():
    x0, noise = torch.randn(5, 2), torch.randn(5, 2)
    tau, h = torch.full((5,), 0.3), 1e-3
    slope = (flow.interpolate(x0, noise, tau + h) - flow.interpolate(x0, noise, tau)) / h
    torch.testing.assert_close(slope, flow.velocity_target(x0, noise), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize('steps', [1, 4])
def test_euler_with_the_true_velocity_lands_on_the_data(steps):
    x0, noise = torch.randn(3, 16, 2), torch.randn(3, 16, 2)
    times = []

    def velocity(_x, tau):
        times.append(tau)
        return noise - x0

    torch.testing.assert_close(flow.euler(velocity, noise, steps), x0, atol=1e-5, rtol=1e-5)
    assert times == [1 - i / steps for i in range(steps)]


def test_beta_times_follow_their_mean_and_generator():
    def draw():
        return flow.beta_times(20000, 1.5, 1.0, torch.Generator().manual_seed(1))

    assert torch.equal(draw(), draw())
    assert draw().mean() == pytest.approx(1.5 / 2.5, abs=0.01)


def test_masked_values_count_for_nothing():
    error = torch.tensor([[1.0, 100.0], [3.0, 100.0]])
    mask = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    assert flow.masked_mean_square(error, mask) == pytest.approx(5.0)
    assert flow.masked_mean_square(error, torch.zeros(2, 2)) == 0
