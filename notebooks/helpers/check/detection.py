"""The self-checks of 2.6. Object Detection."""

import functools
import re

from helpers import media
from helpers.check.verdict import Verdict, checklist, pipeline_of, self_check

_detector = functools.partial(pipeline_of, "object-detection", "detector")


@functools.cache
def _foggy_scenes() -> list[tuple[list[dict], dict]]:
    """All proposals and the truth for the labelled scenes from the fortieth on, in fog."""
    rows = media.examples("detection")
    rows = rows.select(range(40, len(rows)))  # the notebook chooses on the first forty
    return [(_detector()(media.fog(row["image"]), threshold=0.0), row["objects"]) for row in rows]


def _iou(a: list[float], b: list[float]) -> float:
    width, height = (min(a[i + 2], b[i + 2]) - max(a[i], b[i]) for i in (0, 1))
    shared = max(0, width) * max(0, height)
    return shared / (sum((c[2] - c[0]) * (c[3] - c[1]) for c in (a, b)) - shared)


@functools.cache
def _misses_and_alarms(threshold: float) -> tuple[int, int]:
    misses = alarms = 0
    for proposals, truth in _foggy_scenes():
        boxes = [[x, y, x + w, y + h] for x, y, w, h in truth["bbox"]]
        there = list(zip(truth["category"], boxes, strict=True))
        for found in sorted(proposals, key=lambda found: -found["score"]):
            box = list(found["box"].values())
            same = [t for t in there if t[0] == found["label"] and _iou(t[1], box) >= 0.5]
            if found["score"] >= threshold and same:
                there.remove(same[0])
            elif found["score"] >= threshold:
                alarms += 1
        misses += len(there)
    return misses, alarms


@self_check(
    "For each customer add up the costs at every threshold on your half; take the cheapest."
)
def two_thresholds(answer: object) -> Verdict:
    """Two thresholds for two price lists, charged on foggy scenes not used to choose them."""
    for_a, for_b = answer
    paid, limits = [], []
    for threshold, miss, alarm in ((for_a, 5, 1), (for_b, 1, 5)):
        threshold = round(float(threshold), 3)
        if not 0 <= threshold <= 1:
            return Verdict(False, "two scores", answer, "A score lies between 0 and 1.")
        costs = [
            miss * misses + alarm * alarms
            for misses, alarms in map(_misses_and_alarms, (threshold, *(t / 50 for t in range(50))))
        ]
        paid.append(costs[0])
        limits.append(round(1.18 * min(costs[1:])))
    late = [name for name, cost, most in zip("AB", paid, limits, strict=True) if cost > most]
    hint = (
        f"{' and '.join(late)} can be served cheaper: what does a miss cost there, what an alarm?"
    )
    expected = f"A pays at most {limits[0]} and B {limits[1]}"
    return Verdict(not late, expected, f"A {paid[0]}, B {paid[1]}", hint)


def in_toytown(source: object) -> bool:
    """Whether a picture is one of the course's scenes, by its name."""
    scenes = [name for row in media.scenes() for name in (row["place"], row["file_name"])]
    return str(source).replace("\\", "/").split("/")[-1] in scenes


@self_check("answer = (a path, an address or a name such as 'coffee', [what you see in it]).")
def own_picture(answer: object) -> Verdict:
    """A picture of the reader's and what is in it, beside what the detector says."""
    source, there = answer
    found = {detection["label"] for detection in _detector()(media.image(source))}
    known = set(_detector().model.config.id2label.values())
    several = isinstance(there, list | tuple | set)
    words = {word.strip().lower() for word in there} if several else set()
    done = {
        "you wrote down what is in it, as a list of words": bool(words),
        "some of your words are names that it knows": bool(words & known),
        "it is no scene of Toytown": not in_toytown(source),
    }
    verdict = checklist(done)
    print(f"Named and there: {', '.join(sorted(found & words)) or 'nothing'}")
    print(f"Named, not there: {', '.join(sorted(found - words)) or 'nothing'}")
    print(f"There, not named: {', '.join(sorted(words - found)) or 'nothing'}")
    return verdict


@self_check("answer is your function itself: sort by score, keep what overlaps no kept box.")
def suppress(answer: object) -> Verdict:
    """A function that keeps the best of boxes that lie over one another."""

    def boxes(text: str) -> list[dict]:
        """What "dog 0.9 5-105" says: a dog, score 0.9, from x = 5 to 105."""
        return [
            {"label": name, "score": float(score),
             "box": {"xmin": int(left), "ymin": 0, "xmax": int(right), "ymax": 100}}
            for name, score, left, right in re.findall(r"(\w+) (\S+) (\d+)-(\d+)", text)
        ]  # fmt: skip

    cases = {
        "keep the best of two, not the first": ("dog 0.6 0-100, dog 0.9 5-105", [0.9]),
        "a dog on a bed is no double: compare labels": (
            "dog 0.9 0-100, bed 0.8 5-105", [0.9, 0.8],
        ),
        "two dogs apart are two dogs": ("dog 0.9 0-50, dog 0.8 60-110", [0.9, 0.8]),
        "compare with kept boxes alone: what is gone suppresses nothing": (
            "dog 0.9 0-100, dog 0.8 30-130, dog 0.7 60-160", [0.9, 0.7],
        ),
        "nothing in, nothing out": ("", []),
    }  # fmt: skip
    for hint, (given, expected) in cases.items():
        scores = sorted((kept["score"] for kept in answer(boxes(given))), reverse=True)
        if scores != expected:
            return Verdict(False, f"the scores {expected}", scores, f"{hint[0].upper()}{hint[1:]}.")
    return Verdict(True, f"{len(cases)} cases of {len(cases)}", f"{len(cases)} cases")
