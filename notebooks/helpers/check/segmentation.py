"""The self-checks of 2.7. Image Segmentation."""

import functools
import json

import numpy as np
from PIL import Image

from helpers import media
from helpers.check.detection import in_toytown
from helpers.check.verdict import Verdict, checklist, self_check
from helpers.checkpoints import ASSETS, checkpoint


@functools.cache
def _segmenter() -> tuple:
    from transformers import SamModel, SamProcessor

    name = checkpoint("segmenter")
    return SamModel.from_pretrained(name), SamProcessor.from_pretrained(name)


def _masks(picture: Image.Image, points: list, labels: list) -> tuple[np.ndarray, np.ndarray]:
    """For each thing's clicks one mask, bool (things, height, width), and its score (things,)."""
    import torch

    model, processor = _segmenter()
    inputs = processor(picture, input_points=[points], input_labels=[labels], return_tensors="pt")
    sizes = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    with torch.inference_mode():
        outputs = model(**inputs, multimask_output=False)
    masks = processor.post_process_masks(outputs.pred_masks, *sizes)[0]
    return masks[:, 0].numpy(), outputs.iou_scores[0, :, 0].numpy()


@functools.cache
def _first_masks() -> tuple[np.ndarray, np.ndarray]:
    """Scores of one click on each thing of twenty scenes that 2.7 leaves out, and the true IoU."""
    from pycocotools import mask as coco_mask
    from scipy.ndimage import distance_transform_edt

    annotations = json.loads((ASSETS / "images/toytown/annotations.json").read_text("utf-8"))
    scores, overlaps = [], []
    for number, row in enumerate(media.examples("segmentation").select(range(20, 40)), start=20):
        rows = [one for one in annotations["annotations"] if one["image_id"] == number]
        truths = np.stack([coco_mask.decode(one["segmentation"]) > 0 for one in rows])
        points = []
        for truth in truths:
            depth = distance_transform_edt(np.pad(truth, 1))[1:-1, 1:-1]
            y, x = np.unravel_index(depth.argmax(), depth.shape)
            points.append([[int(x), int(y)]])
        masks, found = _masks(row["image"], points, [[1]] * len(points))
        scores += found.tolist()
        overlaps += ((masks & truths).sum((1, 2)) / (masks | truths).sum((1, 2))).tolist()
    return np.array(scores), np.array(overlaps)


@self_check("answer is your function itself: from the scores to ten places, all different.")
def ten_corrections(answer: object) -> Verdict:
    """A function that says from the scores of masks which ten a person redraws."""
    scores, overlaps = _first_masks()
    chosen = [int(place) for place in answer(scores.copy())]
    there = set(range(len(scores)))
    if len(chosen) != 10 or len(set(chosen) & there) != 10:
        expected = f"ten different places from 0 to {len(scores) - 1}"
        return Verdict(False, expected, chosen, f"Return {expected}.")
    gains = 1 - overlaps  # redrawn by hand, a mask is perfect
    yours, anywhere, best = gains[chosen].mean(), gains.mean(), np.sort(gains)[-10:].mean()
    print(f"IoU that a correction adds: {anywhere:.2f} anywhere, {best:.2f} if the truth is known.")
    least = (anywhere + best) / 2
    hint = "Let people redraw where the model doubts its mask: which scores say so?"
    return Verdict(yours >= least, f"at least {least:.2f} a correction", f"{yours:.2f}", hint)


@self_check("answer = (a picture, [[x, y], …], [1 or 0 for each], the share you expect).")
def own_click(answer: object) -> Verdict:
    """A picture of the reader's, clicks on it, and how large they think the thing is."""
    source, points, labels, share = answer
    picture = media.image(source)
    done = {
        "it is no scene of Toytown": not in_toytown(source),
        "every click lies in the picture": all(
            0 <= x < picture.width and 0 <= y < picture.height for x, y in points
        ),
        "a 1 or a 0 for each click, and at least one 1": len(labels) == len(points)
        and 1 in labels
        and set(labels) <= {0, 1},
        "your guess is a share, between 0 and 1": 0 < share < 1,
    }
    verdict = checklist(done)
    if verdict.right:
        (mask,), (score,) = _masks(picture, [points], [labels])
        pairs = zip(points, labels, strict=True)
        obeyed = sum(mask[int(y), int(x)] == label for (x, y), label in pairs)
        print(f"The mask covers {mask.mean():.0%} of the picture, you expected {share:.0%}.")
        print(f"It does as {obeyed} of your {len(points)} clicks say; its score is {score:.2f}.")
    return verdict


@self_check("answer is your function itself: from mask, x and y to a mask of the same shape.")
def clean(answer: object) -> Verdict:
    """A function that keeps the piece of a mask under a click, and fills its holes."""
    cases = {
        "keep only the piece under the click": ("##..# ##...", 0, 1, "##... ##..."),
        "x counts from the left, y from the top: mask[y, x]": ("#...# ....#", 4, 1, "....# ....#"),
        "fill the hole": ("##### #.#.# #####", 0, 0, "##### ##### #####"),
        "an open bay is no hole": ("###.. #.... ###..", 0, 0, "###.. #.... ###.."),
        "pieces that meet at a corner alone are two": (
            "##... ##... ..##.", 0, 0, "##... ##... .....",
        ),
        "a crumb inside the hole belongs to it": (
            "##### #...# #.#.# #...# #####", 0, 0, "##### ##### ##### ##### #####",
        ),
        "a click beside the mask gives an empty mask": ("##... ##...", 4, 0, "..... ....."),
    }  # fmt: skip
    for hint, (before, x, y, after) in cases.items():
        mask, expected = (
            np.array([[c == "#" for c in row] for row in t.split()]) for t in (before, after)
        )
        found = np.asarray(answer(mask.copy(), x, y))
        if found.shape != mask.shape or not np.array_equal(found.astype(bool), expected):
            drawn = " ".join("".join(".#"[bool(p)] for p in row) for row in np.atleast_2d(found))
            return Verdict(False, after, drawn, f"{hint[0].upper()}{hint[1:]}.")
    return Verdict(True, f"{len(cases)} cases of {len(cases)}", f"{len(cases)} cases")
