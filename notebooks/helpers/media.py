"""Pictures, sounds and labelled examples, by name and tier; and how a notebook shows and plays them.

Your own go in the same way: `media.image("my.jpg")`, an address, or the bytes of an upload.
"""

import base64
import html
import io
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageOps

from helpers import checkpoints
from helpers.checkpoints import ASSETS, catalog, choose_from

if TYPE_CHECKING:
    from datasets import Dataset

MAX_BYTES = 25_000_000
MAX_PIXELS = 50_000_000
MAX_SECONDS = 600  # of sound
DOWNLOAD_SECONDS = 20
MAX_REDIRECTS = 3
# Only what these libraries decode by themselves: no Ghostscript behind an .eps, no ffmpeg behind an .mp4.
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
AUDIO_FORMATS = {
    "wav": "WAV",
    "flac": "FLAC",
    "ogg": "OGG",
    "oga": "OGG",
    "opus": "OGG",
    "mp3": "MP3",
}
SHOWN_WIDTH = 768  # pixels: enough for a notebook's column, small enough to store
MP3_RATES = (8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000)


# ------------------------------------------------------------------------------------------- reading


def image(source: str | Path | bytes) -> Image.Image:
    """One picture, upright and in RGB.

    Args:
        source: a name (a photograph such as "cat", or a place of Toytown such as "park"), a path, an http(s)
            address, or the bytes of a file (JPEG, PNG, WEBP, GIF, BMP or TIFF).

    Returns:
        A PIL image in mode RGB, turned as its EXIF orientation says, transparency over white.

    Raises:
        ValueError: an unknown name; or a file that is empty, too large, damaged or not of the type it claims.
        FileNotFoundError: no file at that path. ConnectionError: an address that does not deliver.
    """
    if isinstance(source, str) and not _is_place(source):
        source = _named_image(source)
    data, name = _read(source, "picture")
    try:
        picture = Image.open(io.BytesIO(data), formats=IMAGE_FORMATS)
        width, height = picture.size
        if width * height <= MAX_PIXELS:
            picture.load()
    except Image.DecompressionBombError:
        width = height = MAX_PIXELS
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{name} cannot be read as a picture (it is damaged or of another type): open it in a picture "
            f"viewer and save it as JPEG or PNG."
        ) from error
    if width * height > MAX_PIXELS:
        raise ValueError(
            f"{name} has more than {MAX_PIXELS // 10**6} million pixels: make it smaller first."
        )
    claimed = Image.registered_extensions().get(Path(name).suffix.lower())
    if claimed and claimed != picture.format and {claimed, picture.format} != {"JPEG", "MPO"}:
        raise ValueError(
            f"{name} holds a {picture.format}, not a {claimed}: correct its ending first."
        )
    picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def audio(source: str | Path | bytes, sampling_rate: int = 16_000) -> tuple[np.ndarray, int]:
    """One sound, mono, at the sampling rate a model wants.

    Args:
        source: a name (a file of assets/audio without its ending), a path, an http(s) address, or the bytes of
            a file (WAV, FLAC, OGG or MP3).
        sampling_rate: in Hz.

    Returns:
        The waveform, float32 of shape (samples,) within [-1, 1], and its sampling rate in Hz.

    Raises:
        ValueError: an unknown name; or a file that is empty, too long, damaged or not of the type it claims.
        FileNotFoundError: no file at that path. ConnectionError: an address that does not deliver.
    """
    import soundfile
    import soxr

    if isinstance(source, str) and not _is_place(source):
        names = {file.stem: file for file in (ASSETS / "audio").rglob("*.*") if _sound_format(file)}
        source = names[choose_from("sound", source, names)]
    data, name = _read(source, "sound")
    try:
        information = soundfile.info(io.BytesIO(data))
        if information.frames <= MAX_SECONDS * information.samplerate:
            waveform, rate = soundfile.read(io.BytesIO(data), dtype="float32", always_2d=True)
    except (soundfile.LibsndfileError, RuntimeError) as error:
        raise ValueError(
            f"{name} cannot be read as a sound (it is damaged or of another type): save it as WAV, FLAC, OGG or "
            f"MP3."
        ) from error
    if information.frames > MAX_SECONDS * information.samplerate:
        raise ValueError(f"{name} is longer than {MAX_SECONDS // 60} minutes: cut it first.")
    claimed = _sound_format(Path(name))
    if claimed and information.format.replace("MPEG", "MP3").removesuffix("EX") != claimed:
        raise ValueError(
            f"{name} holds {information.format}, not {claimed}: correct its ending first."
        )
    if waveform.size == 0 or not np.isfinite(waveform).all():
        raise ValueError(f"{name} holds no sound: record it again.")
    mono = soxr.resample(waveform.mean(axis=1), rate, sampling_rate).astype(np.float32)
    return mono / max(1.0, float(np.abs(mono).max(initial=0.0))), sampling_rate


def examples(task: str) -> "Dataset":
    """A small labelled set that no checkpoint of this tier was trained on.

    Args:
        task: "detection" (columns image, objects {bbox: COCO x, y, width, height in pixels; category: labels}
            and on micro place, caption), or a file of assets/text without its ending, such as "messages".

    Raises:
        ValueError: for an unknown task. ConnectionError: if the public data set cannot be reached.
    """
    sets = catalog()["examples"]
    texts = {file.stem: f"text/{file.name}" for file in (ASSETS / "text").glob("*.jsonl")}
    choose_from("examples", task, {*sets, *texts})
    facts = sets.get(task, {"micro": texts.get(task)})
    if "hub" in facts and checkpoints.current_tier().name != "micro":
        return _hub_examples(facts["hub"])
    path = ASSETS / facts["micro"]
    table = path / "metadata.jsonl" if path.is_dir() else path
    if not table.is_file():
        raise FileNotFoundError(
            f"The {task} examples are not in this version of the course: {table}."
        )
    from datasets import Dataset
    from datasets import Image as ImageFeature

    rows = [json.loads(line) for line in table.read_text(encoding="utf-8").splitlines()]
    for entry in rows:
        if "file_name" in entry:
            entry["image"] = str(path / entry.pop("file_name"))
    dataset = Dataset.from_list(rows)
    return dataset.cast_column("image", ImageFeature()) if path.is_dir() else dataset


def _hub_examples(facts: dict) -> "Dataset":
    from datasets import Dataset, load_dataset

    try:
        stream = load_dataset(facts["id"], split=facts["split"], streaming=True)
        rows = list(stream.take(facts["rows"]))
    except OSError as error:  # requests' and httpx's errors, and datasets' own, are all OSErrors
        raise ConnectionError(
            f"{facts['id']} cannot be fetched ({type(error).__name__}): check the network and try again, or use "
            f"setup(tier='micro')."
        ) from None
    if facts.get("boxes") == "xyxy":  # one form for every tier: COCO's, with labels as words
        names = stream.features["objects"]["category"].feature
        for entry in rows:
            boxes, labels = entry["objects"]["bbox"], entry["objects"]["category"]
            entry["objects"] = {
                "bbox": [[x, y, right - x, bottom - y] for x, y, right, bottom in boxes],
                "category": [names.int2str(label) for label in labels],
            }
    return Dataset.from_list(rows)


def _is_place(source: str) -> bool:
    """Whether a string is an address or a path rather than a name of the course."""
    return "://" in source or bool(Path(source).suffix) or "/" in source or "\\" in source


def _named_image(name: str) -> Path:
    photographs = catalog()["images"]["photographs"]
    scenes = {}
    folder = ASSETS / catalog()["examples"]["detection"]["micro"]
    if (folder / "metadata.jsonl").is_file():
        for line in (folder / "metadata.jsonl").read_text(encoding="utf-8").splitlines():
            scene = json.loads(line)
            scenes.setdefault(scene["place"], folder / scene["file_name"])
    if choose_from("picture", name, {*photographs, *scenes}) in photographs:
        from importlib.util import find_spec

        # Not skimage.data.cat(): importing scikit-image costs a second, and the file is all we need.
        return Path(find_spec("skimage").submodule_search_locations[0]) / "data" / photographs[name]
    return scenes[name]


def _sound_format(file: Path) -> str | None:
    return AUDIO_FORMATS.get(file.suffix.lower().lstrip("."))


def _read(source: str | Path | bytes, kind: str) -> tuple[bytes, str]:
    """A source's bytes and the name to call it by, never more than MAX_BYTES of them."""
    if isinstance(source, bytes | bytearray):
        data, name = bytes(source), f"This {kind}"
    elif isinstance(source, str) and "://" in source:
        data, name = _download(source), source.split("?")[0].rsplit("/", 1)[-1] or source
    elif isinstance(source, str | Path):
        path, name = Path(source).expanduser(), Path(source).name
        if not path.is_file():
            raise FileNotFoundError(
                f"There is no file {source}: check the path, or upload the {kind} first."
            )
        with path.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    else:
        raise TypeError(
            f"A {kind} comes from a name, a path, an address or bytes, not {type(source).__name__}."
        )
    if len(data) > MAX_BYTES:
        raise ValueError(f"{name} is larger than {MAX_BYTES // 10**6} MB: make it smaller first.")
    if not data:
        raise ValueError(f"{name} is empty (0 bytes): choose another {kind} or upload it again.")
    return data, name


def _download(address: str) -> bytes:
    """Fetch an http(s) address within a bound on bytes, seconds and redirects."""
    import requests

    if not address.startswith(("http://", "https://")):
        raise ValueError(f"{address} is not a web address: it must begin with http:// or https://.")
    end = time.monotonic() + DOWNLOAD_SECONDS
    data = bytearray()
    try:
        with requests.Session() as session:
            session.max_redirects = MAX_REDIRECTS
            with session.get(address, stream=True, timeout=5) as response:
                response.raise_for_status()
                for chunk in response.iter_content(65_536):
                    data += chunk
                    if len(data) > MAX_BYTES:
                        break
                    if time.monotonic() > end:
                        raise requests.Timeout(f"after {DOWNLOAD_SECONDS} s")
    except requests.RequestException as error:
        raise ConnectionError(
            f"{address} cannot be fetched ({type(error).__name__}): check the address in a browser, or save the "
            f"file and give its path."
        ) from None
    return bytes(data)


# ------------------------------------------------------------------------------------------- showing


def show(picture: Image.Image, alt: str) -> None:
    """Display a picture, stored small, with the text that stands for it where it cannot be seen.

    Args:
        picture: a PIL image; shown at most 768 pixels wide.
        alt: what the picture shows, in words.
    """
    from IPython.display import Image as Shown
    from IPython.display import display

    if not alt.strip():
        raise ValueError("Say what the picture shows: show(picture, alt='A red bus in a street').")
    picture = picture.convert("RGB")
    if picture.width > SHOWN_WIDTH:
        picture = picture.resize((SHOWN_WIDTH, round(picture.height * SHOWN_WIDTH / picture.width)))
    encodings = {}
    for form, options in {"jpeg": {"quality": 85}, "png": {}}.items():
        picture.save(buffer := io.BytesIO(), form, optimize=True, **options)
        encodings[form] = buffer.getvalue()
    form = min(encodings, key=lambda name: len(encodings[name]))  # drawings: PNG, photographs: JPEG
    display(Shown(data=encodings[form], format=form, alt=alt))


def play(waveform: np.ndarray, sampling_rate: int, transcript: str) -> None:
    """Display a player, stored compressed, with what is heard written under it.

    Args:
        waveform: shape (samples,), within [-1, 1]; a tensor will do.
        sampling_rate: in Hz.
        transcript: what is heard, in words.
    """
    import soundfile
    import soxr
    from IPython.display import HTML, display

    samples = np.asarray(waveform, dtype=np.float32).squeeze()
    if samples.ndim != 1 or samples.size == 0 or not np.isfinite(samples).all():
        raise ValueError(f"play() takes one channel of finite samples, not shape {samples.shape}.")
    if not transcript.strip():
        raise ValueError(
            "Say what is heard: play(waveform, sampling_rate, transcript='Good morning.')."
        )
    if sampling_rate not in MP3_RATES:
        samples, sampling_rate = soxr.resample(samples, sampling_rate, 24_000), 24_000
    # MP3, because every browser plays it, Safari included; about a tenth of the WAV.
    soundfile.write(buffer := io.BytesIO(), np.clip(samples, -1, 1), sampling_rate, format="MP3")
    data = base64.b64encode(buffer.getvalue()).decode()
    display(
        HTML(
            f'<figure><audio controls preload="metadata" src="data:audio/mpeg;base64,{data}"></audio>'
            f"<figcaption>{html.escape(transcript)}</figcaption></figure>"
        )
    )
