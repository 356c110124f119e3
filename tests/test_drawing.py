"""The figures of notebooks/helpers/drawing.py show what they are given, where it belongs."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest
from helpers import drawing
from matplotlib.colors import to_hex, to_rgb
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
PICTURE = Image.new("RGB", (400, 300), "white")


@pytest.fixture(autouse=True)
def close_figures():
    yield
    plt.close("all")


def detection(label, xmin, ymin, xmax, ymax, score=0.9):
    box = {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}
    return {"score": score, "label": label, "box": box}


def extent(text):
    """Where a text stands as (left, upper, right, lower) in pixels of the picture."""
    axes = text.axes
    axes.figure.canvas.draw()
    corners = axes.transData.inverted().transform(text.get_window_extent().get_points())
    (left, right), (upper, lower) = np.sort(corners.T)
    return left, upper, right, lower


def drawn(axes):
    """The inside of the axes as a reader sees it: grey values, first row on top."""
    axes.figure.canvas.draw()
    pixels = np.asarray(axes.figure.canvas.buffer_rgba())[..., :3].mean(axis=-1)
    left, lower, right, upper = (round(edge) for edge in axes.get_window_extent().extents)
    return pixels[len(pixels) - upper : len(pixels) - lower, left:right]


# ------------------------------------------------------------------------------------ boxes

FOUND = [detection("cat", 40, 100, 90, 280, 0.876), detection("bus", 150, 60, 390, 110, 0.5)]


def test_each_box_frames_its_detection_on_the_picture():
    axes = drawing.boxes(PICTURE, FOUND)
    frames = sorted(patch.get_bbox().extents.tolist() for patch in axes.patches)
    assert frames == [[40, 100, 90, 280], [150, 60, 390, 110]]
    assert axes.get_xlim() == (-0.5, 399.5)
    assert axes.get_ylim() == (299.5, -0.5), "the first row of the picture belongs on top"
    (shown,) = axes.images
    assert np.array_equal(shown.get_array(), np.asarray(PICTURE))


def test_a_frame_does_not_hide_what_it_frames():
    inside = drawn(drawing.boxes(PICTURE, [detection("cat", 100, 75, 300, 225)]))
    rows, columns = inside.shape
    assert inside[rows // 2, columns // 2] == 255
    assert inside[rows // 2, columns // 4 - 2 : columns // 4 + 3].min() < 200  # its left edge


def test_each_label_tells_name_and_score_and_stands_above_its_box():
    texts = {text.get_text().strip(): text for text in drawing.boxes(PICTURE, FOUND).texts}
    assert texts.keys() == {"cat 0.88", "bus 0.50"}
    for text, found in zip((texts["cat 0.88"], texts["bus 0.50"]), FOUND, strict=True):
        left, upper, _, lower = extent(text)
        assert left == pytest.approx(found["box"]["xmin"], abs=1)
        assert lower == pytest.approx(found["box"]["ymin"], abs=1)
        assert upper > 0, "the label is cut off"


def test_at_the_pictures_upper_edge_the_label_stands_inside_the_box():
    (text,) = drawing.boxes(PICTURE, [detection("sun", 10, 3, 200, 150)]).texts
    left, upper, right, lower = extent(text)
    assert left == pytest.approx(10, abs=1)
    assert upper == pytest.approx(3, abs=1)
    assert right < 200
    assert lower < 150


def test_the_truth_has_no_score_and_none_is_written():
    truth = {key: value for key, value in FOUND[0].items() if key != "score"}
    (text,) = drawing.boxes(PICTURE, [truth]).texts
    assert text.get_text().strip() == "cat"


def test_the_surest_box_lies_on_top():
    scores = [0.7, 0.9, 0.5]
    axes = drawing.boxes(PICTURE, [detection("cat", 40, 100, 90, 280, s) for s in scores])
    assert [text.get_text().split()[-1] for text in axes.texts] == ["0.50", "0.70", "0.90"]


def test_a_faint_proposal_is_a_thin_box_without_a_name():
    faint, sure = (detection("cat", 40, 100, 90, 280, score) for score in (0.049, 0.05))
    axes = drawing.boxes(PICTURE, [faint, sure])
    thin, thick = sorted(axes.patches, key=lambda patch: patch.get_linewidth())
    assert thin.get_bbox().extents.tolist() == [40, 100, 90, 280]
    assert thin.get_linewidth() < thick.get_linewidth() / 2
    assert [text.get_text().strip() for text in axes.texts] == ["cat 0.05"]


def colours(*labels):
    """The colour of each label's frame, in one call."""
    axes = drawing.boxes(PICTURE, [detection(label, 10, 50, 60, 90) for label in labels])
    frames = [to_hex(patch.get_edgecolor()) for patch in axes.patches]
    assert frames == [to_hex(text.get_bbox_patch().get_facecolor()) for text in axes.texts]
    return dict(zip([text.get_text().split()[0] for text in axes.texts], frames, strict=True))


def test_a_thing_keeps_its_colour_whatever_else_is_in_the_picture():
    alone, together = colours("cat"), colours("apple", "bus", "cat", "dog")
    assert alone["cat"] == together["cat"]
    assert len(set(together.values())) > 1


def test_a_thing_keeps_its_colour_when_python_starts_again():
    code = """if True:
        from helpers import drawing
        from PIL import Image
        found = {"label": "cat", "box": {"xmin": 1, "ymin": 1, "xmax": 2, "ymax": 2}}
        print(drawing.boxes(Image.new("RGB", (9, 9)), [found]).patches[0].get_edgecolor())"""
    said = {
        subprocess.check_output(
            [sys.executable, "-c", code],
            cwd=ROOT / "notebooks",
            env=os.environ | {"PYTHONHASHSEED": seed, "MPLBACKEND": "Agg"},
        )
        for seed in ("1", "2", "3")
    }
    assert len(said) == 1


# ------------------------------------------------------------------------------------ masks


def rectangle(left, upper, right, lower):
    mask = np.zeros((300, 400), bool)
    mask[upper:lower, left:right] = True
    return mask


def coloured(axes):
    """The inside of the axes as a reader sees it, its colours from 0 to 255, first row on top."""
    axes.figure.canvas.draw()
    pixels = np.asarray(axes.figure.canvas.buffer_rgba())[..., :3]
    left, lower, right, upper = (round(edge) for edge in axes.get_window_extent().extents)
    return pixels[len(pixels) - upper : len(pixels) - lower, left:right].astype(int)


def at(seen, x, y):
    """The colour that is seen at pixel x, y of the picture."""
    return seen[round((y + 0.5) / 300 * len(seen)), round((x + 0.5) / 400 * seen.shape[1])]


def test_a_mask_colours_its_own_pixels_and_no_others():
    seen = coloured(drawing.masks(PICTURE, rectangle(100, 50, 200, 250)))
    inside, outside = at(seen, 150, 150), at(seen, 300, 150)
    assert outside.tolist() == [255, 255, 255]
    blue = np.array(to_rgb(drawing.PALETTE[0])) * 255
    assert inside == pytest.approx(0.55 * blue + 0.45 * 255, abs=3)
    for x, y in ((110, 60), (190, 240)):
        assert at(seen, x, y).tolist() == inside.tolist()
    for x, y in ((90, 150), (210, 150), (150, 40), (150, 260)):
        assert at(seen, x, y).tolist() == [255, 255, 255]


def test_what_is_masked_can_still_be_made_out():
    picture = PICTURE.copy()
    picture.paste("black", (100, 50, 150, 250))
    seen = coloured(drawing.masks(picture, rectangle(100, 50, 200, 250)))
    assert at(seen, 175, 150).sum() - at(seen, 125, 150).sum() > 200


def test_each_mask_has_its_own_colour_and_a_smaller_one_lies_on_top():
    large, small = rectangle(20, 20, 380, 280), rectangle(150, 100, 250, 200)
    for order in ((large, small), (small, large)):
        seen = coloured(drawing.masks(PICTURE, np.stack(order)))
        colours = at(seen, 200, 150), at(seen, 80, 150)
        assert np.abs(colours[0] - colours[1]).max() > 60
        own = np.array(to_rgb(drawing.PALETTE[0 if order[0] is small else 1])) * 255
        below = at(seen, 80, 150)
        assert colours[0] == pytest.approx(0.55 * own + 0.45 * below, abs=3)


def test_a_click_stands_where_it_was_and_tells_its_kind_by_shape_and_colour():
    masks = np.zeros((1, 300, 400), bool)
    axes = drawing.masks(PICTURE, masks, points=[(300, 60), (50, 200)], labels=[1, 0])
    inside, outside = axes.collections
    assert inside.get_offsets().tolist() == [[300, 60]]
    assert outside.get_offsets().tolist() == [[50, 200]]
    assert len(inside.get_paths()[0]) == len(outside.get_paths()[0])
    assert not np.allclose(inside.get_paths()[0].vertices, outside.get_paths()[0].vertices)
    assert inside.get_facecolor().tolist() != outside.get_facecolor().tolist()
    again = drawing.masks(PICTURE, masks, points=[(1, 2)]).collections[0]
    assert again.get_facecolor().tolist() == inside.get_facecolor().tolist(), "1 if not told"


def test_a_name_stands_on_its_mask_in_the_colour_that_it_has_everywhere():
    both = np.stack([rectangle(20, 20, 180, 280), rectangle(250, 100, 350, 200)])
    axes = drawing.masks(PICTURE, both, names=["cat", "bus"])
    texts = {text.get_text().strip(): text for text in axes.texts}
    for name, mask in zip(("cat", "bus"), both, strict=True):
        x, y = texts[name].get_position()
        assert mask[y, x]
        assert to_hex(texts[name].get_bbox_patch().get_facecolor()) == colours(name)[name]


def test_a_name_stands_on_a_ring_and_not_in_its_hole():
    y, x = np.mgrid[:300, :400]
    radius = np.hypot(x - 200, y - 150)
    axes = drawing.masks(PICTURE, (radius > 60) & (radius < 120), names=["ring"])
    assert 80 < radius[axes.texts[0].get_position()[::-1]] < 100


def test_a_tensor_and_masks_of_nothing_or_everything_are_drawn_without_a_warning():
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        masks = torch.stack([torch.zeros(300, 400), torch.ones(300, 400)]).bool()
        seen = coloured(drawing.masks(PICTURE, masks))
    assert len(np.unique(seen.reshape(-1, 3), axis=0)) == 1


def test_masks_of_another_size_than_the_picture_are_refused():
    with pytest.raises(ValueError, match=r"shape \(1, 400, 300\) do not fit .* 300 rows and 400"):
        drawing.masks(PICTURE, np.zeros((400, 300), bool))


# -------------------------------------------------------------------------------- attention


@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("column", [0, 1])
def test_one_weight_lights_its_own_quarter_of_the_picture(row, column):
    weights = np.zeros((2, 2))
    weights[row, column] = 0.01  # light is relative to the strongest weight
    seen = drawn(drawing.attention(PICTURE, weights))
    halves = [np.array_split(half, 2, axis=1) for half in np.array_split(seen, 2)]
    light = np.array([[quarter.mean() for quarter in half] for half in halves])
    lit, *dark = light[row, column], *np.delete(light.ravel(), 2 * row + column)
    assert lit > 1.5 * max(dark)
    assert seen.max() > 240, "where a model looks, the picture is as bright as it was"
    assert seen.min() == pytest.approx(0.4 * 255, abs=3), "elsewhere it can still be made out"


def test_a_grid_need_not_be_square():
    weights = np.zeros((2, 5))
    weights[1, 3] = 1
    seen = drawn(drawing.attention(PICTURE, weights))
    row, column = (at.mean() for at in np.nonzero(seen > 200))
    assert row / seen.shape[0] == pytest.approx(0.75, abs=0.15)
    assert column / seen.shape[1] == pytest.approx(0.7, abs=0.05)


def test_light_does_not_change_the_colours_of_the_picture():
    orange = Image.new("RGB", (40, 30), (200, 100, 0))
    (shown,) = drawing.attention(orange, np.ones((2, 2))).images
    assert np.abs(shown.get_array().astype(int) - (200, 100, 0)).max() <= 1


def test_a_model_that_looks_nowhere_is_no_trouble():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        seen = drawn(drawing.attention(PICTURE, np.zeros((2, 2))))
    assert seen == pytest.approx(0.4 * 255, abs=3)


# ---------------------------------------------------------------------------------- heatmap

MATRIX = np.array([[0.1, 0.25, 1.0], [-0.5, 0.004, 0.75]])


def test_each_number_stands_in_its_own_cell_and_the_first_row_on_top():
    axes = drawing.heatmap(MATRIX, ["dog", "cat"], ["one", "two", "three"])
    written = {text.get_position(): text.get_text() for text in axes.texts}
    assert written == {
        (0, 0): "0.10",
        (1, 0): "0.25",
        (2, 0): "1.00",
        (0, 1): "-0.50",
        (1, 1): "0.00",
        (2, 1): "0.75",
    }
    for text in axes.texts:
        left, upper, right, lower = extent(text)
        assert ((left + right) / 2, (upper + lower) / 2) == pytest.approx(
            text.get_position(), abs=0.1
        )
    assert axes.yaxis_inverted()
    assert not axes.xaxis_inverted()
    assert np.array_equal(axes.images[0].get_array(), MATRIX)


def test_rows_and_columns_bear_their_names():
    axes = drawing.heatmap(MATRIX, ["dog", "cat"], ["one", "two", "three"], "Likeness")
    for axis, names in ((axes.yaxis, ["dog", "cat"]), (axes.xaxis, ["one", "two", "three"])):
        assert axis.get_ticklocs().tolist() == list(range(len(names)))
        assert [label.get_text() for label in axis.get_ticklabels()] == names
    assert axes.get_title() == "Likeness"


def test_the_numbers_are_written_in_the_form_asked_for():
    axes = drawing.heatmap(MATRIX, "ab", "xyz", form=".0%")
    written = [text.get_text() for text in axes.texts]
    assert written == ["10%", "25%", "100%", "-50%", "0%", "75%"]


def luminance(colour):
    """Relative luminance: https://www.w3.org/TR/WCAG22/#dfn-relative-luminance."""
    parts = np.asarray(to_rgb(colour))
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.2126, 0.7152, 0.0722))


def test_every_number_can_be_read_on_its_cell():
    matrix = np.linspace(-3, 7, 20).reshape(4, 5)
    axes = drawing.heatmap(matrix, "abcd", "vwxyz")
    (cells,) = axes.images
    for text in axes.texts:
        column, row = text.get_position()
        pair = luminance(text.get_color()), luminance(cells.to_rgba(matrix)[row, column, :3])
        # 3:1 is WCAG's least for large text and graphics.
        assert (max(pair) + 0.05) / (min(pair) + 0.05) >= 3


# ----------------------------------------------------------------------------------- all of them


@pytest.mark.parametrize(
    "draw",
    [
        lambda axes: drawing.boxes(PICTURE, FOUND, "A title", axes),
        lambda axes: drawing.masks(PICTURE, np.zeros((300, 400)), "A title", axes),
        lambda axes: drawing.attention(PICTURE, np.eye(2), "A title", axes),
        lambda axes: drawing.heatmap(MATRIX, "ab", "xyz", "A title", axes),
    ],
    ids=["boxes", "masks", "attention", "heatmap"],
)
def test_a_figure_is_drawn_where_it_is_asked_for(draw):
    _, (left, right) = plt.subplots(1, 2)
    assert draw(right) is right
    assert right.get_title() == "A title"
    assert not left.has_data()
    assert len(plt.get_fignums()) == 1


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_a_spectrogram_is_brightest_at_the_tone_and_when_it_sounds(rate):
    time = np.arange(rate) / rate
    tone = np.sin(2 * np.pi * 1_000 * time) * (time > 0.5)
    axes = drawing.spectrogram(tone, rate, "A tone", highest=2_000)
    image = axes.images[-1]
    power = np.asarray(image.get_array())[::-1]  # the lowest frequency first
    left, right, low, high = image.get_extent()
    row, column = np.unravel_index(power.argmax(), power.shape)
    assert low + (row + 0.5) * (high - low) / len(power) == pytest.approx(1_000, abs=40)
    assert left + column * (right - left) / power.shape[1] > 0.45
    assert axes.get_xlabel() == "seconds" and axes.get_ylabel() == "Hz"
    assert axes.get_ylim() == (0, 2_000)


def test_a_spectrogram_of_silence_is_drawn_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawing.spectrogram(np.zeros(16_000), 16_000, "Silence")
