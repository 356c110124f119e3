"""2.6 Object Detection: its functions judge rightly, and what it measured carries the lesson."""

import ast
import re
import tomllib
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from pycocotools import mask

ROOT = Path(__file__).resolve().parent.parent
NAME = "2.6. Object_Detection"
LIMITS = tomllib.loads((ROOT / "tests/thresholds.toml").read_text("utf-8"))["detection_notebook"]


def assigned(cell):
    """The names that a cell's top level assigns, functions and imports left out."""
    statements = [n for n in ast.parse(cell.source).body if isinstance(n, ast.Assign)]
    names = [n for s in statements for target in s.targets for n in ast.walk(target)]
    return {name.id for name in names if isinstance(name, ast.Name)}


def position(cells, name):
    """Where a name is assigned first."""
    found = [i for i, cell in enumerate(cells) if name in assigned(cell)]
    assert found, f"the notebook no longer assigns {name!r}"
    return found[0]


@pytest.fixture(scope="module")
def functions(cells):
    """The notebook's own iou and judge, as they stand there."""
    trees = [n for cell in cells for n in ast.parse(cell.source).body]
    own = [n for n in trees if isinstance(n, ast.FunctionDef) and n.name in {"iou", "judge"}]
    namespace = {}
    exec("\n".join(ast.unparse(function) for function in own), namespace)
    return namespace


@pytest.fixture(scope="module")
def iou(functions):
    return functions["iou"]


@pytest.fixture(scope="module")
def judge(functions):
    return functions["judge"]


# ------------------------------------------------------------------------------------ iou


@pytest.mark.parametrize(
    ("a", "b", "expected"),
    [
        ((0, 0, 2, 2), (0, 0, 2, 2), 1),
        ((0, 0, 2, 2), (1, 1, 3, 3), 1 / 7),
        ((0, 0, 4, 4), (1, 1, 3, 3), 1 / 4),
        ((0, 0, 4, 1), (0, 0, 1, 4), 1 / 7),
        ((0, 0, 1, 1), (1, 0, 2, 1), 0),
        ((0, 0, 1, 1), (0, 5, 1, 6), 0),
        ((0, 0, 1, 1), (5, 5, 6, 6), 0),  # apart both ways: minus times minus is no overlap
    ],
    ids=["same", "corner", "inside", "crossing", "touching", "below", "apart both ways"],
)
def test_iou_is_the_shared_area_over_the_whole(iou, a, b, expected):
    assert iou(a, b) == pytest.approx(expected)
    assert iou(b, a) == pytest.approx(expected)


def test_iou_is_that_of_pycocotools(iou):
    numbers = np.random.default_rng(0)
    corner, size = numbers.uniform(0, 50, (2, 30, 2))
    size += 1
    coco = mask.iou(*[np.hstack([corner, size])] * 2, [0] * 30)  # (x, y, width, height)
    boxes = np.hstack([corner, corner + size]).tolist()
    assert np.array([[iou(a, b) for b in boxes] for a in boxes]) == pytest.approx(coco)
    assert 0 < (coco == 0).mean() < 1, "some of the boxes overlap, and some do not"


# ---------------------------------------------------------------------------------- judge


def proposal(label, xmin, ymin, xmax, ymax, score=0.9):
    box = {"xmin": xmin, "ymin": ymin, "xmax": xmax, "ymax": ymax}
    return {"score": score, "label": label, "box": box}


DOG = {"category": ["dog"], "bbox": [[50, 20, 100, 200]]}  # x, y, width, height
EXACT = (50, 20, 150, 220)
SHIFTED = {  # a shift by s pixels of 100 leaves an IoU of (100 - s) / (100 + s)
    "0.504": (50 + 33, 20, 150 + 33, 220),
    "0.493": (50 + 34, 20, 150 + 34, 220),
    "0.5": (50, 20, 150, 120),
}
NOTHING = {"category": [], "bbox": []}
CASES = {  # proposals, truth, (hits, false alarms, misses)
    "a hit": ([proposal("dog", *EXACT)], DOG, (1, 0, 0)),
    "a double": ([proposal("dog", *EXACT), proposal("dog", *EXACT, 0.8)], DOG, (1, 1, 0)),
    "a wrong label": ([proposal("cat", *EXACT)], DOG, (0, 1, 1)),
    "a wrong place": ([proposal("dog", 300, 20, 400, 220)], DOG, (0, 1, 1)),
    "IoU just above": ([proposal("dog", *SHIFTED["0.504"])], DOG, (1, 0, 0)),
    "IoU just below": ([proposal("dog", *SHIFTED["0.493"])], DOG, (0, 1, 1)),
    "IoU of a half": ([proposal("dog", *SHIFTED["0.5"])], DOG, (1, 0, 0)),
    "under the threshold": ([proposal("dog", *EXACT, score=0.49)], DOG, (0, 0, 1)),
    "on the threshold": ([proposal("dog", *EXACT, score=0.5)], DOG, (1, 0, 0)),
    "nothing proposed": ([], DOG, (0, 0, 1)),
    "nothing there": ([proposal("dog", *EXACT)], NOTHING, (0, 1, 0)),
    "nothing at all": ([], NOTHING, (0, 0, 0)),
}


@pytest.mark.parametrize(("proposals", "truth", "expected"), CASES.values(), ids=CASES)
def test_judge_counts_hits_false_alarms_and_misses(judge, proposals, truth, expected):
    assert judge(proposals, truth, 0.5) == expected


def test_judge_lets_the_surest_choose_first_and_gives_each_of_two_dogs_one_hit(judge):
    two = {"category": ["dog", "dog"], "bbox": [[0, 0, 100, 100], [40, 0, 100, 100]]}
    unsure = proposal("dog", 20, 0, 120, 100, 0.6)  # would do for either dog
    sure = proposal("dog", 0, 0, 100, 100, 0.9)  # fits the first alone
    assert judge([unsure, sure], two, 0.5) == (2, 0, 0)
    assert judge([sure, unsure], two, 0.5) == (2, 0, 0)
    assert judge([unsure, sure, sure], two, 0.5) == (2, 1, 0)
    assert judge([unsure, sure], two, 0.7) == (1, 0, 1)


def test_judge_leaves_the_truth_and_the_proposals_as_they_were(judge):
    proposals, truth = [proposal("dog", *EXACT)], {k: [*v] for k, v in DOG.items()}
    for _ in range(2):
        assert judge(proposals, truth, 0.5) == (1, 0, 0)
    assert truth == DOG


# ------------------------------------------------------------------------- what it measured


def scores(said, name):
    """mAP50 and COCO's mAP as printed for the clear or the foggy scenes."""
    found = re.search(rf"\b{name} mAP50 (\d\.\d+) COCO's mAP (\d\.\d+)", said)
    assert found, f"the notebook no longer prints mAP50 and COCO's mAP of the {name} scenes"
    return float(found[1]), float(found[2])


def test_in_clear_weather_the_detector_is_good(said):
    map50, coco_map = scores(said, "clear")
    assert map50 >= LIMITS["clear_map50"]
    assert LIMITS["clear_map"] <= coco_map < map50  # COCO's also asks for boxes that fit


def test_fog_hurts_or_there_is_no_lesson(said):
    map50, coco_map = scores(said, "foggy")
    assert coco_map < map50 <= LIMITS["foggy_map50_at_most"]
    assert coco_map < scores(said, "clear")[1]


def test_by_hand_is_the_pipeline(said):
    found = re.search(r"(\d+) boxes, equal to the pipeline's", said)
    assert found, "the notebook no longer says that its boxes are the pipeline's"
    assert int(found[1]) > 1


def test_the_librarys_matcher_agrees_and_gives_each_thing_one_query_of_its_own(said):
    found = re.search(r"matcher pairs the same: (\[.*?\])", said)
    assert found, "the notebook no longer says that the library's matcher pairs the same"
    queries, things = zip(*ast.literal_eval(found[1]), strict=True)
    assert len(set(queries)) == len(queries) >= 4
    assert sorted(things) == list(range(len(things)))


# ------------------------------------------------------------------ its claims could have failed


@pytest.fixture(scope="module")
def claims(execution, cells):  # after the notebooks' run, so as not to compete with it
    """The two cells that compare with the library, each with the names that it finds there."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt
    from helpers import checkpoint, drawing, media
    from transformers import pipeline

    detect = pipeline("object-detection", model=checkpoint("detector"), device="cpu")
    image = media.image("street")
    names = {"plt": plt, "np": np, "drawing": drawing, "checkpoint": checkpoint, "media": media}
    names |= {"detect": detect, "device": detect.device, "image": image, "found": detect(image)}
    names["examples"] = media.examples("detection")
    by_hand, matcher = (position(cells, name) for name in ("boxes_by_hand", "answer_of_library"))
    kept = {}
    for at in range(position(cells, "model"), matcher + 1):
        kept[at] = names.copy()
        exec(cells[at].source, names)
    plt.close("all")
    return {
        "by hand": (cells[by_hand].source, kept[by_hand]),
        "matcher": (cells[matcher].source, kept[matcher]),
    }


def off_by_a_pixel(found):
    return found | {"box": found["box"] | {"xmin": found["box"]["xmin"] + 1}}


def off_by_a_thousandth(found):
    return found | {"score": found["score"] - 0.001}


@pytest.mark.parametrize("change", [off_by_a_pixel, off_by_a_thousandth])
def test_by_hand_would_have_noticed_another_box_or_score(claims, change):
    source, names = claims["by hand"]
    first, *rest = names["found"]
    exec(source, names.copy())
    with pytest.raises(AssertionError):
        exec(source, names | {"found": [change(first), *rest]})


def test_the_matching_would_have_noticed_another_pair(claims):
    source, names = claims["matcher"]
    exec(source, names.copy())
    with pytest.raises(AssertionError):
        exec(source, names | {"things": names["things"][::-1]})
