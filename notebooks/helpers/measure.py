"""Measures that a well-kept library computes, asked in the form in which our cells hold results."""

import contextlib
import io

import numpy as np


def mean_average_precision(detections: list[list[dict]], truths: list[dict]) -> dict:
    """COCO's mean average precision, by pycocotools.

    Args:
        detections: for each picture, what the object-detection pipeline returns with threshold=0:
            {"label": str, "score": float, "box": {"xmin", "ymin", "xmax", "ymax"}} in pixels.
        truths: for each picture {"category": [label, …], "bbox": [[x, y, width, height], …]} in
            pixels, as in `media.examples("detection")`.

    Returns:
        "map" (the mean over IoU 0.50 to 0.95), "map50", "map75", and "per_class": label to map.

    Source: https://cocodataset.org/#detection-eval
    """
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    names = sorted({name for truth in truths for name in truth["category"]})
    ids = {name: number for number, name in enumerate(names)}
    boxes = [
        {"image_id": image, "category_id": ids[name], "bbox": bbox, "area": bbox[2] * bbox[3]}
        for image, truth in enumerate(truths)
        for name, bbox in zip(truth["category"], truth["bbox"], strict=True)
    ]
    found = [
        {"image_id": image, "category_id": ids[one["label"]], "score": one["score"], "bbox": bbox}
        for image, several in enumerate(detections)
        for one in several
        if one["label"] in ids  # a name that is nowhere true has no precision to be averaged
        for left, top, right, bottom in [one["box"].values()]
        for bbox in [[left, top, right - left, bottom - top]]
    ]
    if not found:
        return {"map": 0.0, "map50": 0.0, "map75": 0.0, "per_class": dict.fromkeys(names, 0.0)}
    coco = COCO()
    coco.dataset = {
        "images": [{"id": image} for image in range(len(truths))],
        "categories": [{"id": number, "name": name} for name, number in ids.items()],
        "annotations": [box | {"id": i, "iscrowd": 0} for i, box in enumerate(boxes, start=1)],
    }
    with contextlib.redirect_stdout(io.StringIO()):  # it prints every step
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = np.clip(evaluation.eval["precision"][..., 0, 2], 0, 1)  # (IoU, recall, class)
    scores = dict(zip(("map", "map50", "map75"), evaluation.stats[:3].tolist(), strict=True))
    per_class = precision.mean((0, 1)).tolist()
    return scores | {"per_class": dict(zip(names, per_class, strict=True))}
