import hashlib
import json
from functools import cache

import pytest
import torch

from section4_transfer.engine.weights import file_state, save_weights
from section4_transfer.models import CifarNet, initialise, resnet18
from section4_transfer.pretrained import (
    STAGES,
    PretrainedWeights,
    freeze_stages,
    load_backbone,
    load_pretrained,
)
from shared_utils.datasets.download import DownloadError
from shared_utils.errors import UserError
from tests.section4_transfer.helpers import TinyNet


def test_saved_weights_come_back_and_replace_all_but_the_head(tmp_path):
    source, target = resnet18(4), resnet18(7)
    save_weights(tmp_path / "w.pt", source.state_dict())
    head = target.fc.weight.clone()
    pretrained, notice = load_pretrained(str(tmp_path / "w.pt"))
    load_backbone(target, pretrained)
    assert notice == "" and torch.equal(target.fc.weight, head)
    for key, value in source.state_dict().items():
        if not key.startswith("fc."):
            assert torch.equal(target.state_dict()[key], value)


def test_weights_of_another_network_are_refused_with_the_keys(tmp_path):
    save_weights(tmp_path / "w.pt", CifarNet(8).state_dict())
    with pytest.raises(UserError, match=r"another network: conv1.weight is missing.*and \d+ more"):
        load_pretrained(str(tmp_path / "w.pt"))
    state = resnet18(4).state_dict()
    state["layer1.0.conv1.weight"] = torch.zeros(3, 3)
    state["extra"] = torch.zeros(1)
    with pytest.raises(UserError, match=r"extra is unknown; layer1.0.conv1.weight is \(3, 3\)"):
        load_backbone(resnet18(2), PretrainedWeights("x.pt", state))


@cache
def published_layout():
    """The state dict of torchvision's ImageNet file: 102 keys, older than batch norm's counters."""
    state = initialise(resnet18(1000), torch.Generator().manual_seed(3)).state_dict()
    return {key: value for key, value in state.items() if not key.endswith("num_batches_tracked")}


def test_weights_older_than_batch_norms_counters_are_taken_and_the_counters_are_0(tmp_path):
    state, model = dict(published_layout()), resnet18(7)
    assert len(state) == 102
    torch.save(state, tmp_path / "old.pth")
    model.bn1.num_batches_tracked += 5
    pretrained, _ = load_pretrained(str(tmp_path / "old.pth"))
    load_backbone(model, pretrained)
    assert torch.equal(model.layer4[1].conv2.weight, state["layer4.1.conv2.weight"])
    assert model.bn1.num_batches_tracked == 0
    assert model.fc.out_features == 7
    del state["bn1.running_mean"]  # any other absent key is still an error
    torch.save(state, tmp_path / "old.pth")
    with pytest.raises(UserError, match=r"bn1.running_mean is missing"):
        load_pretrained(str(tmp_path / "old.pth"))


@pytest.mark.parametrize(
    ("wrapper", "prefix"),
    [
        (None, "_orig_mod.module."),
        ("state_dict", "module."),
        ("model_state_dict", ""),
        ("model", "model."),
    ],
)
def test_weights_are_found_in_a_checkpoint_and_behind_a_prefix(tmp_path, wrapper, prefix):
    state = {prefix + key: value for key, value in published_layout().items()}
    content = {wrapper: state, "epoch": 90, "best_acc1": 69.8} if wrapper else state
    torch.save(content, tmp_path / "w.pth")
    model = resnet18(3)
    load_backbone(model, load_pretrained(str(tmp_path / "w.pth"))[0])
    assert torch.equal(model.conv1.weight, published_layout()["conv1.weight"])


def test_imagenets_published_file_in_the_cache_is_used_without_a_network(tmp_path, monkeypatch):
    def refuse(*args, **options):
        raise AssertionError("the network was asked")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("section4_transfer.engine.weights.check_answer", refuse)
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)
    (tmp_path / "hub" / "checkpoints").mkdir(parents=True)
    torch.save(published_layout(), tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth")
    for weights in ("auto", "imagenet"):
        found, notice = load_pretrained(weights)
        assert notice == "" and found.origin == "imagenet"
        load_backbone(resnet18(10), found)
        assert found.normalization_for(None)[0].tolist() == pytest.approx([0.485, 0.456, 0.406])


def test_a_weights_file_can_run_nothing(tmp_path):
    class Hostile:
        def __reduce__(self):
            return (tmp_path / "ran").touch, ()

    for name, content in (("hostile", Hostile()), ("model", TinyNet()), ("list", [1])):
        torch.save(content, tmp_path / name)
        with pytest.raises(UserError, match=name):
            file_state(tmp_path / name)
    assert not (tmp_path / "ran").exists()
    (tmp_path / "text").write_text("no weights")
    (tmp_path / "greeting").write_text("hello")
    torch.save({1: torch.ones(2)}, tmp_path / "numbered")
    (tmp_path / "cut").write_bytes((tmp_path / "list").read_bytes()[:-30])
    for name in ("text", "greeting", "numbered", "cut", "missing", "."):
        with pytest.raises(UserError, match=name):
            file_state(tmp_path / name)


def test_auto_weights_fall_back_loudly_and_imagenet_does_not(monkeypatch):
    def refuse():
        raise DownloadError("no route")

    monkeypatch.setattr("section4_transfer.pretrained.imagenet_state", refuse)
    found, notice = load_pretrained("auto")
    assert found is None and "no route" in notice and "quarter turns" in notice
    with pytest.raises(UserError, match="--weights rotation"):
        load_pretrained("imagenet")
    assert load_pretrained("rotation") == (None, "")


def test_what_stands_beside_a_file_of_weights_is_used_or_refused(tmp_path):
    path, beside = tmp_path / "w.pt", tmp_path / "w.json"
    save_weights(path, resnet18(3).state_dict())
    assert load_pretrained(str(path))[0].normalization is None
    beside.write_text('{"of": "another project"}')
    assert load_pretrained(str(path))[0].normalization is None
    about = {"mean": [0.1, 0.2, 0.3], "std": [1, 2, 3], "title": "pets", "train_seconds": 7.5}
    beside.write_text(json.dumps(about))
    found, _ = load_pretrained(str(path))
    assert found.normalization[0].tolist() == pytest.approx([0.1, 0.2, 0.3])
    assert found.normalization[1].tolist() == [1, 2, 3]
    assert (found.title, found.seconds) == ("pets", 7.5)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.describe() == {"weights": str(path), "weights_sha256": digest}
    for wrong in ({"std": [1, 0, 1]}, {"std": None}, {"mean": [1, 2]}, {"mean": [1e999, 0, 0]}):
        beside.write_text(json.dumps(about | wrong))
        with pytest.raises(UserError, match=r"w\.json does not describe weights"):
            load_pretrained(str(path))
    for damaged in ("[]", "{", json.dumps(about | {"mean": [10**400] * 3})):
        beside.write_text(damaged)
        with pytest.raises(UserError, match="pretrain again"):
            load_pretrained(str(path))


def test_frozen_stages_stay_as_they_are_while_the_rest_learns():
    model = initialise(resnet18(3), torch.Generator().manual_seed(0))
    freeze_stages(model, 2).train()
    assert not model.bn1.training and not model.layer1[0].bn1.training
    assert model.layer2[0].bn1.training and model.fc.training
    assert {name.split(".")[0] for name, p in model.named_parameters() if p.requires_grad} == {
        "layer2", "layer3", "layer4", "fc",
    }  # fmt: skip
    assert sum(map(len, STAGES)) + 1 == len([m for m in model.children() if list(m.parameters())])
