"""What a request asks for: the prompt that the assistant reads, or what another model has answered.

The assistant reads text alone. What a picture or a sound holds is told by the course's models for
that; where the question is theirs (what is said? where are the dogs?), their answer is the answer.
"""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from PIL import Image
from transformers import PreTrainedTokenizerBase

from services.engine import Settings
from services.errors import Refused
from services.parts import Document, Piece
from services.senses import Senses
from services.shapes import (
    Content,
    FunctionDeclaration,
    GenerateContentRequest,
    ModalityTokenCount,
    Part,
)

DEFAULT_TEMPERATURE, DEFAULT_TOP_P, DEFAULT_TOP_K = 1.0, 0.9, 64
MOST_FILES, MOST_PIXELS = 16, 100_000_000  # of a request
Opener = Callable[[Part, str], Piece]  # a part with a file, and the path of its field


@dataclass(frozen=True)
class Asked:
    """A request, understood.

    prompt: the assistant's tokens. said: gives the answer of another model, which then stands, and
    takes its time for that. functions: those that may be called, by name. counts: tokens of
    pictures and sounds beside the prompt's.
    """

    prompt: list[int]
    settings: Settings
    said: Callable[[], str] | None = None
    functions: dict[str, FunctionDeclaration] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def tokens(self) -> list[ModalityTokenCount]:
        """The tokens of the input, by their kind."""
        counts = {"TEXT": len(self.prompt)} | self.counts
        return [ModalityTokenCount(modality=kind, token_count=n) for kind, n in counts.items() if n]


def understood(
    request: GenerateContentRequest,
    open_file: Opener,
    senses: Senses,
    words: PreTrainedTokenizerBase,
    to_answer: bool = True,
) -> Asked:
    """Read a request; one that is counted alone may end with the model's own words.

    Raises Refused: 400 for what cannot be, with the field that is wrong; 404 and 415 for its files.
    """
    schema = _schema(request)
    # Other models answer in words and boxes: a schema that wants none is the assistant's.
    free = schema is None or "box_2d" in json.dumps(schema)
    functions = _functions(request)
    messages: list[dict[str, str]] = []
    if request.system_instruction:
        messages += [{"role": "system", "content": _text(request.system_instruction)}]
    counts = {"IMAGE": 0, "AUDIO": 0}
    said, pixels = None, 0
    parts = [part for content in request.contents for part in content.parts]
    if sum(bool(part.inline_data or part.file_data) for part in parts) > MOST_FILES:
        raise Refused(400, f"A request has at most {MOST_FILES} files.", "contents")
    for number, content in enumerate(request.contents):
        where = f"contents[{number}]"
        if content.role == "system":
            raise Refused(400, "Give it as systemInstruction.", f"{where}.role")
        if not content.parts:
            raise Refused(400, "A content has at least one part.", f"{where}.parts")
        pieces = [
            open_file(part, f"{where}.parts[{i}]") if part.inline_data or part.file_data else part
            for i, part in enumerate(content.parts)
        ]
        pixels += sum(p.width * p.height for p in pieces if isinstance(p, Image.Image))
        if pixels > MOST_PIXELS:
            raise Refused(400, f"Its pictures have over {MOST_PIXELS:,} pixels.", where)
        for piece in pieces:
            counts["IMAGE"] += senses.picture_tokens if isinstance(piece, Image.Image) else 0
            counts["AUDIO"] += senses.sound_tokens(piece) if isinstance(piece, np.ndarray) else 0
        last = number == len(request.contents) - 1
        message, said = _message(content, pieces, senses, last and free and not functions, schema)
        messages.append(message)
    if messages[-1]["role"] == "assistant" and to_answer:
        raise Refused(400, "The last content is the model's: ask something.", "contents")
    if schema is not None and said is None:
        messages[-1]["content"] = _by_schema(messages[-1]["content"], schema)
    if _must_call(request) and functions:
        schema = _calls(functions)
    # Half of a character is a UnicodeEncodeError here, and something else in the tokenizer.
    tools = _offered(functions)
    json.dumps([messages, tools], ensure_ascii=False).encode()
    prompt = words.apply_chat_template(
        messages, tools=tools, add_generation_prompt=True, return_dict=False
    )
    return Asked(prompt, _settings(request, schema), said, functions, counts)


def _settings(request: GenerateContentRequest, schema: dict | bool | None) -> Settings:
    config = request.generation_config
    heat = config.temperature
    return Settings(
        # What is next to nothing is nothing: divided by it, logits would be infinite.
        temperature=DEFAULT_TEMPERATURE if heat is None else 0 if heat < 0.001 else heat,
        top_p=config.top_p or DEFAULT_TOP_P,
        top_k=config.top_k or DEFAULT_TOP_K,
        seed=config.seed,
        limit=config.max_output_tokens,
        stops=tuple(config.stop_sequences),
        schema=schema,
    )


# Messages -------------------------------------------------------------------------------------


def _message(
    content: Content,
    pieces: list[Part | Piece],
    senses: Senses,
    may_answer: bool,
    schema: dict | bool | None,
) -> tuple[dict[str, str], Callable[[], str] | None]:
    """A content as a message of a chat, and what gives the answer where that is another model's."""
    for part in pieces:
        if isinstance(part, Part) and part.function_call:
            call = part.function_call
            said = json.dumps({"name": call.name, "arguments": call.args})
            return {"role": "assistant", "content": said}, None
        if isinstance(part, Part) and part.function_response:
            given = json.dumps(part.function_response.response)
            return {"role": "tool", "content": given}, None
    text = _text(content)
    pictures = [piece for piece in pieces if isinstance(piece, Image.Image)]
    sounds = [piece for piece in pieces if isinstance(piece, np.ndarray)]
    documents = "\n".join(piece.text for piece in pieces if isinstance(piece, Document))
    role = "assistant" if content.role == "model" else "user"
    if pictures and not sounds and not documents:
        if may_answer and (said := _seen(pictures, text, senses, schema)):
            return {"role": role, "content": text}, said
        captions = " and ".join(senses.caption(picture) for picture in pictures)
        return {"role": role, "content": f"Describe the picture. Caption: {captions}"}, None

    def transcript() -> str:
        return "\n".join(_heard(sound, text, senses) for sound in sounds)

    if sounds and may_answer and not pictures and not documents and _is_about_speech(text):
        return {"role": role, "content": text}, transcript
    told = [f"The picture shows {senses.caption(picture)}." for picture in pictures]
    read = "\n".join([*told, transcript(), documents]).strip()
    if read and text.rstrip().endswith("?"):
        return {"role": role, "content": f"Text: {' '.join(read.split())} Question: {text}"}, None
    return {"role": role, "content": f"{text} {read}".strip()}, None


def _text(content: Content) -> str:
    return "\n".join(part.text for part in content.parts if part.text is not None).strip()


def _seen(
    pictures: list[Image.Image], text: str, senses: Senses, schema: dict | bool | None
) -> Callable[[], str] | None:
    """What gives boxes, where they are asked for, or the answer to a question; None: describe."""
    if "box_2d" in json.dumps(schema) or re.search(r"(?i)\b(boxes|bounding box|detect)\b", text):
        return lambda: json.dumps([box for picture in pictures for box in senses.boxes(picture)])
    if schema is not None or re.search(r"(?i)describe|caption|what is in (the|this)", text):
        return None
    if not text.rstrip().endswith("?"):
        return None
    question = text[max(text.rfind(end, 0, -1) for end in ".!?\n") + 1 :].strip()
    return lambda: "\n".join(senses.answer(picture, question) for picture in pictures)


TRANSLATED, TIMED = r"(?i)\b(translat|in english)", r"(?i)\b(time ?stamp|subtitle)"


def _is_about_speech(text: str) -> bool:
    about = (
        rf"(?i)transcri|what (is|was|does|do|did) .*\b(sa(id|y)|hear)|{TRANSLATED[4:]}|{TIMED[4:]}"
    )
    return not text or bool(re.search(about, text[:500]))  # its time grows with the square


def _heard(sound: np.ndarray, text: str, senses: Senses) -> str:
    said = senses.heard(sound, "translate" if re.search(TRANSLATED, text) else "transcribe")
    if re.search(TIMED, text):
        return "\n".join(f"[{_clock(begin)} - {_clock(end)}] {line}" for line, begin, end in said)
    return " ".join(line for line, *_ in said)


def _clock(seconds: float) -> str:
    minutes, tenths = divmod(round(10 * seconds), 600)
    return f"{minutes:02}:{tenths / 10:04.1f}"


# JSON and functions ---------------------------------------------------------------------------


def _schema(request: GenerateContentRequest) -> dict | bool | None:
    """The JSON schema that the answer must fulfil; True: any JSON; None: it is no JSON."""
    config = request.generation_config
    if config.response_schema is not None and config.response_json_schema is not None:
        both = "Give one of responseSchema and responseJsonSchema."
        raise Refused(400, both, "generationConfig.responseSchema")
    schema = config.response_json_schema
    if config.response_schema is not None:
        schema = as_json_schema(config.response_schema)
    if schema is not None and config.response_mime_type != "application/json":
        needs = "A response schema needs the responseMimeType application/json."
        raise Refused(400, needs, "generationConfig.responseMimeType")
    return True if schema is None and config.response_mime_type == "application/json" else schema


# By their numbers in protocol buffers.
TYPES = ("type_unspecified", "string", "number", "integer", "boolean", "array", "object", "null")


def as_json_schema(schema: dict) -> dict:
    """An OpenAPI schema of Google's, with TYPES in capitals, as a JSON schema."""
    made = {}
    for key, value in schema.items():
        if key == "type":
            name = TYPES[value] if type(value) is int and 0 <= value < len(TYPES) else value
            made[key] = name.lower() if isinstance(name, str) else name
        elif key in ("items", "additionalProperties") and isinstance(value, dict):
            made[key] = as_json_schema(value)
        elif key == "properties" and isinstance(value, dict):
            made[key] = {
                name: as_json_schema(one) if isinstance(one, dict) else one
                for name, one in value.items()
            }
        elif key in ("anyOf", "any_of") and isinstance(value, list):
            made["anyOf"] = [as_json_schema(one) for one in value if isinstance(one, dict)]
        elif key in ("enum", "required", "minimum", "maximum", "pattern", "const"):
            made[key] = value
        elif key in ("minItems", "maxItems", "minLength", "maxLength"):
            if not str(value).isascii() or not str(value).isdigit():
                raise Refused(400, f"{key} is no number.", "generationConfig.responseSchema")
            made[key] = int(str(value)[:9])
    if schema.get("nullable") and "type" in made:
        made["type"] = [made["type"], "null"]
    if made.get("type") == "object" and "properties" in made:
        made.setdefault("required", list(made["properties"]))
        made.setdefault("additionalProperties", False)
    return made


def _by_schema(text: str, schema: dict | bool) -> str:
    """The request as the assistant learnt to read it, where the schema is a flat form."""
    fields = schema.get("properties") if isinstance(schema, dict) else None
    if not fields or not all(isinstance(one, dict) for one in fields.values()):
        return text
    kinds = {name: one.get("type", "string") for name, one in fields.items()}
    return f"Extract as JSON {json.dumps(kinds)}: {text}"


def _functions(request: GenerateContentRequest) -> dict[str, FunctionDeclaration]:
    choice = request.tool_config.function_calling_config
    offered = [one for tool in request.tools for one in tool.function_declarations]
    names = [one.name for one in offered]
    if len(set(names)) < len(names):
        raise Refused(400, "Two functions have the same name.", "tools.functionDeclarations")
    if unknown := set(choice.allowed_function_names) - set(names):
        path = "toolConfig.functionCallingConfig.allowedFunctionNames"
        raise Refused(400, f"No function {sorted(unknown)[0]!r} is on offer.", path)
    allowed = choice.allowed_function_names or names
    return {one.name: one for one in offered if one.name in allowed and choice.mode != "NONE"}


def _parameters(function: FunctionDeclaration) -> dict:
    schema = function.parameters_json_schema or as_json_schema(function.parameters or {})
    return {"type": "object", "properties": {}} | schema


def _offered(functions: dict[str, FunctionDeclaration]) -> list[dict] | None:
    """Functions as `apply_chat_template` takes them."""
    return [
        {
            "type": "function",
            "function": {
                "name": one.name,
                "description": one.description,
                "parameters": _parameters(one),
            },
        }
        for one in functions.values()
    ] or None


def _must_call(request: GenerateContentRequest) -> bool:
    return request.tool_config.function_calling_config.mode == "ANY"


def _calls(functions: dict[str, FunctionDeclaration]) -> dict:
    """The schema of a call of one of these."""
    arguments = {name: _parameters(one) for name, one in functions.items()}
    definitions = [schema.pop("$defs", {}) for schema in arguments.values()]  # "#/$defs/…" is above
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": schema},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name, schema in arguments.items()
    ]
    return {"anyOf": calls, "$defs": {k: v for one in definitions for k, v in one.items()}}
