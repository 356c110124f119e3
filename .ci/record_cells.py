"""The cells that `record.py` runs, one a role: a notebook's central call on a real checkpoint.

    python .ci/record_cells.py detector folder    # on the tier that COURSE_TIER names

Each is a process of its own, so that its peak memory is its own and a failure takes nobody along.
"""

import argparse
import hashlib
import inspect
import json
import os
import platform
import sys
import textwrap
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "notebooks"))

if TYPE_CHECKING:
    import numpy as np
    from matplotlib.axes import Axes

WIDTH = 640  # pixels of a picture on the page
GEMINI = "gemini"  # the one role that no checkpoint plays
GEMINI_MODEL = "gemini-flash-latest"  # as page 1 asks for it


@dataclass
class Answer:
    """What a cell gives: pairs of what went in and what came out, and a picture or a sound."""

    pairs: list[tuple[str, str]]
    drawn: "Axes | None" = None
    alt: str = ""  # the picture, for those who cannot see it
    sound: "tuple[np.ndarray, int] | None" = None  # the waveform, and its sampling rate in Hz


def chatbot(folder: str, device: str) -> Answer:
    """2.1. Intro_to_NLP."""
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).to(device).eval()
    said = ["Hello! How are you?", "My name is Rosa.", "What is my name?"]
    inputs = tokenizer(said, padding=True, truncation=True, return_tensors="pt").to(device)
    replies = tokenizer.batch_decode(model.generate(**inputs), skip_special_tokens=True)
    return Answer(list(zip(said, replies, strict=True)))


def translator(folder: str, device: str) -> Answer:
    """2.1. Intro_to_NLP."""
    from helpers.checkpoints import current_tier, row
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    codes = row("translator", current_tier().name)["languages"]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).to(device).eval()
    pairs, sentence = [], "The octopus sells umbrellas."
    for language in ("French", "Spanish"):
        tokenizer.src_lang, tokenizer.tgt_lang = codes["English"], codes[language]
        code = tokenizer(text_target="")["input_ids"][0]  # that of the target language
        inputs = tokenizer(sentence, return_tensors="pt").to(device)
        ids = model.generate(**inputs, forced_bos_token_id=code)
        words = tokenizer.batch_decode(ids, skip_special_tokens=True)[0]
        pairs.append((f"{sentence} (to {language})", words))
    return Answer(pairs)


def summarizer(folder: str, device: str) -> Answer:
    """2.1. Intro_to_NLP."""
    from helpers import media
    from transformers import AutoModelForSeq2SeqLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSeq2SeqLM.from_pretrained(folder).to(device).eval()
    story = media.examples("stories")[0]["text"]
    inputs = tokenizer(story, truncation=True, return_tensors="pt").to(device)
    summary = tokenizer.batch_decode(model.generate(**inputs), skip_special_tokens=True)[0]
    return Answer([(story, summary)])


def assistant(folder: str, device: str) -> Answer:
    """2.1. Intro_to_NLP."""
    from transformers import pipeline

    write = pipeline("text-generation", model=folder, device=device)
    plain = "What is the capital of Peru?"
    pirate = "You are a pirate. Begin every answer with Arr!"
    chats = {plain: [], f"{plain} (told: {pirate})": [{"role": "system", "content": pirate}]}
    how = {"max_new_tokens": 60, "do_sample": False, "return_full_text": False}
    pairs = []
    for said, chat in chats.items():
        words = write([*chat, {"role": "user", "content": plain}], **how)[0]["generated_text"]
        pairs.append((said, words))
    return Answer(pairs)


def embedder(folder: str, device: str) -> Answer:
    """2.2. Embeddings."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(folder, device=device)
    first, *others = "I like kittens", "We love cats", "The train is late"
    likeness = model.similarity(model.encode(first), model.encode(others))[0].tolist()
    pairs = zip(others, likeness, strict=True)
    return Answer([(f"{first} / {other}", f"{cosine:.2f}") for other, cosine in pairs])


def listener(folder: str, device: str) -> Answer:
    """2.3. Zero_Shot_Audio_Classification."""
    from gradio.media import get_audio
    from helpers import media
    from transformers import pipeline

    listen = pipeline("zero-shot-audio-classification", model=folder, device=device)
    rate = listen.feature_extractor.sampling_rate
    labels = ["a dog barking", "a cow mooing", "a cat meowing", "rain falling"]
    labels += ["a saxophone playing", "a woman speaking"]
    sounds = {"five seconds of a farm": "farm", "a recorded saxophone": get_audio("sax.wav")}
    pairs = []
    for name, source in sounds.items():
        waveform = media.audio(source, sampling_rate=rate)[0][: 5 * rate]
        found = listen(waveform, candidate_labels=labels)
        pairs.append((name, ", ".join(f"{one['label']} {one['score']:.2f}" for one in found[:3])))
    return Answer(pairs)


def transcriber(folder: str, device: str) -> Answer:
    """2.4. Automatic_Speech_Recognition."""
    from helpers import media
    from transformers import pipeline

    transcribe = pipeline("automatic-speech-recognition", model=folder, device=device)
    recording = media.examples("recordings")[0]
    waveform, _ = media.audio(recording["audio"], sampling_rate=16_000)
    return Answer([(f"a voice that says: {recording['text']}", transcribe(waveform)["text"])])


def speaker(folder: str, device: str) -> Answer:
    """2.5. Text_to_Speech."""
    from transformers import pipeline, set_seed

    speak = pipeline("text-to-audio", model=folder, device=device)
    sentence = "The postman gave a hat to Zoe."
    set_seed(0)
    said = speak(sentence)
    waveform, rate = said["audio"].squeeze(), said["sampling_rate"]
    seconds = f"{len(waveform) / rate:.1f} seconds at {rate:,} Hz"
    return Answer([(sentence, seconds)], sound=(waveform, rate))


def detector(folder: str, device: str) -> Answer:
    """2.6. Object_Detection."""
    from helpers import drawing, media
    from transformers import pipeline

    detect = pipeline("object-detection", model=folder, device=device)
    image = media.image("street")
    found = detect(image)
    words = ", ".join(f"{one['label']} {one['score']:.2f}" for one in found) or "nothing"
    drawn = drawing.boxes(image, found)
    return Answer([("the picture of a street", words)], drawn, f"The street with boxes: {words}")


def segmenter(folder: str, device: str) -> Answer:
    """2.7. Image_Segmentation."""
    import torch
    from helpers import drawing, media
    from transformers import SamModel, SamProcessor

    model, processor = SamModel.from_pretrained(folder), SamProcessor.from_pretrained(folder)
    image, click = media.image("cat"), [225, 80]  # pixels from the left and from the top
    inputs = processor(image, input_points=[[[click]]], return_tensors="pt")
    with torch.inference_mode():
        outputs = model.to(device)(**inputs.to(device, torch.float32))
    sizes = inputs["original_sizes"].cpu(), inputs["reshaped_input_sizes"].cpu()
    masks = processor.post_process_masks(outputs.pred_masks.cpu(), *sizes)[0][0]
    scores = outputs.iou_scores[0, 0].cpu()
    best = scores.argmax()
    share = masks[best].float().mean().item()
    drawn = drawing.masks(image, masks[best], points=[click])
    said = f"a mask of {share:.0%} of the picture, score {scores[best]:.2f}"
    seen = f"A cat's face with a plus on its forehead and {said}, tinted"
    return Answer([(f"a click on the cat's forehead, at {click}", said)], drawn, seen)


def matcher(folder: str, device: str) -> Answer:
    """2.8. Multimodal_Models."""
    import torch
    from helpers import media
    from transformers import BlipForImageTextRetrieval, BlipProcessor

    processor = BlipProcessor.from_pretrained(folder)
    model = BlipForImageTextRetrieval.from_pretrained(folder).to(device)
    texts = ["a cat", "a dog", "a cup of coffee on a table"]
    pictures = [media.image("cat")] * len(texts)
    inputs = processor(images=pictures, text=texts, padding=True, return_tensors="pt").to(device)
    with torch.inference_mode():
        fits = model(**inputs).itm_score.softmax(dim=1)[:, 1].tolist()
    pairs = zip(texts, fits, strict=True)
    return Answer([(f"the cat's picture / {text}", f"fits {share:.3f}") for text, share in pairs])


def captioner(folder: str, device: str) -> Answer:
    """2.8. Multimodal_Models."""
    from helpers import media
    from transformers import BlipForConditionalGeneration, BlipProcessor

    processor = BlipProcessor.from_pretrained(folder)
    model = BlipForConditionalGeneration.from_pretrained(folder).to(device)
    pairs = []
    for name in ("cat", "coffee", "astronaut"):
        inputs = processor(images=media.image(name), return_tensors="pt").to(device)
        ids = model.generate(**inputs, num_beams=1, max_new_tokens=50)
        pairs.append((f"the picture {name}", processor.decode(ids[0], skip_special_tokens=True)))
    return Answer(pairs)


def answerer(folder: str, device: str) -> Answer:
    """2.8. Multimodal_Models."""
    from helpers import media
    from transformers import BlipForQuestionAnswering, BlipProcessor

    processor = BlipProcessor.from_pretrained(folder)
    model = BlipForQuestionAnswering.from_pretrained(folder).to(device)
    pairs, question = [], "what is in the picture?"
    for name in ("cat", "coffee", "astronaut"):
        inputs = processor(media.image(name), question, return_tensors="pt").to(device)
        ids = model.generate(**inputs, num_beams=1, max_new_tokens=10)
        words = processor.decode(ids[0], skip_special_tokens=True)
        pairs.append((f"the picture {name}: {question}", words))
    return Answer(pairs)


def classifier(folder: str, device: str) -> Answer:
    """2.8. Multimodal_Models."""
    from helpers import media
    from transformers import pipeline

    classify = pipeline("zero-shot-image-classification", model=folder, device=device)
    labels = ["a cat", "a cup of coffee", "an astronaut", "a motorcycle"]
    pairs = []
    for name in ("cat", "coffee", "astronaut"):
        found = classify(media.image(name), candidate_labels=labels)
        words = ", ".join(f"{one['label']} {one['score']:.2f}" for one in found)
        pairs.append((f"the picture {name}", words))
    return Answer(pairs)


def gemini(client: object) -> Answer:
    """1. Using_Gemini_API."""
    pirate = "You are a pirate. Begin every answer with Arr!"
    story = "Write a story about Leo at the zoo, in three sentences."
    asked = [("When does the bakery open?", None), ("When does the bakery open?", pirate)]
    asked += [("What is the capital of Peru?", None), (story, None)]
    pairs = []
    for question, persona in asked:
        config = {"temperature": 0, "system_instruction": persona}
        reply = client.models.generate_content(model=GEMINI_MODEL, contents=question, config=config)
        told = f" (told: {persona})" if persona else ""
        pairs.append((question + told, f"{reply.text or '(no text)'} — {reply.model_version}"))
    return Answer(pairs)


CELLS = {
    cell.__name__: cell
    for cell in (
        chatbot, translator, summarizer, assistant, embedder, listener, transcriber, speaker,
        detector, segmenter, matcher, captioner, answerer, classifier, gemini,
    )
}  # fmt: skip


def proof(role: str, tier: str, folder: Path) -> dict:
    """Where the weights in a folder come from, by the word of the Hub that holds them.

    Raises ValueError where the Hub's fingerprint of that file is another: a cache that a rehearsal
    has filled, or a damaged one.
    """
    from helpers.checkpoints import WEIGHTS, row
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    facts, commit = row(role, tier), folder.name  # the cache names a snapshot by its commit
    name = next(name for name in WEIGHTS if (folder / name).is_file())
    with (folder / name).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    told = get_hf_file_metadata(hf_hub_url(facts["id"], name, revision=commit), timeout=30)
    if told.etag != digest or told.commit_hash != commit:
        raise ValueError(
            f"{name} of {facts['id']} in this cache is not the Hub's at {commit[:12]}: delete "
            f"{folder.parents[1]} and run it again."
        )
    return {
        "checkpoint": facts["id"],
        "commit": commit,
        "weights": {"file": name, "sha256": digest, "bytes": told.size},
        "licence": facts["licence"],
    }


def peak_memory_mb() -> int:
    """The most memory that this process has held, in megabytes (10^6 bytes)."""
    if sys.platform == "win32":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 1e6)
    import resource

    unit = 1 if sys.platform == "darwin" else 1024
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e6)


def keep(answer: Answer, role: str, folder: Path) -> dict:
    """Write a cell's picture or sound, small, into a folder; say what was written."""
    if answer.drawn is not None:
        from io import BytesIO

        from PIL import Image

        answer.drawn.figure.savefig(drawn := BytesIO(), format="png", dpi=160, bbox_inches="tight")
        picture = Image.open(drawn).convert("RGB")
        picture.thumbnail((WIDTH, 2 * WIDTH))
        picture.save(folder / f"{role}.webp", quality=80, method=6)
        return {"picture": {"file": f"{role}.webp", "alt": answer.alt}}
    if answer.sound is not None:
        import soundfile

        soundfile.write(folder / f"{role}.ogg", *answer.sound, format="OGG", subtype="VORBIS")
        return {"sound": {"file": f"{role}.ogg"}}
    return {}


def ask_gemini() -> tuple[Answer, dict, float]:
    """Put page 1's questions to Gemini: the answers, what is known of it, and the seconds."""
    from google import genai
    from services.connect import GOOGLE, VARIABLES

    key = next(filter(None, (os.environ.get(name, "").strip() for name in VARIABLES)))
    address = os.environ.get("GOOGLE_GEMINI_BASE_URL") or GOOGLE
    patience = {"timeout": 60_000, "retry_options": {"attempts": 3}}  # milliseconds, attempts
    client = genai.Client(api_key=key, http_options={"base_url": address, **patience})
    start = time.perf_counter()
    answer = gemini(client)
    facts = {"task": "the Gemini API", "checkpoint": GEMINI_MODEL, "licence": "Google's terms"}
    return answer, facts, time.perf_counter() - start


def run(role: str, folder: Path) -> dict:
    """Run one role's cell on the tier of COURSE_TIER; its record, with files in a folder."""
    packages = ["torch", "transformers"]
    if role == GEMINI:
        answer, facts, seconds = ask_gemini()
        packages, device, tier = ["google-genai"], "Google's machines", "api"
    else:
        from helpers import checkpoint, setup
        from helpers.checkpoints import current_tier, row

        device = setup(role)
        tier, checkpoint_folder = current_tier().name, checkpoint(role)
        facts = {"task": row(role, tier)["task"]} | proof(role, tier, Path(checkpoint_folder))
        start = time.perf_counter()
        answer = CELLS[role](checkpoint_folder, device)
        seconds = time.perf_counter() - start
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python "
    pairs = [{"given": given, "came": " ".join(came.split())} for given, came in answer.pairs]
    return {
        "role": role,
        "tier": tier,
        "notebook": CELLS[role].__doc__.rstrip("."),
        **facts,
        "date": f"{datetime.now(UTC):%Y-%m-%d}",
        "machine": machine + platform.python_version(),
        "device": device,
        "versions": {name: version(name) for name in packages},
        "seconds": round(seconds, 1),  # from loading the weights, which are there, to the answer
        "peak_memory_mb": peak_memory_mb(),
        "answers": pairs,
        **keep(answer, role, folder),
        "code": textwrap.dedent(inspect.getsource(CELLS[role])),
    }


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("role", choices=CELLS)
    parser.add_argument("folder", type=Path)
    asked = parser.parse_args()
    record = json.dumps(run(asked.role, asked.folder), indent=2, ensure_ascii=False)
    (asked.folder / f"{asked.role}.json").write_text(record + "\n", encoding="utf-8")
