import copy

import pytest
import torch
from torch.nn import functional as F

from section4_transfer.models import CifarNet, check_size, initialise, resnet18
from shared_utils.datasets.color_images import generator
from shared_utils.errors import UserError


@pytest.mark.parametrize(
    ("depth", "parameters"),
    [(20, 269_722), (32, 464_154), (44, 658_586), (56, 853_018), (110, 1_727_962)],
)
def test_parameter_counts_are_those_of_table_6_for_both_twins(depth, parameters):
    # The paper rounds them: 0.27, 0.46, 0.66, 0.85 and 1.7 million.
    for residual in (True, False):
        model = CifarNet(depth, residual=residual)
        assert sum(p.numel() for p in model.parameters()) == parameters
        weighted = [m for m in model.modules() if hasattr(m, "weight") and m.weight.ndim > 1]
        assert len(weighted) == depth


def test_residual_network_is_its_blocks_written_out():
    model = initialise(CifarNet(14, classes=3), generator(0, "init")).double().eval()
    x = torch.randn(2, 3, 16, 16, generator=generator(0, "x"), dtype=torch.float64)
    h = F.relu(model.bn(F.conv2d(x, model.conv.weight, padding=1)))
    sizes = []
    for block in model.blocks:
        stride = 2 if block.conv1.weight.shape[0] > block.conv1.weight.shape[1] and sizes else 1
        f = F.relu(block.bn1(F.conv2d(h, block.conv1.weight, stride=stride, padding=1)))
        f = block.bn2(F.conv2d(f, block.conv2.weight, padding=1))
        shortcut = torch.zeros_like(f)  # option A, from its definition
        shortcut[:, : h.shape[1]] = h[:, :, ::stride, ::stride]
        h = F.relu(f + shortcut)
        sizes.append((h.shape[1], h.shape[2]))
    assert sizes == [(16, 16), (16, 16), (32, 8), (32, 8), (64, 4), (64, 4)]
    torch.testing.assert_close(model(x), model.fc(F.adaptive_avg_pool2d(h, 1).flatten(1)))


def test_twins_start_from_equal_weights_and_differ_in_the_shortcuts_alone():
    twins = [initialise(CifarNet(8, residual=r), generator(3, "init")) for r in (True, False)]
    for a, b in zip(*(twin.state_dict().values() for twin in twins), strict=True):
        assert torch.equal(a, b)
    x = torch.randn(2, 3, 8, 8, generator=generator(0, "x"))
    assert not torch.allclose(twins[0].eval()(x), twins[1].eval()(x))
    for block in twins[0].blocks:
        block.residual = False
    assert torch.equal(twins[0](x), twins[1](x))


def test_with_silent_branches_the_residual_network_passes_the_signal_on():
    model = initialise(CifarNet(20), generator(0, "init")).eval()
    for block in model.blocks:
        torch.nn.init.zeros_(block.bn2.weight)
    x = torch.randn(2, 3, 8, 8, generator=generator(0, "x"))
    stem = F.relu(model.bn(model.conv(x)))
    features = model.blocks(stem)
    assert torch.equal(features[:, :16], stem[:, :, ::4, ::4])
    assert not features[:, 16:].any()


def test_initialisation_has_the_stated_spread_and_only_its_own_generator():
    model = CifarNet(20)
    before = torch.get_rng_state()
    initialise(model, generator(0, "init"))
    assert torch.equal(before, torch.get_rng_state())
    weight = model.blocks[-1].conv2.weight
    assert weight.std().item() == pytest.approx((2 / (64 * 9)) ** 0.5, rel=0.03)
    again = initialise(copy.deepcopy(model), generator(0, "init"))
    assert torch.equal(again.fc.weight, model.fc.weight)


@pytest.mark.parametrize("depth", [21, 2, 0, -4])
def test_a_depth_that_is_not_6n_plus_2_is_refused(depth):
    with pytest.raises(ValueError, match="6n"):
        CifarNet(depth)


def test_images_that_vanish_are_refused():
    check_size(CifarNet(8), 4)
    with pytest.raises(UserError, match="too small for this network: --resize must be at least 32"):
        check_size(resnet18(2), 31)
