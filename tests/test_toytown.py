"""Toytown: one vocabulary for all generators, and pictures whose labels are exactly true."""

import json
import subprocess
import sys
import time
import tomllib
from collections import Counter

import inflect
import numpy as np
import pytest
from conftest import ROOT, needs_font

RECIPES = ROOT / "assets" / "recipes"
THRESHOLDS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["toytown"]
EXAMPLES = ROOT / "assets" / "images" / "toytown"

import examples
from toytown import pictures
from toytown.places import PAINTERS, paint
from toytown.vocabulary import COLOURS, LABELS, NUMBERS, PAINTS, PLACES, THINGS, counted, listed


def draw(index: int, size: int) -> tuple[pictures.Scene, pictures.Picture]:
    scene = pictures.scene("test", index)
    return scene, pictures.render(scene, size)


# The vocabulary ------------------------------------------------------------------------------


def test_the_vocabulary_has_enough_things_places_colours_and_numbers():
    assert len(THINGS) >= 40
    assert len(PLACES) >= 8
    assert PLACES.keys() == PAINTERS.keys()
    assert {"red", "green", "blue", "yellow"} <= COLOURS.keys()
    assert len(NUMBERS) == 12


@pytest.mark.parametrize("name", LABELS)
def test_every_thing_has_a_picture_and_words_in_three_languages(name: str):
    row = THINGS[name]
    assert row["category"] in {"animals", "vehicles", "food", "household", "nature", "people"}
    assert row["size"] in pictures.SIZES
    assert row["zone"] in {"ground", "sky", "water"}
    assert inflect.engine().plural(name) == row["plural"]
    for language in ("fr", "es"):
        words = row[language]
        assert words["gender"] in {"m", "f"}
        assert words["word"]
        assert words["plural"]


def test_no_two_things_share_a_picture_or_a_word():
    for values in (
        [row["emoji"] for row in THINGS.values()],
        [row["fr"]["word"] for row in THINGS.values()],
        [row["es"]["word"] for row in THINGS.values()],
    ):
        assert not [value for value, times in Counter(values).items() if times > 1]


def test_phrases_count_and_agree():
    assert counted("dog", 1) == "a dog"
    assert counted("elephant", 1) == "an elephant"
    assert counted("sheep", 2) == "two sheep"
    assert counted("car", 1, "orange") == "an orange car"
    assert counted("baby", 12) == "twelve babies"
    assert listed(["a dog"]) == "a dog"
    assert listed(["a dog", "a cat", "a bus"]) == "a dog, a cat and a bus"


# Pictures ------------------------------------------------------------------------------------


@needs_font
def test_a_seed_is_a_picture_and_another_seed_is_another():
    _, first = draw(7, 128)
    _, again = draw(7, 128)
    _, other = draw(8, 128)
    assert first.image.tobytes() == again.image.tobytes()
    assert first.image.tobytes() != other.image.tobytes()


def test_the_splits_share_no_scene():
    scenes = {split: pictures.scene(split, 5) for split in pictures.SEEDS}
    assert len(set(scenes.values())) == 3
    with pytest.raises(ValueError, match="give a number from 0"):
        pictures.scene("train", pictures.SCENES_PER_SPLIT)  # would be validation's first


@needs_font
def test_boxes_are_the_tight_boxes_of_masks_that_do_not_overlap():
    for index in range(40):
        _, picture = draw(index, 200)
        assert picture.masks.sum(0).max() <= 1, "a pixel belongs to the thing in front"
        for mask, (x, y, width, height) in zip(picture.masks, picture.boxes, strict=True):
            rows, columns = np.nonzero(mask)
            assert (columns.min(), rows.min()) == (x, y)
            assert (columns.max() + 1, rows.max() + 1) == (x + width, y + height)


@needs_font
def test_the_masks_are_where_the_picture_differs_from_its_empty_place():
    for index in range(20):
        scene, picture = draw(index, 256)
        empty = np.asarray(paint(scene.place, scene.seed, 256)).astype(int)
        differs = np.abs(np.asarray(picture.image) - empty).max(-1) > 12
        assert differs[picture.masks.any(0)].mean() > 0.85


@needs_font
def test_the_same_scene_is_drawn_small_for_a_model_and_large_for_people():
    for index in range(30):
        (_, small), (_, large) = draw(index, 128), draw(index, 512)
        assert small.labels == large.labels
        ratio = large.boxes[large.boxes[:, 2] > 40] / 4 - small.boxes[large.boxes[:, 2] > 40]
        assert np.abs(ratio).max(initial=0) <= 2, "boxes agree within two of the model's pixels"


@needs_font
def test_a_shape_beyond_the_edge_is_no_trouble():
    beyond = pictures.Distractor("disc", 1.2, -0.2, 0.05, 0, (200, 80, 80), front=True)
    dog = pictures.Thing("dog", 0.5, 0.5, 0.3)
    picture = pictures.render(pictures.Scene("park", 1, (dog,), (beyond,)), 128)
    assert picture.labels == ["dog"]


@needs_font
def test_a_scene_can_be_ordered():
    rng = np.random.default_rng(1)
    scene = pictures.compose(rng, place="street", kinds={"dog": 2, "bus": 1})
    assert scene.place == "street"
    assert Counter(thing.name for thing in scene.things) == {"dog": 2, "bus": 1}


@needs_font
def test_colours_are_the_colours_they_are_called():
    for name in (name for name, row in THINGS.items() if "paint" in row):
        for colour in PAINTS:
            pixels = np.asarray(pictures.glyph(name, colour).convert("RGB").convert("HSV"))
            solid = np.asarray(pictures.glyph(name, colour).getchannel("A")) > 200
            vivid = pixels[solid & (pixels[..., 1] > 80)]
            away = np.abs((vivid[:, 0] / 255 * 360 - COLOURS[colour]["hue"] + 180) % 360 - 180)
            assert (away < 15).mean() > 0.25, f"a {colour} {name}"


@needs_font
def test_scenes_are_drawn_fast_enough_to_train_on():
    for index in range(100):  # caches the glyphs
        draw(index, 128)
    rates = []
    for start in (0, 100, 200):
        began = time.process_time()
        for index in range(start, start + 100):
            draw(index, 128)
        rates.append(100 / (time.process_time() - began))
    assert max(rates) >= THRESHOLDS["scenes_per_second"]


def test_a_missing_font_is_one_sentence_that_says_what_to_install():
    code = "from toytown.pictures import glyph; glyph('dog')"
    run = subprocess.run(
        [sys.executable, "-c", code],
        cwd=RECIPES,
        env={"COURSE_EMOJI_FONT": "no-such-font.ttf", "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    last = run.stderr.strip().splitlines()[-1]
    assert last.startswith("FileNotFoundError: The font no-such-font.ttf is missing: install")
    assert "apt install fonts-noto-color-emoji" in last


# The shipped examples ------------------------------------------------------------------------


def shipped() -> list[dict]:
    return [json.loads(line) for line in (EXAMPLES / "metadata.jsonl").read_text().splitlines()]


def test_the_shipped_scenes_cover_the_vocabulary_in_two_formats_that_agree():
    lines, coco = shipped(), json.loads((EXAMPLES / "annotations.json").read_text())
    assert len(lines) >= 60
    assert {label for line in lines for label in line["objects"]["category"]} == set(LABELS)
    assert {line["place"] for line in lines} == set(PLACES)
    assert [category["name"] for category in coco["categories"]] == LABELS
    for image, line in zip(coco["images"], lines, strict=True):
        assert image["file_name"] == line["file_name"]
        rows = [row for row in coco["annotations"] if row["image_id"] == image["id"]]
        assert [row["bbox"] for row in rows] == line["objects"]["bbox"]
        assert [LABELS[row["category_id"]] for row in rows] == line["objects"]["category"]


def test_the_run_length_encoded_masks_fill_their_boxes():
    from pycocotools import mask as coco_mask

    for row in json.loads((EXAMPLES / "annotations.json").read_text())["annotations"][:60]:
        assert coco_mask.toBbox(row["segmentation"]).tolist() == row["bbox"]
        assert coco_mask.area(row["segmentation"]) == row["area"]


@needs_font
def test_the_shipped_scenes_are_the_test_split_and_nothing_else():
    for line in shipped()[::8]:
        index = int(line["file_name"].split("-")[1].removesuffix(".jpg"))
        scene, picture = draw(index, 512)
        assert scene.place == line["place"]
        assert picture.boxes.tolist() == line["objects"]["bbox"]
        assert examples.said(scene, index).items() <= line.items()
