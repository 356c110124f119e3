"""Pictures, sounds and labelled examples by name and tier, or your own by path, address or bytes.

And how a notebook shows and plays them, so that what it stores stays small and says what it is.
"""

import base64
import html
import io
import json
import time
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageFilter, ImageOps

from helpers.checkpoints import ASSETS, catalog, choose_from, current_tier, endpoint, hub_answers

if TYPE_CHECKING:
    from datasets import Dataset

MAX_BYTES = 25_000_000
MAX_PIXELS = 50_000_000
MAX_SECONDS = 600  # of sound
MAX_SAMPLES = 60_000_000  # of all channels: ten minutes in stereo at 48,000 Hz, 240 MB decoded
DOWNLOAD_SECONDS = 20
# What Pillow and libsndfile decode by themselves: no Ghostscript for .eps, no ffmpeg for .mp4.
IMAGE_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF")
AUDIO_FORMATS = {".wav": "WAV", ".flac": "FLAC", ".ogg": "OGG", ".opus": "OGG", ".mp3": "MP3"}
SCENES = ASSETS / catalog()["examples"]["detection"]["micro"]
SHOWN_WIDTH = 768  # pixels: a notebook's column


def image(source: str | Path | bytes) -> Image.Image:
    """One picture, upright, RGB, transparency on white.

    Args:
        source: a name (a photograph such as "cat" or a place in Toytown such as "park"), a path, an
            http(s) address, or a file's bytes: JPEG, PNG, WEBP, GIF, BMP or TIFF, at most 25 MB and
            50 million pixels.

    Raises:
        ValueError: an unknown name; a file that is empty, too large, damaged or of another type.
        FileNotFoundError, ConnectionError: nothing at that path or address.
    """
    source = _named_image(source) if _is_name(source) else source
    data, name, ending = _read(source, "picture")
    try:
        picture = Image.open(io.BytesIO(data), formats=IMAGE_FORMATS)
        if picture.width * picture.height > MAX_PIXELS:  # known before the pixels are decoded
            raise Image.DecompressionBombError
        picture.load()
    except Image.DecompressionBombError:
        most = f"{MAX_PIXELS // 10**6} million pixels"
        raise ValueError(f"{name} has over {most}: make it smaller first.") from None
    except (OSError, SyntaxError, ValueError):  # Pillow raises each of them for damaged files
        sentence = f"{name} is damaged or no picture we read: save it as JPEG or PNG."
        raise ValueError(sentence) from None
    kind = picture.format.replace("MPO", "JPEG")  # a telephone's JPEG may hold a second picture
    claimed = Image.registered_extensions().get(ending, kind).replace("MPO", "JPEG")
    if claimed != kind:
        raise ValueError(f"{name} is no {claimed} but a {kind}: correct its ending.")
    with suppress(Exception):  # a damaged note on which side is up
        picture = ImageOps.exif_transpose(picture)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture.convert("RGB")


def audio(source: str | Path | bytes, sampling_rate: int = 16_000) -> tuple[np.ndarray, int]:
    """One sound, mono, at the sampling rate (in Hz) that a model wants.

    Args:
        source: a name (a file of assets/audio without its ending), a path, an http(s) address, or a
            file's bytes: WAV, FLAC, OGG or MP3, at most 25 MB and 10 minutes.
        sampling_rate: in Hz.

    Returns:
        The waveform, float32 of shape (samples,) in [-1, 1], and its sampling rate in Hz.

    Raises:
        ValueError: an unknown name; a file that is empty, too long, damaged or of another type.
        FileNotFoundError, ConnectionError: nothing at that path or address.
    """
    import soundfile
    import soxr

    if _is_name(source):
        files = (ASSETS / "audio").rglob("*.*")
        names = {file.stem: file for file in files if file.suffix in AUDIO_FORMATS}
        source = names[choose_from("sound", source, names)]
    data, name, ending = _read(source, "sound")
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            kind, rate, seconds = file.format, file.samplerate, file.frames / file.samplerate
            if seconds > MAX_SECONDS:
                most = MAX_SECONDS // 60
                raise ValueError(f"{name} lasts {seconds / 60:.0f} minutes: cut it to {most}.")
            if file.frames * file.channels > MAX_SAMPLES:
                most = f"{MAX_SAMPLES // 10**6} million samples"
                raise ValueError(f"{name} has over {most}: save it at 48,000 Hz, or as mono.")
            channels = file.read(dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        sentence = f"{name} is damaged or no sound we read: save it as WAV, FLAC, OGG or MP3."
        raise ValueError(sentence) from None
    kind = {"MPEG": "MP3", "WAVEX": "WAV"}.get(kind, kind)
    claimed = AUDIO_FORMATS.get(ending, kind)
    if claimed != kind:
        raise ValueError(f"{name} is no {claimed} but {kind}: correct its ending.")
    if not channels.size or not np.isfinite(channels).all():
        raise ValueError(f"{name} holds no sound: record it again.")
    waveform = soxr.resample(channels.mean(axis=1), rate, sampling_rate)
    if not waveform.size:
        raise ValueError(f"{name} is too short for a sample at {sampling_rate:,} Hz: record more.")
    # Resampling may overshoot, and float files may hold more than full scale.
    return waveform / max(1, np.abs(waveform).max(initial=0)), sampling_rate


def examples(task: str) -> "Dataset":
    """A small labelled set that this tier's checkpoints were not trained on.

    Args:
        task: "detection" (columns image and objects, which holds bbox: [x, y, width, height] in
            pixels, as in COCO, and category: the label; place and caption too on micro), "speech",
            "sounds" or "recordings" (audio, for `media.audio`, with text or label), or the name of
            a file in assets/text, such as "messages".

    Raises:
        ValueError: an unknown task. ConnectionError: the public data set is out of reach.
    """
    from datasets import Dataset
    from datasets import Image as ImageFeature

    texts = {file.stem: {"micro": f"text/{file.name}"} for file in ASSETS.glob("text/*.jsonl")}
    tasks = texts | catalog()["examples"]
    facts = tasks[choose_from("examples", task, tasks)]
    if "hub" in facts and current_tier().name != "micro":
        try:
            return _streamed(**facts["hub"])
        except ConnectionError as error:
            if current_tier().named:
                raise
            print(f"{error}\nThe examples of the micro tier take its place.")
    path = ASSETS / facts["micro"]
    if path.suffix == ".jsonl":
        rows = _lines(path)
        for row in rows:
            if "file" in row:
                row["audio"] = str(path.parent / row.pop("file"))
        return Dataset.from_list(rows)
    rows = [{"image": str(path / entry.pop("file_name"))} | entry for entry in scenes()]
    return Dataset.from_list(rows).cast_column("image", ImageFeature())


def _streamed(
    id: str,
    split: str,
    rows: int,
    config: str | None = None,
    boxes: str = "",
    more: dict | None = None,
) -> "Dataset":
    """The first rows of a public data set, with boxes, labels and columns as ours have them."""
    from datasets import Audio, Dataset, load_dataset

    if not hub_answers(5):  # datasets would try five times, for half a minute
        raise ConnectionError(f"{endpoint()} does not answer: check the network, or use micro.")
    try:
        stream = load_dataset(id, config, split=split, streaming=True)
        if "audio" in stream.features:  # its bytes: media.audio decodes them without torchcodec
            stream = stream.cast_column("audio", Audio(decode=False))
        found = [entry | (more or {}) for entry in stream.take(rows)]
    except Exception as error:  # datasets, fsspec and the Hub's client have no error in common
        sentence = f"{id} cannot be fetched ({type(error).__name__}): check the network,"
        raise ConnectionError(f"{sentence} or use tier='micro'.") from None
    for entry in found if "audio" in stream.features else ():
        entry["audio"] = entry["audio"]["bytes"]
    for entry in found if boxes == "xyxy" else ():
        objects = entry["objects"]
        labels = stream.features["objects"]["category"].feature.names
        entry["objects"] = {
            "bbox": [[x, y, right - x, below - y] for x, y, right, below in objects["bbox"]],
            "category": [labels[number] for number in objects["category"]],
        }
    return Dataset.from_list(found)


def fog(picture: Image.Image, density: float = 0.2) -> Image.Image:
    """The same picture through fog: paler by `density` (0 to 1), and blurred. Same size, RGB."""
    if not 0 <= density <= 1:
        raise ValueError(f"density is {density}: give a share from 0 (clear) to 1 (all grey).")
    grey = Image.new("RGB", picture.size, (205, 208, 212))
    blur = ImageFilter.GaussianBlur(picture.width / 300)
    return Image.blend(picture.convert("RGB"), grey, density).filter(blur)


def show(picture: Image.Image, alt: str) -> None:
    """Display a picture, at most 768 pixels wide, with the words for those who cannot see it."""
    from IPython.display import Image as Shown
    from IPython.display import display

    if not alt.strip():
        raise ValueError("Say what the picture shows: show(picture, alt='A bus in a street').")
    picture = picture.convert("RGB")
    if picture.width > SHOWN_WIDTH:
        picture = ImageOps.contain(picture, (SHOWN_WIDTH, picture.height))
    picture.save(file := io.BytesIO(), "jpeg", quality=88, optimize=True)
    display(Shown(file.getvalue(), format="jpeg", alt=alt))


def play(waveform: np.ndarray, sampling_rate: int, transcript: str, folded: bool = False) -> None:
    """Display a player, stored as MP3, with what is heard written under it.

    Args:
        waveform: shape (samples,), in [-1, 1].
        sampling_rate: in Hz.
        transcript: what is heard, in words.
        folded: show the words only after a click, where listening comes first.
    """
    import soundfile
    import soxr
    from IPython.display import HTML, display

    samples = np.asarray(waveform, dtype=np.float32).squeeze()
    if samples.ndim != 1 or not samples.size or not np.isfinite(samples).all():
        raise ValueError(f"A player takes finite numbers of shape (samples,), not {samples.shape}.")
    if not transcript.strip():
        raise ValueError("Say what is heard: play(waveform, 16_000, transcript='Good morning.').")
    if sampling_rate not in (8_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000):  # MP3's own
        samples, sampling_rate = soxr.resample(samples, sampling_rate, 24_000), 24_000
    # MP3, because every browser plays it, Safari too, and it is a tenth of a WAV.
    soundfile.write(file := io.BytesIO(), samples.clip(-1, 1), sampling_rate, format="MP3")
    sound = base64.b64encode(file.getvalue()).decode()
    player = f'<audio controls src="data:audio/mpeg;base64,{sound}"></audio>'
    words = html.escape(transcript)
    if folded:
        words = f"<details><summary>What is said</summary>{words}</details>"
    display(HTML(f"<figure>{player}<figcaption>{words}</figcaption></figure>"))


# --- reading -------------------------------------------------------------------------------------


def _is_name(source: object) -> bool:
    """Whether this is a name of the course: a string that is no address and no path."""
    return isinstance(source, str) and not any(mark in source for mark in "./\\:")


def _named_image(name: str) -> Path:
    photographs = catalog()["images"]
    places = {scene["place"]: SCENES / scene["file_name"] for scene in reversed(scenes())}
    choose_from("picture", name, photographs["by_name"].keys() | places.keys())
    if name in places and current_tier().name == "micro":
        return places[name]
    file = photographs["by_name"].get(name, photographs["by_place"].get(name, "chelsea.png"))
    # The file itself: importing scikit-image to read it would take a second.
    return Path(find_spec("skimage").origin).parent / "data" / file


def scenes() -> list[dict]:
    """What is known of each shipped scene: file_name, place, caption and objects."""
    return _lines(table) if (table := SCENES / "metadata.jsonl").is_file() else []


def _lines(file: Path) -> list[dict]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def _read(source: str | Path | bytes, kind: str) -> tuple[bytes, str, str]:
    """A source's bytes, at most MAX_BYTES of them, what to call it, and a file's ending."""
    if isinstance(source, bytes | bytearray):
        data, name, ending = bytes(source), f"This {kind}", ""
    elif isinstance(source, str) and ("://" in source or source.startswith("data:")):
        data, name, ending = _fetch(source), source.split("?")[0], ""  # it need not say its kind
    elif isinstance(source, str | Path):
        name, ending = Path(source).name, Path(source).suffix.lower()
        if not Path(source).expanduser().is_file():
            raise FileNotFoundError(f"There is no file {source}: check its path, or upload it.")
        with Path(source).expanduser().open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    else:
        raise TypeError(f"A {kind} is a name, path, address or bytes, not {type(source).__name__}.")
    if len(data) > MAX_BYTES:
        raise ValueError(f"{name} is over {MAX_BYTES // 10**6} MB: make it smaller first.")
    if not data:
        raise ValueError(f"{name} is empty: choose another {kind}, or upload it again.")
    return data, name, ending


def _fetch(address: str) -> bytes:
    """What is at an http(s) address, within bounds of bytes, seconds and redirects."""
    import requests
    from urllib3.exceptions import HTTPError

    if not address.lower().startswith(("http://", "https://")):
        begin = address[:60]  # of a picture's own bytes, where those were copied, more says nothing
        raise ValueError(f"{begin} is no web address: it must begin with https:// or http://.")
    end, data = time.monotonic() + DOWNLOAD_SECONDS, b""
    try:
        with requests.Session() as session:
            session.max_redirects = 3
            with session.get(address, stream=True, timeout=5) as response:
                response.raise_for_status()
                # read1 returns what has come: read would wait for more while a server drips.
                while len(data) <= MAX_BYTES and (part := response.raw.read1(decode_content=True)):
                    data += part
                    if time.monotonic() > end:
                        raise requests.Timeout
    except (requests.RequestException, HTTPError) as error:
        said = f"{address.split('?')[0]} cannot be fetched ({type(error).__name__})"  # unsigned
        sentence = f"{said}: check it in a browser,"
        raise ConnectionError(f"{sentence} or save the file and give its path.") from None
    return data
