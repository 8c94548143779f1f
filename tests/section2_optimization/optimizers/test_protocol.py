"""What all update rules share: saved states, checks before a step, and no memory wasted in it."""

import tracemalloc

import numpy as np
import pytest

from section2_optimization.optimizers import OPTIMIZERS, SGD, Adam, RMSprop, make_optimizer

RULES = [
    ("sgd", {}),
    ("sgd", {"momentum": 0.9}),
    ("sgd", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("rmsprop", {}),
    ("adam", {}),
    ("adamw", {}),
    ("adagrad", {}),
]


@pytest.mark.parametrize(("name", "options"), RULES, ids=str)
def test_a_step_allocates_no_arrays(name, options):
    params, grads = {"x": np.ones(10**5)}, {"x": np.ones(10**5)}
    optimizer = make_optimizer(name, 0.1, **options)
    optimizer.step(params, grads)  # the first one makes the memory
    tracemalloc.start()
    optimizer.step(params, grads)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10**5  # an array has 800,000 bytes


@pytest.mark.parametrize(("name", "options"), RULES, ids=str)
def test_a_saved_state_continues_as_if_never_stopped(name, options):
    rng = np.random.default_rng(0)
    all_grads = [{"a": rng.normal(size=3), "b": rng.normal(size=(2, 2))} for _ in range(20)]
    straight = {"a": np.ones(3), "b": np.ones((2, 2))}
    optimizer = make_optimizer(name, 0.1, **options)
    for grads in all_grads:
        optimizer.step(straight, grads)
    stopped = {"a": np.ones(3), "b": np.ones((2, 2))}
    first = make_optimizer(name, 0.1, **options)
    for grads in all_grads[:10]:
        first.step(stopped, grads)
    state = first.state_dict()
    resumed = {key: value.copy() for key, value in stopped.items()}
    first.step(stopped, all_grads[0])  # neither the state nor its heir care what comes after
    second = make_optimizer(name, 0.5, **options)
    second.load_state_dict(state)
    first.step(stopped, all_grads[1])
    for grads in all_grads[10:]:
        second.step(resumed, grads)
    for key, value in straight.items():
        np.testing.assert_array_equal(resumed[key], value)


def test_float32_parameters_stay_float32_and_the_same_arrays():
    for name in OPTIMIZERS:
        x = np.ones(3, np.float32)
        params = {"x": x}
        make_optimizer(name, 0.1).step(params, {"x": np.ones(3, np.float32)})
        assert params["x"] is x and x.dtype == np.float32 and (x < 1).all()


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: make_optimizer("adamm", 0.1), "sgd, rmsprop, adam, adamw, adagrad"),
        (lambda: SGD(0.0), "lr must be"),
        (lambda: SGD(-1.0), "lr must be"),
        (lambda: SGD(float("nan")), "lr must be"),
        (lambda: SGD(float("inf")), "lr must be"),
        (lambda: setattr(SGD(0.1), "lr", 0.0), "lr must be"),
        (lambda: SGD(0.1, momentum=1.0), r"momentum must be in \[0, 1\)"),
        (lambda: SGD(0.1, momentum=-0.1), r"momentum must be in \[0, 1\)"),
        (lambda: SGD(0.1, momentum=float("nan")), "momentum"),
        (lambda: SGD(0.1, nesterov=True), "nesterov needs a momentum"),
        (lambda: SGD(0.1, weight_decay=-1.0), "weight_decay"),
        (lambda: RMSprop(0.1, alpha=1.0), "alpha"),
        (lambda: Adam(0.1, betas=(1.0, 0.9)), r"beta1 must be in \[0, 1\)"),
        (lambda: Adam(0.1, betas=(0.9, -0.1)), r"beta2 must be in \[0, 1\)"),
        (lambda: Adam(0.1, eps=0.0), "eps"),
        (lambda: make_optimizer("adamw", 0.1, weight_decay=-1.0), "weight_decay"),
        (lambda: make_optimizer("adagrad", 0.1, eps=0.0), "eps"),
        (lambda: SGD(0.1).load_state_dict(Adam(0.1).state_dict()), "Adam does not fit SGD"),
        (lambda: SGD(0.1).load_state_dict({"lr": 0.1, "rule": "SGD"}), "lacks .'memory', 'steps'"),
    ],
)
def test_bad_settings_are_refused_in_words(call, words):
    with pytest.raises(ValueError, match=words):
        call()


def test_a_state_with_other_slots_is_refused():
    optimizer = SGD(0.1, momentum=0.9)
    optimizer.step({"x": np.ones(2)}, {"x": np.ones(2)})
    with pytest.raises(ValueError, match="velocity"):
        SGD(0.1).load_state_dict(optimizer.state_dict())
    state = {
        "rule": "Adam",
        "lr": 0.1,
        "steps": 1,
        "memory": {"a": {"m": np.ones(2), "v": np.ones(1)}},
    }
    with pytest.raises(ValueError, match="the slots of a differ in their shapes"):
        Adam(0.1).load_state_dict(state)


def test_a_state_is_copied_and_its_slots_may_come_in_any_order():
    one, other, g = Adam(0.1), Adam(0.1), {"x": np.array([1.0, -2.0])}
    ours, theirs = {"x": np.ones(2)}, {"x": np.ones(2)}
    one.step(ours, g)
    state = one.state_dict()
    state["memory"]["x"] = dict(reversed(state["memory"]["x"].items()))
    kept = {slot: array.copy() for slot, array in state["memory"]["x"].items()}
    other.load_state_dict(state)
    theirs["x"][:] = ours["x"]
    one.step(ours, g)
    other.step(theirs, g)
    np.testing.assert_array_equal(theirs["x"], ours["x"])
    for slot, array in kept.items():
        np.testing.assert_array_equal(state["memory"]["x"][slot], array)


def test_adam_keeps_the_two_averages_of_its_algorithm():
    gradients = np.random.default_rng(0).normal(size=(7, 3))
    optimizer, params = Adam(0.1, betas=(0.8, 0.9)), {"x": np.zeros(3)}
    m = v = np.zeros(3)
    for g in gradients:
        m, v = 0.8 * m + (1 - 0.8) * g, 0.9 * v + (1 - 0.9) * g**2
        optimizer.step(params, {"x": g})
    memory = optimizer.state_dict()["memory"]["x"]
    np.testing.assert_allclose(memory["m"], m, rtol=1e-14)
    np.testing.assert_allclose(memory["v"], v, rtol=1e-14)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize(
    ("grads", "words"),
    [
        ({"a": np.ones(2)}, "params has .*'a', 'b'.* but grads has .*'a'"),
        ({"a": np.ones(2), "c": np.ones(3)}, "grads has"),
        ({"a": np.ones(2), "b": np.ones(2)}, r"b is \(3,\), its gradient \(2,\)"),
        ({"a": np.ones(2), "b": np.array([1.0, np.nan, 1.0])}, "gradient of b is not finite"),
        ({"a": np.ones(2), "b": np.array([1.0, np.inf, 1.0])}, "gradient of b is not finite"),
        ({"a": np.ones(2), "b": np.array([1.0, -np.inf, 1.0])}, "gradient of b is not finite"),
    ],
)
def test_a_bad_step_is_refused_and_changes_nothing(name, grads, words):
    params = {"a": np.ones(2), "b": np.ones(3)}
    optimizer = make_optimizer(name, 0.1)
    with pytest.raises((ValueError, FloatingPointError), match=words) as refusal:
        optimizer.step(params, grads)
    assert issubclass(refusal.type, FloatingPointError) == ("not finite" in words)
    assert optimizer.steps == 0
    assert (params["a"] == 1).all() and (params["b"] == 1).all()


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("kind", ["whole numbers", "a scalar", "read-only"])
def test_a_parameter_that_cannot_be_changed_is_refused_and_no_other_moves(name, kind):
    last = {"whole numbers": np.ones(3, int), "a scalar": np.float64(1), "read-only": np.ones(3)}
    params = {"a": np.ones(2), "b": last[kind]}
    grads = {key: np.ones_like(param, float) for key, param in params.items()}
    if kind == "read-only":
        params["b"].flags.writeable = False
    optimizer = make_optimizer(name, 0.1)
    with pytest.raises(ValueError, match="b must be an array of floats"):
        optimizer.step(params, grads)
    assert optimizer.steps == 0 and (params["a"] == 1).all()


@pytest.mark.parametrize(("name", "options"), RULES, ids=str)
def test_an_optimizer_stays_with_the_parameters_of_its_first_step(name, options):
    optimizer = make_optimizer(name, 0.1, **options)
    optimizer.step({"x": np.ones(2), "y": np.ones(2)}, {"x": np.ones(2), "y": np.ones(2)})
    for shapes in ({"x": 2, "z": 2}, {"x": 2}, {"x": 2, "y": 3}, {"x": 2, "y": (1, 2)}):
        params = {key: np.ones(shape) for key, shape in shapes.items()}
        with pytest.raises(ValueError, match="first step"):
            optimizer.step(params, {key: np.ones(shape) for key, shape in shapes.items()})
        assert all((array == 1).all() for array in params.values()) and optimizer.steps == 1
