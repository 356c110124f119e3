"""Cards: the YAML at the head of a repository's README.md, from which the Hub makes its filters.

Fields: https://huggingface.co/docs/hub/model-cards and /docs/hub/spaces-config-reference.
"""

import re
from itertools import accumulate
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

HEAD = re.compile(r"\A---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|\Z)", re.DOTALL)
ARXIV = re.compile(r"arxiv\.org/(?:abs|pdf)/(\d{4}\.\d{4,5})")
# https://huggingface.co/docs/hub/repositories-licenses
LICENCES = """
apache-2.0 mit openrail bigscience-openrail-m creativeml-openrail-m bigscience-bloom-rail-1.0
bigcode-openrail-m afl-3.0 artistic-2.0 bsl-1.0 bsd bsd-2-clause bsd-3-clause bsd-3-clause-clear
c-uda cc cc0-1.0 cc-by-2.0 cc-by-2.5 cc-by-3.0 cc-by-4.0 cc-by-sa-3.0 cc-by-sa-4.0 cc-by-nc-2.0
cc-by-nc-3.0 cc-by-nc-4.0 cc-by-nd-4.0 cc-by-nc-nd-3.0 cc-by-nc-nd-4.0 cc-by-nc-sa-2.0
cc-by-nc-sa-3.0 cc-by-nc-sa-4.0 cdla-sharing-1.0 cdla-permissive-1.0 cdla-permissive-2.0 wtfpl
ecl-2.0 epl-1.0 epl-2.0 etalab-2.0 eupl-1.1 eupl-1.2 agpl-3.0 gfdl gpl gpl-2.0 gpl-3.0 lgpl
lgpl-2.1 lgpl-3.0 isc h-research intel-research lppl-1.3c ms-pl apple-ascl apple-amlr mpl-2.0
odc-by odbl openmdw-1.0 openrail++ osl-3.0 postgresql ofl-1.1 ncsa unlicense zlib pddl lgpl-lr
deepfloyd-if-license fair-noncommercial-research-license llama2 llama3 llama3.1 llama3.2 llama3.3
llama4 grok2-community gemma unknown other
""".split()  # noqa: SIM905
Colour = Literal["red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"]
Names = str | list[str]


class Card(BaseModel):
    """What the Hub checks in any card; other fields may be there too."""

    model_config = ConfigDict(extra="allow")

    license: Names | None = None
    tags: list[str] | None = None
    language: Names | None = None
    datasets: Names | None = None
    metrics: Names | None = None


class ModelCard(Card):
    """Of a model."""

    pipeline_tag: str | None = None
    library_name: str | None = None
    base_model: Names | None = None


class DatasetCard(Card):
    """Of a dataset."""

    pretty_name: str | None = None
    task_categories: Names | None = None
    size_categories: Names | None = None


class SpaceCard(Card):
    """Of a Space: how it is built and shown."""

    title: Annotated[str, Field(max_length=100)] | None = None
    emoji: Annotated[str, Field(max_length=16)] | None = None
    colorFrom: Colour | None = None
    colorTo: Colour | None = None
    sdk: Literal["gradio", "docker", "static"]
    sdk_version: Annotated[str, Field(pattern=r"^\d+\.\d+\.\d+$")] | None = None
    python_version: Annotated[str | float, Field(coerce_numbers_to_str=True)] | None = None
    app_file: str | None = None
    app_port: Annotated[int, Field(ge=1, le=65_535)] | None = None
    short_description: Annotated[str, Field(max_length=60)] | None = None
    pinned: bool | None = None
    models: list[str] | None = None


CARDS = {"models": ModelCard, "datasets": DatasetCard, "spaces": SpaceCard}


class Loader(yaml.SafeLoader):
    """YAML as the Hub reads it: a date is text, and nothing is merged (<<: *a can multiply)."""

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Leave a mapping as it is written."""


Loader.yaml_implicit_resolvers = {
    first: [(tag, regexp) for tag, regexp in rows if not tag.endswith((":timestamp", ":merge"))]
    for first, rows in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# What SafeLoader raises besides its own: `!!int ""` is an IndexError, `!!bool x` a KeyError.
UNREADABLE = (
    yaml.YAMLError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    ArithmeticError,
    RecursionError,
)


def read(text: str | None) -> dict:
    """The metadata of a card; empty where it has none that can be read."""
    found = HEAD.match(text or "")
    if not found or len(found[1]) > 100_000:
        return {}
    # A parser in Python takes seconds for a thousand brackets in each other.
    steps = (1 if bracket in "[{" else -1 for bracket in re.findall(r"[\[\]{}]", found[1]))
    if max(accumulate(steps), default=0) > 100:
        return {}
    try:
        data = yaml.load(found[1], Loader)
    except UNREADABLE:
        return {}
    return data if isinstance(data, dict) and plain(data) else {}


def plain(data: object, depth: int = 0, seen: list[int] | None = None) -> bool:
    """Whether it is data that JSON has too, and not much of it: YAML's anchors can multiply.

    Half a character, what is no number (.nan), and thousands of digits cannot be sent.
    """
    seen = [0] if seen is None else seen
    seen[0] += 1
    if seen[0] > 20_000 or depth > 20:
        return False
    if isinstance(data, dict):
        keys = all(isinstance(key, str) and plain(key, depth, seen) for key in data)
        return keys and all(plain(value, depth + 1, seen) for value in data.values())
    if isinstance(data, list):
        return all(plain(item, depth + 1, seen) for item in data)
    if isinstance(data, str):
        return not re.search("[\ud800-\udfff]", data)
    if isinstance(data, int | float):
        return -1e300 < data < 1e300  # false for what is no number too
    return data is None


def problems(text: str, kind: str) -> list[str]:
    """What the Hub would refuse in a README.md, each with its field; nothing where it is well."""
    if not HEAD.match(text):
        return [] if kind != "spaces" else ["the card must begin with YAML between two lines ---"]
    data = read(text)
    if not data:
        return ["the YAML between the two lines --- cannot be read as names and values"]
    found = []
    try:
        CARDS[kind].model_validate(data)
    except ValidationError as error:
        for one in error.errors():
            place = ".".join(str(part) for part in one["loc"] if part not in ("str", "list[str]"))
            said = f'"{place}": {one["msg"].removeprefix("Value error, ")}'
            found.append(f'"{place}" is required' if one["type"] == "missing" else said)
    for licence in several(data.get("license")):
        if licence not in LICENCES:
            found.append(f'"license": {licence!r} is none of the Hub\'s, such as apache-2.0, mit')
    return list(dict.fromkeys(found))


def several(value: object) -> list[str]:
    """One name or several, as a list."""
    return [str(one) for one in (value if isinstance(value, list) else [value]) if one is not None]


def tags(data: dict, text: str, files: set[str], kind: str) -> list[str]:
    """The Hub's tags of a repository: what its filters look for."""
    found = []
    if kind == "models":
        found += several(data.get("library_name"))
        if any(name.endswith(".safetensors") for name in files):
            found.append("safetensors")
        found += several(data.get("pipeline_tag"))
        found += several(data.get("language"))
        found += [f"dataset:{name}" for name in several(data.get("datasets"))]
        found += [f"base_model:{name}" for name in several(data.get("base_model"))]
    elif kind == "datasets":
        for name in ("task_categories", "language", "size_categories"):
            found += [f"{name}:{value}" for value in several(data.get(name))]
        if any(name.endswith(".parquet") for name in files):
            found += ["format:parquet"]
    else:
        found += several(data.get("sdk"))
    found += several(data.get("tags"))
    found += [f"arxiv:{number}" for number in ARXIV.findall(text)]
    found += [f"license:{name}" for name in several(data.get("license"))]
    return list(dict.fromkeys(found))
