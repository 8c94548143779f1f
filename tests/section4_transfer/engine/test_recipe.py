import pytest

from section4_transfer import resnet_vs_plain
from section4_transfer.engine.flags import parse_study_args, recipe_from
from section4_transfer.engine.recipe import Recipe, passes_for, schedule


@pytest.mark.parametrize(
    ("name", "points"),
    [
        ("onecycle", {0: 0.1, 0.125: 0.55, 0.25: 1, 0.625: 0.5, 1: 0}),
        ("cosine", {0: 1, 0.5: 0.5, 0.25: (1 + 0.5**0.5) / 2, 1: 0}),
        ("step", {0: 1, 0.49: 1, 0.5: 0.1, 0.74: 0.1, 0.75: 0.01, 0.99: 0.01}),
    ],
)
def test_schedules_pass_through_their_points(name, points):
    for progress, factor in points.items():
        assert schedule(name, progress) == pytest.approx(factor, abs=1e-12)


@pytest.mark.parametrize(("name", "behind"), [("cosine", 0.5), ("onecycle", 0.5), ("step", 0.1)])
def test_a_warm_up_rises_in_a_straight_line_and_the_schedule_follows(name, behind):
    recipe = Recipe(1, 8, 0.1, schedule=name, warm_up=0.2)
    for progress, factor in {0: 0.1, 0.1: 0.55, 0.2: 1, 0.6: behind}.items():
        assert recipe.lr_factor(progress) == pytest.approx(factor, abs=1e-12)
    assert Recipe(1, 8, 0.1, schedule="cosine", warm_up=0.25).lr_factor(0.4) == pytest.approx(
        schedule("onecycle", 0.4)
    )


def test_one_in_a_whole_number_of_images_is_shown_as_often_as_all():
    assert [passes_for(f) for f in (0.01, 0.05, 0.1, 0.3, 0.5, 0.8, 1.0)] == [
        100, 20, 10, 3, 2, 1, 1,
    ]  # fmt: skip
    steps = [
        Recipe(1, 64, 0.1, passes=passes_for(f)).steps_per_epoch(round(45000 * f))
        for f in (0.01, 0.1, 1.0)
    ]
    assert steps == [800, 710, 704]  # the rest is what batches are rounded up to


def test_flags_make_a_recipe_and_the_old_name_of_a_schedule_is_understood():
    parser = resnet_vs_plain.build_parser()
    flags = ["--schedule", "one-cycle", "--weight-decay", "0.1", "--label-smoothing", "0.2"]
    args = parser.parse_args([*flags, "--clip", "3", "--epochs", "7", "--batch-size", "9"])
    assert recipe_from(vars(args), lr=0.5, passes=2) == Recipe(
        7, 9, 0.5, 0.1, "onecycle", label_smoothing=0.2, clip=3.0, passes=2
    )
    with pytest.raises(SystemExit):
        parser.parse_args(["--label-smoothing", "1"])


def test_the_published_schedule_brings_the_published_recipe_and_explicit_flags_win():
    """He et al. (2015), section 4.2: batches of 128, 0.1, decay 1e-4, 4 pixels of 32, momentum."""
    parser = resnet_vs_plain.build_parser()

    def recipe(*flags):
        parser, published = resnet_vs_plain.build_parser(), resnet_vs_plain.PUBLISHED
        return recipe_from(vars(parse_study_args(parser, [*flags], {}, published)))

    assert recipe("--schedule", "step", "--epochs", "164") == Recipe(
        164, 128, 0.1, 1e-4, "step", nesterov=False, crop=4 / 32
    )
    assert recipe("--schedule", "step", "--weight-decay", "0.5", "--nesterov") == Recipe(
        10, 128, 0.1, 0.5, "step", crop=4 / 32
    )
    assert recipe() == Recipe(10, 32, 0.1, 5e-4, "onecycle", crop=2 / 32)
    assert parser.parse_args(["--ema", "0.9"]).ema == 0.9
