"""The playground in a real browser: its numbers are the network's, and all of it can be used."""

import base64
import json
import re
from io import BytesIO

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from section3_cnn import playground
from section3_cnn.model import ARCHS, POOLS, build_cnn
from section3_cnn.study.inspection import saliency
from section3_cnn.study.playground_page import describe_layers, encode, render
from section3_cnn.study.saved import save_model
from section3_cnn.training import predict
from shared_utils.datasets.photographed_digit import make_digit, read_grey
from shared_utils.errors import UserError
from shared_utils.seed import stream
from tests.browser import BROWSER, run_in_page
from tests.shared_utils.datasets.photos import paper, photograph, seven, with_surroundings

needs_browser = pytest.mark.skipif(not BROWSER, reason="no Chromium here: install it to run these")
LABELS = [str(digit) for digit in range(10)]


def network(arch: str, pool: str, seed: int = 0):
    """Return a network all of whose arrays are random, ready for use."""
    rng = np.random.default_rng(seed)
    model = build_cnn(arch, pool, rng=rng)
    for key, array in (model.params | model.state).items():
        if array.ndim == 1:
            array += rng.normal(0, 0.1, array.shape).astype(np.float32)
        if key.endswith("running_var"):
            array[:] = rng.uniform(0.5, 2, array.shape)
    model.eval()
    return model


def digits(count: int) -> np.ndarray:
    """Return scikit-learn's digits, twice as large, light on dark, uint8, (count, 28, 28)."""
    images = np.kron(load_digits().images[:count], np.ones((1, 2, 2)))
    return np.pad((images * (255 / 16)).astype(np.uint8), ((0, 0), (6, 6), (6, 6)))


def packed(array: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


COMPUTE = """
const bytes = (text) => Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
const images = new Float32Array(bytes(GIVEN.images).buffer), found = { networks: [], digits: [] };
for (const { layers, weights } of GIVEN.networks) {
  NETWORK.layers = layers;
  const decodedWeights = weights.map(decoded), answers = [];
  for (let start = 0; start < images.length; start += 784) {
    const values = forward(images.slice(start, start + 784), decodedWeights);
    const probabilities = softmax(values.at(-1).data), label = start / 784;
    const grads = label < 10 ? saliency(values, decodedWeights, label) : [];
    answers.push([probabilities, Array.from(grads)]);
  }
  found.networks.push(answers);
}
for (const { data, height, width } of GIVEN.greys) {
  const digit = makeDigit({ data: Float32Array.from(bytes(data)), height, width });
  found.digits.push(digit && Array.from(digit));
}
return found;
"""


@needs_browser
def test_the_page_computes_what_python_computes(tmp_path):
    rng, path = np.random.default_rng(0), tmp_path / "photo.jpg"
    images = digits(100).astype(np.float32)[:, None] / 255
    images += rng.uniform(0, 0.1, images.shape).astype(np.float32)  # no two pixels are equal
    models = [network(arch, pool) for arch in ARCHS for pool in POOLS]
    greys = [*digits(3), np.full((40, 60), 200, np.uint8)]
    thin = np.where(np.eye(300, 200, -20) > 0, 30, 220).astype(np.uint8)
    thin[20:23, 60:160] = 30
    greys.append(thin)
    for digit in digits(12):
        path.write_bytes(photograph(digit, rng))
        greys.append(read_grey(path).astype(np.uint8))
    greys += [grey.astype(np.uint8) for _, grey in with_surroundings(seven(paper()))]
    given = {
        "images": packed(images),
        "networks": [{"layers": describe_layers(m), "weights": encode(m)} for m in models],
        "greys": [
            {"data": packed(grey), "height": grey.shape[0], "width": grey.shape[1]}
            for grey in greys
        ],
    }
    page = render(models[0], models[0], LABELS, "")
    script = f"const GIVEN = {json.dumps(given)};{COMPUTE}"
    found, console = run_in_page(page, script, tmp_path)
    assert console == [] and isinstance(found, dict), (console, found)

    for model, answers in zip(models, found["networks"], strict=True):
        logits = predict(model, images).astype(np.float64)
        expected = np.exp(logits - logits.max(axis=1, keepdims=True))
        expected /= expected.sum(axis=1, keepdims=True)
        probabilities, maps = zip(*answers, strict=True)
        np.testing.assert_allclose(probabilities, expected, atol=1e-4)
        expected = saliency(model, images[:10], np.arange(10)).reshape(10, -1)
        np.testing.assert_allclose(maps[:10], expected, atol=1e-4 * np.abs(expected).max())

    for grey, digit in zip(greys, found["digits"], strict=True):
        try:
            expected = make_digit(grey)
        except UserError:
            assert digit is None
        else:
            np.testing.assert_allclose(np.reshape(digit, (28, 28)), expected, atol=0.02)
    assert found["digits"].count(None) == 1


USE = """
// Here no frame is ever drawn and no time passes, but for timers: both are replaced.
const wait = (time = 5) => new Promise((resolve) => setTimeout(resolve, time));
window.requestAnimationFrame = (callback) => setTimeout(callback, 0);
due = false;
let opened;
const reallyOpen = open;
open = (file) => { opened = reallyOpen(file); };
const finished = async (promise) => {
  let done = false;
  promise.finally(() => { done = true; });
  while (!done) { update(); await wait(1); }  // the work gives the decoder time
};

const answer = () => $("answer").textContent;
const bars = () => [...document.querySelectorAll("#bars .number")].map((e) => e.textContent);
const found = { width: innerWidth, scroll: document.documentElement.scrollWidth };
found.outside = [...document.querySelectorAll("body *")].filter(
  (e) => e.getBoundingClientRect().right > innerWidth + 0.5).map((e) => e.outerHTML.slice(0, 100));
found.start = bars();

pad.setPointerCapture = () => {};  // there is no pointer to be captured
const box = pad.getBoundingClientRect();
const point = (kind, x, y) => pad.dispatchEvent(new PointerEvent(kind, { pointerId: 1, buttons: 1,
  clientX: box.left + x * box.width, clientY: box.top + y * box.height }));
$("clear").click(); await wait();
found.cleared = [answer(), ...bars()];
point("pointerdown", 0.5, 0.2); point("pointermove", 0.5, 0.8); await wait();
found.stroke = [answer(), ...bars()];
found.strokeSeen = Array.from(state.values[0].data);
for (const [name, probability] of [["trained", 0], ["untrained", 0]]) {
  document.querySelector(`input[value=${name}]`).click();
  found[name] = Array.from(state.probabilities);
}

$("clear").click(); await wait();
point("pointerenter", 0.2, 0.2); point("pointermove", 0.2, 0.8); await wait();
found.enteredSeen = Array.from(state.values[0].data);

$("clear").click(); await wait();
const press = (key, times = 1) => {
  const options = { key, cancelable: true };
  for (let i = 0; i < times; i++) pad.dispatchEvent(new KeyboardEvent("keydown", options));
};
press("ArrowUp", 20); press("ArrowLeft", 40); press("ArrowRight", 20); press(" ");
press("ArrowDown", 20); press(" "); press("ArrowRight", 5); await wait();
found.keysSeen = Array.from(state.values[0].data);
press("Delete"); await wait();
found.deleted = answer();

const file = (text, name) => new File([Uint8Array.from(atob(text), (c) => c.charCodeAt(0))], name);
const transfer = (given) => {
  const dataTransfer = new DataTransfer();
  dataTransfer.items.add(given);
  return dataTransfer;
};
const drop = async (dropped) => {
  const dataTransfer = transfer(dropped);
  dispatchEvent(new DragEvent("drop", { dataTransfer, cancelable: true }));
  await finished(opened);
};
await drop(file(GIVEN.png, "digit.png"));
found.dropped = Array.from(state.values[0].data);
await drop(file("AAAA", "broken.png"));
found.broken = [answer(), ...bars()];
await drop(file(GIVEN.blank, "blank.png"));
found.blank = [answer(), ...bars()];
$("clear").click(); await wait();
found.clearedAgain = answer();
$("file").files = transfer(file(GIVEN.png, "digit.png")).files;
$("file").dispatchEvent(new Event("change"));
await finished(opened);
found.chosen = [Array.from(state.values[0].data), $("file").files.length];

await drop(file(GIVEN.png, "digit.png"));
const conv2 = state.maps.find(({ index }) => NETWORK.layers[index].name === "conv2");
const canvas = conv2.canvases[5], at = canvas.getBoundingClientRect();
const side = canvas.clientWidth / 14;  // of a unit
canvas.dispatchEvent(new MouseEvent("click", {
  clientX: at.left + 1 + 7.5 * side, clientY: at.top + 1 + 3.5 * side }));
found.unit = $("sum").textContent;
found.form = ["layer", "map", "row", "col"].map((id) => $(id).value);
found.fields = [];
for (const index of SHOWN) {
  $("layer").value = index;
  $("map").value = 9999; $("row").value = 6; $("col").value = 9;
  $("layer").dispatchEvent(new Event("change"));
  found.fields.push([NETWORK.layers[index].name, $("sum").textContent]);
}
found.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
return found;
"""


@needs_browser
def test_a_phone_draws_drops_switches_and_looks_inside(tmp_path):
    trained, untrained = network("small", "max", 1), network("small", "max", 2)
    given = {}
    for name, image in {"png": digits(4)[3], "blank": np.full((40, 60), 200, np.uint8)}.items():
        png = BytesIO()
        Image.fromarray(image).save(png, "png")
        given[name] = base64.b64encode(png.getvalue()).decode()
    given = json.dumps(given)
    page = render(trained, untrained, LABELS, "</script><img src=x onerror=alert(1)>")
    found, console = run_in_page(page, f"const GIVEN = {given};{USE}", tmp_path, width=390)
    assert isinstance(found, dict), found
    assert console == [] and found["requests"] == []
    assert found["width"] == 390 and found["scroll"] <= 390 and found["outside"] == []

    assert found["cleared"] == ["No digit yet: draw one", *["0.0 %"] * 10]
    one = np.reshape(found["strokeSeen"], (28, 28))  # an upright stroke, 20 pixels high
    assert one.any(axis=1).sum() == 20 and one.any(axis=0).sum() <= 5
    assert sum("\u25b6" in text for text in found["stroke"]) == 1
    assert found["stroke"] != found["cleared"] and found["stroke"][1:] != found["start"]
    for name, model in (("trained", trained), ("untrained", untrained)):
        logits = predict(model, one[None, None].astype(np.float32))[0].astype(np.float64)
        expected = np.exp(logits - logits.max())
        np.testing.assert_allclose(found[name], expected / expected.sum(), atol=1e-4)

    entered = np.reshape(found["enteredSeen"], (28, 28))  # no line from where the pen was before
    assert entered.any(axis=1).sum() == 20 and entered.any(axis=0).sum() <= 5
    keys = np.reshape(found["keysSeen"], (28, 28))
    assert keys.any(axis=1).sum() == 20 and keys.any(axis=0).sum() <= 5
    assert found["deleted"] == found["cleared"][0]
    seen = digits(4)[3] / 255
    np.testing.assert_allclose(np.reshape(found["dropped"], (28, 28)), seen, atol=1e-6)
    nothing = found["cleared"][1:]
    assert found["broken"] == ["broken.png cannot be read as a picture", *nothing]
    assert found["blank"] == ["No digit can be seen in blank.png: draw one", *nothing]
    assert found["clearedAgain"] == found["cleared"][0]
    chosen, files = found["chosen"]
    np.testing.assert_allclose(np.reshape(chosen, (28, 28)), seen, atol=1e-6)
    assert files == 0  # the same file may be chosen again

    values = dict(zip(untrained.names, untrained.outputs(seen[None, None]), strict=True))
    value = values["conv2"][0, 5, 3, 7]
    assert found["form"] == ["3", "5", "3", "7"]
    assert f"conv2, map 5, row 3, column 7: {value:.2f}".replace("-", "\u2212") in found["unit"]
    assert "It sees 8x8 pixels" in found["unit"]
    for name, text in found["fields"]:
        last = values[name][0][-1]
        value = last[6, min(9, len(last) - 1)] if np.ndim(last) else last
        text = text.replace("\u2212", "-")
        assert text.split(": ")[1].startswith(f"{value:.2f}"), name
        if "All products" in text:
            products, bias = re.search(
                r"products: (-?\d+\.\d\d).*bias (-?\d+\.\d\d):", text
            ).groups()
            assert float(products) + float(bias) == pytest.approx(value, abs=0.011), name


def test_the_page_is_small_and_asks_for_nothing(tmp_path):
    for arch in ARCHS:
        model = network(arch, "max")
        page = render(model, model, LABELS, "")
        assert len(page) < 2_000_000
        assert not re.search(r"https?://|url\(|@import|src=|href=", page.split('id="network">')[0])


def test_the_script_writes_the_network_before_training_beside_it(tmp_path):
    model, about = network("small", "avg"), {"dataset": "digits", "title": "digits", "seed": 3}
    about |= {"classes": LABELS, "image_size": [28, 28], "val_acc": 0.5}
    save_model(tmp_path / "best.pkl", model, about)
    options = ["--ckpt", str(tmp_path / "best.pkl"), "--runs-dir", str(tmp_path), "--no-show"]
    summary = playground.main(options)
    page = (tmp_path / "playground" / summary["page"]).read_text()
    assert "avg pooling" in page and "50.00%" in page
    data = json.loads(re.search('id="network">(.*?)</script>', page)[1])
    untrained = build_cnn("small", "avg", rng=stream(3, "init"))
    expected = {"trained": encode(model), "untrained": encode(untrained)}
    assert data["weights"] == json.loads(json.dumps(expected))


def test_without_weights_the_command_that_trains_is_named(tmp_path):
    with pytest.raises(UserError, match=r"train_mnist_numpy\.py"):
        playground.main(["--ckpt", str(tmp_path / "none.pkl"), "--runs-dir", str(tmp_path)])
