from types import SimpleNamespace

import numpy as np

from section3_cnn import pooling_comparison
from section3_cnn.model import build_cnn
from section3_cnn.study.shifts import NETWORKS, accuracy_by_shift, shift
from shared_utils.runs.best_epoch import History
from shared_utils.runs.outcomes import Outcome


def test_only_seeds_with_which_all_networks_were_trained_are_compared():
    trained = [(name, seed) for seed in range(4) for name in NETWORKS]
    trained.remove(("mlp", 1))
    trained.remove(("max", 2))
    outcomes = [Outcome(name, seed, None, History()) for name, seed in trained]
    groups = pooling_comparison.with_equal_seeds(outcomes)
    assert list(groups) == list(NETWORKS)
    assert all([one.seed for one in group] == [0, 3] for group in groups.values())


def test_the_networks_differ_in_what_stands_before_their_fully_connected_layers():
    models = {name: build(rng=np.random.default_rng(0)) for name, build in NETWORKS.items()}
    sizes = {name: sum(p.size for p in m.params.values()) for name, m in models.items()}
    assert sizes == {"mlp": 101_770, "strided": 103_018, "avg": 103_018, "max": 103_018}
    for name in ("strided", "avg"):  # the same weights at the start
        for key, array in models["max"].params.items():
            np.testing.assert_array_equal(models[name].params[key], array)
    kinds = {name: [layer.kind for layer in model.layers] for name, model in models.items()}
    assert kinds["strided"] == ["conv", "relu"] * 2 + kinds["mlp"]
    assert kinds["avg"] == ["conv", "relu", "pool"] * 2 + kinds["mlp"]


def test_a_stride_of_two_keeps_the_first_of_four_places():
    rng = np.random.default_rng(0)
    model = NETWORKS["strided"](rng=rng, dtype=np.float64)
    dense = build_cnn("small", "avg", rng=np.random.default_rng(0), dtype=np.float64)
    x = rng.random((3, 1, 28, 28))
    all_places = dense.layers[1].forward(dense.layers[0].forward(x))
    np.testing.assert_allclose(model.outputs(x)[1], all_places[:, :, ::2, ::2], rtol=1e-12)


def test_every_shift_is_the_mean_of_four_directions():
    x = np.zeros((1, 1, 28, 28))
    x[0, 0, 14, 14] = 1
    known = {(15, 14), (16, 14), *((14, 14 - pixels) for pixels in range(5))}  # down 1, 2; left

    def predict(model, images):
        places = [np.unravel_index(image.argmax(), (28, 28)) for image in images]
        return np.array([[1, 0] if place in known else [0, 1] for place in places])

    outcome = Outcome("max", 0, None, History(), correct=np.array([True]))
    data = SimpleNamespace(x_test=x, y_test=np.array([0]))
    assert accuracy_by_shift(outcome, data, predict) == [1, 2 / 4, 2 / 4, 1 / 4, 1 / 4]


def test_shifts_move_and_fill_with_black():
    x = np.arange(1.0, 13).reshape(1, 1, 3, 4)
    moved = shift(x, 1, -2)
    np.testing.assert_array_equal(moved[0, 0], [[0, 0, 0, 0], [3, 4, 0, 0], [7, 8, 0, 0]])
    np.testing.assert_array_equal(shift(x, 0, 0), x)
