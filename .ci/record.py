"""Record what the real checkpoints answer, in assets/real, and write the page that shows it.

    python .ci/record.py                       every role of the small tier, and Gemini with a key
    python .ci/record.py --tier full detector  one role of another tier
    python .ci/record.py --page                only the page, from the records that are there
    python .ci/record.py --rehearse folder     on a local Hub; a rehearsal is never a result

For each role it runs the cell of record_cells.py in a process of its own and keeps a record: the
checkpoint's commit and fingerprint as the Hub has them, versions, date, machine, input, output,
seconds, memory. Where nothing but the day and the speed is new, the old record stays. This file
needs only the standard library, so that the page can be written where nothing is installed.
"""

import argparse
import html
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address
from pathlib import Path
from urllib.parse import urlsplit

from files import write
from record_cells import CELLS, GEMINI

ROOT = Path(__file__).resolve().parent.parent
REAL = ROOT / "assets" / "real"
MOST = 3_000_000  # bytes of all records together, so that a clone stays small
SECONDS = 600  # for one role, its download included
HUB, GOOGLE = "https://huggingface.co", "https://generativelanguage.googleapis.com"
KEYS = ("GEMINI_API_KEY", "GOOGLE_API_KEY")
THEIRS = (*KEYS, "HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "GITHUB_TOKEN", "GH_TOKEN")
CACHES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_DATASETS_CACHE", "HF_XET_CACHE")
SAME = (
    "checkpoint",
    "commit",
    "weights",
    "versions",
    "code",
    "answers",
    "licence",
    "task",
)  # else it is a new one
# The README's place for one sentence, which is there as long as there is a record.
PLACE = "<!-- .ci/record.py: what the real ones answered -->"
REHEARSAL = "# A rehearsal: these are no real results"
LINK = "What they answered in our last record is [here](assets/real/README.md)."


def is_here(address: str) -> bool:
    """Whether an address is one of this machine's own."""
    host = urlsplit(address).hostname or ""
    with suppress(ValueError):  # a name is no number
        return ip_address(host).is_loopback
    return host == "localhost" or host.endswith(".localhost")


def size(folder: Path) -> int:
    """The bytes of all files in a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def key() -> str:
    """The key for Gemini that the environment holds, or nothing."""
    return next(filter(None, (os.environ.get(name, "").strip() for name in KEYS)), "")


def one(role: str, tier: str, real: Path, hub_home: Path | None) -> tuple[str, dict]:
    """Run a role's cell and keep its record; ("new", "as before" or why it failed; the record)."""
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", *THEIRS)}
    environment["COURSE_TIER"] = tier  # by name, so that no failure is covered by another tier
    if role == GEMINI:
        environment["GEMINI_API_KEY"] = key()
    elif hub_home is None and "HF_TOKEN" in os.environ:  # it only raises the Hub's limits
        environment["HF_TOKEN"] = os.environ["HF_TOKEN"]
    if hub_home is not None:  # and no other name of a cache, which would win over it
        environment = {k: v for k, v in environment.items() if k not in CACHES}
        environment["HF_HOME"] = str(hub_home)
    target = real / ("api" if role == GEMINI else tier)
    real.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{role}-", dir=real.parent) as made:
        script = str(Path(__file__).with_name("record_cells.py"))
        try:
            ran = subprocess.run(
                [sys.executable, script, role, made],
                env=environment,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                encoding="utf-8",
                errors="replace",
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return f"not done after {SECONDS // 60} minutes", {}
        if ran.returncode:
            said = ran.stderr.strip().splitlines() or [f"it ended with {ran.returncode}"]
            return without_keys(said[-1])[:300], {}
        return take(role, Path(made), target, real, rehearsal=hub_home is not None)


def take(role: str, made: Path, target: Path, real: Path, rehearsal: bool) -> tuple[str, dict]:
    """Move a finished record to its place, if it is new, holds no key and is small enough."""
    record = json.loads((made / f"{role}.json").read_text("utf-8"))
    record = {"rehearsal": True} | record if rehearsal else record
    write(made / f"{role}.json", json.dumps(record, indent=2, ensure_ascii=False) + "\n")
    contents = [path.read_bytes() for path in made.iterdir()]
    if any(secret.encode() in content for secret in secrets() for content in contents):
        return "its answer holds a key of yours: nothing was kept", {}
    old = target / f"{role}.json"
    before = json.loads(old.read_text("utf-8")) if old.is_file() else {}
    if before and all(before.get(name) == record.get(name) for name in SAME):
        return "as before", before
    replaced = sum(path.stat().st_size for path in target.glob(f"{role}.*"))
    if size(real) - replaced + size(made) > MOST:
        return f"all records together would be over {MOST / 1e6:.0f} MB: nothing was kept", {}
    target.mkdir(parents=True, exist_ok=True)
    for path in target.glob(f"{role}.*"):
        if path.suffix != ".json" and not (made / path.name).exists():
            path.unlink()
    for path in sorted(made.iterdir(), key=lambda path: path.suffix == ".json"):  # that one last
        path.replace(target / path.name)
    return "new", record


def secrets() -> list[str]:
    """The values of the environment that must never be written."""
    return [value for name in THEIRS if (value := os.environ.get(name, "").strip())]


def without_keys(words: str) -> str:
    """The words, with every secret of the environment blotted out."""
    for secret in secrets():
        words = words.replace(secret, "[key]")
    return words


# --- the page ------------------------------------------------------------------------------------


def plain(words: str) -> str:
    """A model's words for a table of Markdown: nothing in them is markup."""
    words = html.escape(" ".join(words.split()), quote=False)
    return "".join(f"\\{letter}" if letter in "\\`*_[]|~$" else letter for letter in words)


def chapter(record: dict) -> str:
    """One record as Markdown."""
    folder, name = record["tier"], record["checkpoint"]
    commit, versions = record.get("commit"), record["versions"].items()
    shown = f"[{name}]({HUB}/{name}/tree/{commit})" if commit else f"`{name}`"
    task, notebook = record["task"], record["notebook"].replace("_", " ")
    lines = [
        f"### {record['role']}: {shown}",
        f"{task[0].upper()}{task[1:]}; taught in *{notebook}*.",
        "\n".join(
            ["| given | came |", "|---|---|"]
            + [f"| {plain(one['given'])} | {plain(one['came'])} |" for one in record["answers"]]
        ),
    ]
    if "picture" in record:
        picture = record["picture"]
        lines.append(f"![{plain(picture['alt'])}]({folder}/{picture['file']})")
    if "sound" in record:
        lines.append(f"[Hear it]({folder}/{record['sound']['file']})")
    facts = [record["date"], record["machine"], f"on {record['device']}"]
    facts += [f"{package} {number}" for package, number in versions]
    facts += [f"{record['seconds']} s", f"{record['peak_memory_mb']:,} MB"]
    if commit:
        weights = record["weights"]
        facts.append(f"commit {commit[:12]}, {weights['file']} sha256 {weights['sha256'][:12]}…")
    lines.append("; ".join([*facts, f"licence: {record['licence']}"]) + ".")
    code = f"```python\n{record['code'].rstrip()}\n```"
    lines.append(f"<details><summary>The cell</summary>\n\n{code}\n\n</details>")
    return "\n\n".join(lines)


def page(records: Iterable[dict]) -> str:
    """The page of all records."""
    records = list(records)
    title = "# What the real ones answered"
    about = (
        "Each answer below came out of a checkpoint of the Hugging Face Hub, or out of Gemini, by "
        "the cell under it, and stands as it came. Pictures are named as in `media.image`. Seconds "
        "count from loading the weights to the answer, memory is the process's peak. What a "
        "checkpoint has made may be used as its licence says.\n\n"
        "Written by `.ci/record.py`: edits are lost."
    )
    if any(record.get("rehearsal") for record in records):
        title = REHEARSAL
        about = "Tiny checkpoints with random weights stood in on a local Hub."
    parts = [title, about]
    for tier in ("small", "full", "api"):
        chapters = [chapter(record) for record in records if record["tier"] == tier]
        if chapters:
            parts += ["## The Gemini API" if tier == "api" else f"## The {tier} tier", *chapters]
    return "\n\n".join(parts) + "\n"


def publish(real: Path, readme: Path | None) -> int:
    """Write the page of the records in a folder, and the README's sentence; how many there are.

    Raises ValueError where a record is a rehearsal's, or the folder is too large.
    """
    order = {role: place for place, role in enumerate(CELLS)}
    found = [json.loads(path.read_text("utf-8")) for path in real.glob("*/*.json")]
    if readme and any(record.get("rehearsal") for record in found):
        raise ValueError(f"{real} holds records of a rehearsal: remove them.")
    if size(real) > MOST:
        raise ValueError(f"{real} holds over {MOST / 1e6:.0f} MB: remove what is not a record's.")
    if found:
        write(
            real / "README.md",
            page(sorted(found, key=lambda record: order.get(record["role"], len(order)))),
        )
    if readme:
        link_to_page(readme, bool(found))
    return len(found)


def link_to_page(readme: Path, there: bool) -> None:
    """Keep one sentence behind the README's mark for as long as there is a page to lead to."""
    before = readme.read_text("utf-8")
    after = before.replace(f"{PLACE}\n{LINK}\n", f"{PLACE}\n")
    if there and PLACE not in after:
        print(f"{readme.name} lacks the line {PLACE}: nothing leads to the page.", file=sys.stderr)
    if there:
        after = after.replace(f"{PLACE}\n", f"{PLACE}\n{LINK}\n")
    if after != before:
        write(readme, after)


def report(rows: list[tuple[str, str, dict]]) -> str:
    """A table of what became of each role."""
    lines = ["| role | checkpoint | time | memory | result |", "|---|---|---:|---:|---|"]
    for role, became, record in rows:
        figures = f"{record['seconds']} s | {record['peak_memory_mb']:,} MB" if record else "|"
        lines.append(f"| {role} | {record.get('checkpoint', '')} | {figures} | {plain(became)} |")
    return "\n".join(lines)


def main() -> int:
    """Record what the command line asks for; 0 when no role has failed, else 1."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("roles", nargs="*", help="roles of catalog.toml, or gemini (none: all)")
    parser.add_argument("--tier", default="small", help="small (the default) or full")
    parser.add_argument("--page", action="store_true", help="run nothing, write the page")
    parser.add_argument("--rehearse", type=Path, metavar="FOLDER", help="records for the bin")
    options = parser.parse_args()
    if unknown := set(options.roles) - CELLS.keys():
        parser.error(f"no role {', '.join(sorted(unknown))}: use {', '.join(CELLS)}")
    if options.tier not in ("small", "full"):
        parser.error(f"--tier is small or full, not {options.tier}: micro's results are in the "
                     "notebooks, and its checkpoints are the course's own")  # fmt: skip
    hub = os.environ.get("HF_ENDPOINT") or HUB
    google = os.environ.get("GOOGLE_GEMINI_BASE_URL") or GOOGLE
    real, hub_home = REAL, None
    if options.rehearse:
        real = options.rehearse.resolve()
        if key() and not is_here(google):
            parser.error("a rehearsal must not ask the real Gemini: unset its key, or set "
                         "GOOGLE_GEMINI_BASE_URL to a server on this machine")  # fmt: skip
        if not is_here(hub):
            parser.error(f"--rehearse is for a Hub on this machine, and HF_ENDPOINT is {hub}")
        if real.is_relative_to(ROOT / "assets"):
            parser.error("a rehearsal is no result: choose a folder outside of assets")
        # Its own cache: a tiny checkpoint never gets into a learner's under a real name.
        hub_home = Path(tempfile.mkdtemp(prefix="rehearsal-"))
    elif hub.rstrip("/") != HUB:
        parser.error(f"only {HUB} has the real checkpoints, and HF_ENDPOINT is {hub}: unset it, "
                     "or add --rehearse FOLDER")  # fmt: skip
    elif google.rstrip("/") != GOOGLE:
        parser.error(f"only {GOOGLE} is the real Gemini, and GOOGLE_GEMINI_BASE_URL is another: "
                     "unset it")  # fmt: skip
    readme = None if options.rehearse else ROOT / "README.md"
    rows: list[tuple[str, str, dict]] = []
    try:
        if options.rehearse:
            begin_rehearsal(real)
        if options.page:
            print(f"{publish(real, readme)} records")
        else:
            rows = record_all(options.roles or list(CELLS), options.tier, real, hub_home)
            publish(real, readme)
    except (OSError, ValueError) as problem:
        print(problem, file=sys.stderr)
        return 1
    finally:
        if hub_home:
            shutil.rmtree(hub_home, ignore_errors=True)
    return int(any(not record and not became.startswith("skipped") for _, became, record in rows))


def begin_rehearsal(folder: Path) -> None:
    """Mark a folder as a rehearsal's, to know it again; ValueError where it is somebody else's."""
    page = folder / "README.md"
    if page.is_file() and page.read_text("utf-8", errors="replace").startswith(REHEARSAL):
        return
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"{folder} holds something else than a rehearsal: choose another.")
    write(page, f"{REHEARSAL}\n")


def record_all(
    roles: list[str], tier: str, real: Path, hub_home: Path | None
) -> list[tuple[str, str, dict]]:
    """Record these roles, and print, here and on GitHub, a table of what became of each."""
    rows = []
    for role in roles:
        if role == GEMINI and not key():
            became, record = f"skipped: no key in {' or '.join(KEYS)}", {}
        else:
            print(f"{role} …", flush=True)
            became, record = one(role, tier, real, hub_home)
        rows.append((role, became, record))
    print(table := report(rows))
    if summary := os.environ.get("GITHUB_STEP_SUMMARY"):
        with Path(summary).open("a", encoding="utf-8") as file:
            file.write(f"## Recorded\n\n{table}\n\n")
    return rows


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("\nStopped. Run it again.")
