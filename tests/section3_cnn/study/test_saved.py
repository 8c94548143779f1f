import pickle
import subprocess
import sys

import numpy as np
import pytest

from section3_cnn.model import build_cnn
from section3_cnn.study.saved import load_model, save_model
from shared_utils.errors import UserError
from shared_utils.runs.checkpoints import load_checkpoint, save_checkpoint

ABOUT = {"dataset": "digits", "epoch": 3, "val_acc": 0.5}


def saved(path, arch="small", pool="max", dtype=np.float32):
    model = build_cnn(arch, pool, rng=np.random.default_rng(7), dtype=dtype)
    for array in (model.params | model.state).values():
        array += 0.25  # nothing is left as it was built
    save_model(path, model, ABOUT)
    return model


def refused(path):
    with pytest.raises(UserError) as error:
        load_model(path)
    assert "\n" not in str(error.value)
    assert str(path) in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("arch", "pool"), [("small", "max"), ("small", "avg"), ("deep", "max")])
def test_what_was_saved_comes_back(tmp_path, arch, pool, dtype):
    model = saved(tmp_path / "best.pkl", arch, pool, dtype)
    loaded, about = load_model(tmp_path / "best.pkl")
    assert about == ABOUT
    assert loaded.config == model.config
    for ours, theirs in ((model.params, loaded.params), (model.state, loaded.state)):
        assert ours.keys() == theirs.keys()
        for key, array in ours.items():
            np.testing.assert_array_equal(theirs[key], array)
            assert theirs[key].dtype == dtype
    x = np.random.default_rng(0).random((3, 1, 28, 28))
    model.eval()
    np.testing.assert_array_equal(loaded.forward(x), model.forward(x))


def test_the_small_network_is_small_and_plain(tmp_path):
    model = saved(tmp_path / "best.pkl")
    assert (tmp_path / "best.pkl").stat().st_size < 1_000_000
    # Any Python with NumPy reads it, without this repository.
    code = "import pickle, sys; print(sorted(pickle.load(open(sys.argv[1], 'rb'))['params']))"
    command = [sys.executable, "-I", "-c", code, str(tmp_path / "best.pkl")]
    output = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert output.stdout.strip() == str(sorted(model.params))


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path):
    path = tmp_path / "best.pkl"
    saved(path, "deep")
    checkpoint = load_checkpoint(path)
    checkpoint["config"]["arch"] = "small"
    save_checkpoint(path, checkpoint)
    assert "small" in refused(path)
    save_checkpoint(path, {"config": {"layer_sizes": [784, 10]}, "params": {}, "about": {}})
    refused(path)


@pytest.mark.parametrize("arch", ["small", "deep"])
def test_a_file_without_sizes_is_of_28x28_and_ten_classes(tmp_path, arch):
    path = tmp_path / "best.pkl"
    model = saved(path, arch)
    checkpoint = load_checkpoint(path)
    assert checkpoint["config"].pop("image_size") == (28, 28)
    assert checkpoint["config"].pop("classes") == 10
    save_checkpoint(path, checkpoint)
    loaded, _ = load_model(path)
    assert (loaded.image_shape, loaded.classes) == ((1, 28, 28), 10)
    for key, array in model.params.items():
        np.testing.assert_array_equal(loaded.params[key], array)


def huge_images(c):
    c["config"]["image_size"] = (10**6, 10**6)


def huge_classes(c):
    c["config"]["classes"] = 10**9


def tiny_images(c):
    c["config"]["image_size"] = (3, 3)


def text_size(c):
    c["config"]["image_size"] = "28"


def change_shape(c):
    c["params"]["conv1.W"] = np.zeros((8, 1, 3, 4), np.float32)


def change_dtype(c):
    c["params"]["conv1.W"] = c["params"]["conv1.W"].astype(np.float64)


def drop_array(c):
    del c["params"]["fc2.b"]


def add_array(c):
    c["params"]["fc3.b"] = np.zeros(3, np.float32)


def nan_weight(c):
    c["params"]["fc2.b"][0] = np.nan


def list_weight(c):
    c["params"]["fc2.b"] = [0.0] * 10


def no_params(c):
    c["params"] = None


def drop_state(c):
    del c["state"]


def unknown_arch(c):
    c["config"]["arch"] = "huge"


def extra_option(c):
    c["config"]["rng"] = 3


def odd_dtype(c):
    c["config"]["dtype"] = "object"


def about_text(c):
    c["about"] = "me"


DAMAGES = [
    huge_images,
    huge_classes,
    tiny_images,
    text_size,
    change_shape,
    change_dtype,
    drop_array,
    add_array,
    nan_weight,
    list_weight,
    no_params,
    drop_state,
    unknown_arch,
    extra_option,
    odd_dtype,
    about_text,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_arrays_that_do_not_belong_are_refused(tmp_path, damage):
    path = tmp_path / "best.pkl"
    saved(path)
    checkpoint = load_checkpoint(path)
    damage(checkpoint)
    save_checkpoint(path, checkpoint)
    refused(path)


def test_missing_truncated_and_foreign_files_are_refused(tmp_path):
    path = tmp_path / "best.pkl"
    assert "train a network first" in refused(path)
    saved(path)
    content = path.read_bytes()
    for length in [0, 1, 10, 100, len(content) // 2, len(content) - 1]:
        path.write_bytes(content[:length])
        refused(path)
    path.write_bytes(b"not a pickle at all")
    refused(path)


class Hostile:
    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return open, (self.target, "w")


def test_a_hostile_file_is_refused_and_nothing_runs(tmp_path):
    path, target = tmp_path / "best.pkl", tmp_path / "touched"
    saved(path)
    checkpoint = load_checkpoint(path) | {"about": Hostile(str(target))}
    path.write_bytes(pickle.dumps(checkpoint))
    refused(path)
    assert not target.exists()
