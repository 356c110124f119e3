"""Draw the labelled pictures of the notebooks: scenes of the test split, never trained on.

    python assets/recipes/examples.py     # writes assets/images/toytown

Beside the pictures: metadata.jsonl (the form of `datasets`' imagefolder) and annotations.json
(COCO's, with run-length encoded masks). Needs the font Noto Color Emoji.
"""

import json
import shutil
import tempfile
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask
from toytown.language import QUESTIONS, description, question, swapped, written
from toytown.pictures import Scene, render, scene
from toytown.vocabulary import LABELS, THINGS
from tqdm import tqdm
from training import ROOT, write_text

COUNT = 80
SIDE = 512  # pixels
FOLDER = ROOT / "assets" / "images" / "toytown"


def said(drawn: Scene, index: int) -> dict:
    """What is said and asked of a scene: its caption, that with one word wrong, and questions."""
    rng = np.random.default_rng(index)
    kind, wrong = swapped(description(drawn), drawn, rng)
    pairs = {kind: question(drawn, kind, rng) for kind in QUESTIONS}
    return {
        "caption": written(description(drawn)),
        "wrong_caption": {"text": written(wrong), "swapped": kind},
        "questions": [
            {"kind": kind, "question": pair[0], "answer": pair[1]}
            for kind, pair in pairs.items()
            if pair
        ],
    }


def main() -> None:
    """Draw them beside, then rename the folder."""
    FOLDER.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(dir=FOLDER.parent, prefix=".toytown-"))
    beside.chmod(0o755)
    categories = [
        {"id": i, "name": name, "supercategory": THINGS[name]["category"]}
        for i, name in enumerate(LABELS)
    ]
    coco = {"images": [], "annotations": [], "categories": categories}
    lines, index = [], 0
    progress = tqdm(total=COUNT, desc="scenes")
    while len(lines) < COUNT:
        drawn = scene("test", index)
        index += 1
        if len(drawn.things) < 2:  # single things are easy; people come to look at scenes
            continue
        picture = render(drawn, SIDE)
        if (picture.boxes[:, 2:].min(1) < 12).any():
            continue  # someone is almost hidden: no label would be fair
        name = f"{drawn.place}-{index - 1:03}.jpg"
        picture.image.save(beside / name, quality=86, optimize=True)
        coco["images"].append({"id": len(lines), "file_name": name, "width": SIDE, "height": SIDE})
        for label, box, mask in zip(
            picture.labels, picture.boxes.tolist(), picture.masks, strict=True
        ):
            encoded = coco_mask.encode(np.asfortranarray(mask))
            coco["annotations"].append(
                {
                    "id": len(coco["annotations"]) + 1,
                    "image_id": len(lines),
                    "category_id": LABELS.index(label),
                    "bbox": box,
                    "area": int(mask.sum()),
                    "iscrowd": 0,
                    "segmentation": encoded | {"counts": encoded["counts"].decode()},
                }
            )
        objects = {"bbox": picture.boxes.tolist(), "category": picture.labels}
        line = {"file_name": name, "place": drawn.place, "objects": objects}
        lines.append(json.dumps(line | said(drawn, index - 1)))
        progress.update()
    write_text(beside / "metadata.jsonl", "\n".join(lines) + "\n")
    write_text(beside / "annotations.json", json.dumps(coco) + "\n")
    shutil.rmtree(FOLDER, ignore_errors=True)
    beside.rename(FOLDER)


if __name__ == "__main__":
    main()
