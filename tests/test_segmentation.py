"""2.7 Image Segmentation: its functions do what it says; what it measured carries the lesson."""

import ast
import re
import tomllib
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from conftest import cell_with, served

mpl.use("Agg")

import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
NAME = "2.7. Image_Segmentation"
LIMITS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["segmentation_notebook"]


@pytest.fixture(scope="module")
def names(execution, cells):  # after the notebooks' run, so as not to compete with it
    """What the notebook has defined by the time it lets the robot click."""
    from helpers import checkpoint, drawing, media

    names = {"checkpoint": checkpoint, "drawing": drawing, "media": media, "device": "cpu"}
    for words in ("SamModel.from_pretrained(checkpoint", "def embed(", "def iou(", "def inmost("):
        exec("import numpy as np\n" + cell_with(cells, words), names)
    robot = ast.parse(cell_with(cells, "def click_by_click("))
    exec(ast.unparse(next(n for n in robot.body if isinstance(n, ast.FunctionDef))), names)
    plt.close("all")
    return names


# ------------------------------------------------------------------------- its functions


def box_mask(left, upper, right, lower, shape=(100, 120)):
    mask = np.zeros(shape, bool)
    mask[upper:lower, left:right] = True
    return mask


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        (box_mask(0, 0, 20, 20), box_mask(0, 0, 20, 20), 1),
        (box_mask(0, 0, 20, 20), box_mask(10, 10, 30, 30), 1 / 7),
        (box_mask(0, 0, 40, 40), box_mask(10, 10, 30, 30), 1 / 4),
        (box_mask(0, 0, 20, 20), box_mask(20, 0, 40, 20), 0),
        (box_mask(0, 0, 0, 0), box_mask(0, 0, 20, 20), 0),
        (box_mask(0, 0, 0, 0), box_mask(0, 0, 0, 0), 0),
    ],
    ids=["same", "corner", "inside", "apart", "one empty", "both empty"],
)
def test_iou_is_the_shared_pixels_over_all_of_them(names, a, b, expected):
    assert names["iou"](a, b) == pytest.approx(expected)
    assert names["iou"](b, a) == pytest.approx(expected)


def test_iou_compares_many_masks_at_once(names):
    several = np.stack([box_mask(0, 0, 20, 20), box_mask(10, 0, 30, 20)])
    assert names["iou"](several, several).tolist() == [1, 1]
    assert names["iou"](several[:, None], several[None])[0, 1] == pytest.approx(1 / 3)


def test_the_robot_clicks_in_the_middle_and_the_pictures_border_is_an_edge(names):
    (x, y), _ = names["inmost"](box_mask(40, 30, 81, 71))
    assert (x, y) == (pytest.approx(60, abs=2), pytest.approx(50, abs=2))
    (x, y), _ = names["inmost"](box_mask(0, 0, 40, 40))
    assert (x, y) == (pytest.approx(20, abs=2), pytest.approx(20, abs=2))


def test_the_next_click_is_in_the_largest_mistake_and_says_of_which_kind_it_is(names):
    truth = box_mask(20, 20, 60, 60)
    nothing = np.zeros_like(truth)
    (x, y), label = names["next_click"](nothing, truth)
    assert truth[y, x]
    assert label == 1
    too_much = truth | box_mask(80, 20, 110, 60)
    (x, y), label = names["next_click"](too_much, truth)
    assert x > 80
    assert label == 0
    half = box_mask(20, 20, 40, 60) | box_mask(80, 20, 86, 26)  # lacks much, and has a crumb extra
    (x, y), label = names["next_click"](half, truth)
    assert (truth & ~half)[y, x]
    assert label == 1


def test_an_embedding_used_again_answers_as_a_picture_seen_anew(names):
    import torch

    model, processor, image = names["model"], names["processor"], names["image"]
    masks, scores = names["segment"](image, names["embed"](image), input_points=[[[[180, 330]]]])
    inputs = processor(image, input_points=[[[[180, 330]]]], return_tensors="pt")
    inputs["input_points"] = inputs["input_points"].float()
    with torch.inference_mode():
        outputs = model(**inputs)
    sizes = inputs["original_sizes"], inputs["reshaped_input_sizes"]
    fresh = processor.post_process_masks(outputs.pred_masks, *sizes)[0]
    assert np.array_equal(masks, fresh.numpy())
    assert scores == pytest.approx(outputs.iou_scores[0].numpy(), abs=1e-5)


def test_many_clicks_in_one_call_are_answered_each_as_if_alone(names):
    image = names["image"]
    embedding, places = names["embed"](image), [[180, 330], [180, 118], [345, 385]]
    together, scores = names["segment"](image, embedding, input_points=[[[p] for p in places]])
    for place, masks, score in zip(places, together, scores, strict=True):
        alone, its_score = names["segment"](image, embedding, input_points=[[[place]]])
        assert (alone[0] != masks).mean() < 1e-4
        assert its_score[0] == pytest.approx(score, abs=1e-4)


@pytest.mark.parametrize("several", [True, False])
def test_masks_have_the_size_of_the_picture_whatever_its_shape(names, several):
    from helpers import media

    photograph = media.image("coffee")
    assert photograph.width != photograph.height
    masks, scores = names["segment"](
        photograph, names["embed"](photograph), several=several, input_points=[[[[300, 170]]]]
    )
    answers = 3 if several else 1
    assert masks.shape == (1, answers, photograph.height, photograph.width)
    assert scores.shape == (1, answers)


# ------------------------------------------------------------------------- what it measured


def printed(said, words):
    """The numbers that follow some words in a line of what was printed."""
    found = re.search(rf"\b{words}((?: \d\.\d+)+)", said)
    assert found, f"the notebook no longer prints {words!r} and numbers"
    return [float(number) for number in found[1].split()]


def test_one_click_is_good_and_more_clicks_mend_some_that_it_did_badly(said):
    mean = printed(said, "mean IoU")
    assert mean[0] >= LIMITS["one_click"]
    assert mean[-1] >= mean[0]
    rows = re.search(r"that began below 0\.8:\s+((?:[\d.]+\s+)+)", said)[1].split()
    things = np.array(rows, float).reshape(-1, 5)
    assert (things[:, 0] < 0.8).all()
    assert (things[:, -1] - things[:, 0] > 0.05).sum() >= LIMITS["mended"]


def test_a_box_says_as_much_as_a_click(said):
    one, box = (
        float(re.search(rf"{name} mean IoU (\d\.\d+)", said)[1]) for name in ("one click", "a box")
    )
    assert box >= LIMITS["box"]
    assert box >= one


def test_the_three_masks_of_the_first_click_differ_as_the_page_says(names):
    part, whole, group = names["answers"].numpy()
    assert part.sum() < whole.sum() < group.sum()
    truths = names["truths"][2]
    assert names["iou"](whole, truths[2]) >= LIMITS["trunk"]  # the tree
    assert names["iou"](group, truths[1] | truths[2]) >= LIMITS["trunk"]  # and the sheep


def test_the_sand_gets_a_lower_score_than_any_thing(names):
    places = [[[180, 330]], [[180, 118]], [[345, 385]], [[90, 470]]]
    _, scores = names["segment"](
        names["image"], names["embed"](names["image"]), input_points=[places]
    )
    *things, sand = scores.max(axis=1)
    assert sand < min(things) - LIMITS["sand_below_things"]


def test_by_hand_is_the_processor(said):
    found = re.search(r"equal to the processor's masks in each of (\d+) pixels", said)
    assert found, "the notebook no longer says that its masks are the processor's"
    assert int(found[1]) == 3 * 512 * 512


# ------------------------------------------------------------------ its claims could have failed


@pytest.fixture(scope="module")
def by_hand(cells, names):
    return cell_with(cells, "model.prompt_encoder("), cell_with(cells, "by_hand = interpolate(")


def test_by_hand_would_have_noticed_a_mask_shifted_by_a_pixel(names, by_hand):
    steps, claim = by_hand
    here = names.copy()
    exec(steps, here)
    exec(claim, here.copy())
    with pytest.raises(AssertionError):
        exec(claim, here | {"answers": here["answers"].roll(1, -1)})
    with pytest.raises(AssertionError):
        exec(claim, here | {"scores": here["scores"] + 0.01})


def test_it_also_holds_at_the_real_sams_sizes(cells, by_hand, tmp_path):
    from helpers import drawing, media
    from transformers import SamConfig, SamModel, SamProcessor
    from transformers.models.sam.image_processing_pil_sam import SamImageProcessorPil

    # SAM's own sizes, 1,024 pixels and 256 cells, but thin, and with random weights.
    vision = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 1, "mlp_dim": 16}
    vision |= {"output_channels": 16, "num_pos_feats": 8, "global_attn_indexes": []}
    prompt, decoder = {"hidden_size": 16}, {"hidden_size": 16, "mlp_dim": 16}
    decoder |= {"num_attention_heads": 1, "iou_head_hidden_dim": 16}
    config = SamConfig(
        vision_config=vision, prompt_encoder_config=prompt, mask_decoder_config=decoder
    )
    SamModel(config).save_pretrained(tmp_path)
    SamProcessor(SamImageProcessorPil()).save_pretrained(tmp_path)
    here = {"checkpoint": lambda role: tmp_path, "drawing": drawing, "media": media}
    here |= {"device": "cpu", "np": np}
    exec(cell_with(cells, "SamModel.from_pretrained(checkpoint"), here)
    steps, claim = by_hand
    exec(steps, here)
    assert here["small"].shape[-2:] == (256, 256)
    exec(claim, here)
    plt.close("all")


# ------------------------------------------------------------------------- the app, clicked on


@pytest.fixture(scope="module")
def address(cells, names):
    with served(cell_with(cells, "gr.Blocks()"), names | {"ASSETS": ROOT / "assets"}) as visitor:
        yield visitor.src


def test_a_click_on_the_picture_cuts_out_what_is_there(address, open_page):
    page = open_page(address)
    # Before the picture is drawn, the first image of the page is a logo in its footer.
    picture = page.locator("img[src*='/file=']").first
    picture.evaluate("image => image.decode()")  # before, it has not its size yet
    frame = picture.bounding_box()
    side = min(frame["width"], frame["height"])  # the square picture stands in its middle
    left, top = (frame["width"] - side) / 2, (frame["height"] - side) / 2
    position = {"x": left + side * 180 / 512, "y": top + side * 330 / 512}
    picture.click(position=position)
    page.get_by_text(re.compile(r"score \d\.\d\d")).first.wait_for()
    shown = [page.get_by_label(f"{axis}, pixels", exact=True) for axis in "xy"]
    x, y = (float(number.input_value()) for number in shown)
    assert (x, y) == (pytest.approx(180, abs=4), pytest.approx(330, abs=4))


def test_another_program_gets_the_sheep_from_the_app(address, names):
    from gradio_client import Client, handle_file
    from PIL import Image

    scene = ROOT / "assets/images/toytown/desert-003.jpg"
    client = Client(address, verbose=False)
    found = client.predict(handle_file(scene), 180, 330, api_name="/cut")
    mask = np.asarray(Image.open(found["annotations"][0]["image"]).convert("RGBA"))[..., 3] > 0
    assert names["iou"](mask, names["truths"][2][1]) >= LIMITS["trunk"]


def test_a_picture_that_is_uploaded_is_looked_at_before_it_is_cut(address, names, tmp_path):
    from gradio_client import Client, handle_file
    from PIL import Image

    client, file = Client(address, verbose=False), tmp_path / "scene.png"
    names["media"].examples("segmentation")[0]["image"].save(file)
    x, y = names["inmost"](names["truths"][0][0])[0]
    client.predict(handle_file(file), api_name="/embed")
    found = client.predict(handle_file(file), x, y, api_name="/cut")
    mask = np.asarray(Image.open(found["annotations"][0]["image"]).convert("RGBA"))[..., 3] > 0
    assert names["iou"](mask, names["truths"][0][0]) >= LIMITS["trunk"]
