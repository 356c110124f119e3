"""What goes over the wire: the requests and the responses of the Gemini API that we speak.

As https://ai.google.dev/api has them in November 2026 and google-genai 3.6 and google-generativeai
0.8 send them: their bodies mix snake_case and camelCase, so both are read; camelCase is written.
What a field is for stands there; fields that are not here are read over.
"""

import base64
import binascii
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_camel


class Shape(BaseModel):
    """A message in which a field may be named in either way."""

    model_config = ConfigDict(
        alias_generator=to_camel, validate_by_name=True, validate_by_alias=True, extra="ignore"
    )

    def body(self) -> dict[str, Any]:
        """As it is written: camelCase, without what is not set."""
        return self.model_dump(mode="json", by_alias=True, exclude_none=True)


def _named(*names: str) -> BeforeValidator:
    """An enumeration of protocol buffers: google-generativeai sends the number of a name."""
    return BeforeValidator(
        lambda value: names[value] if type(value) is int and 0 <= value < len(names) else value
    )


def timestamp(when: datetime) -> str:
    """A time as Google writes it."""
    return when.astimezone(UTC).isoformat().replace("+00:00", "Z")


# Contents -------------------------------------------------------------------------------------


def _from_base64(value: object) -> object:
    """Bytes from base64, in either of its alphabets: google-genai writes the one for addresses."""
    if not isinstance(value, str | bytes):
        return value
    text = value if isinstance(value, bytes) else value.encode("ascii", "replace")
    try:
        return base64.b64decode(text.translate(bytes.maketrans(b"-_", b"+/")), validate=True)
    except binascii.Error:
        raise ValueError("it is not base64") from None


class Blob(Shape):
    """A file's bytes in the request itself."""

    mime_type: str
    data: Annotated[bytes, BeforeValidator(_from_base64)]


class FileData(Shape):
    """A file that was uploaded before."""

    file_uri: str
    mime_type: str | None = None


class FunctionCall(Shape):
    """The model asks for a function to be called."""

    name: str
    args: dict[str, Any] = {}
    id: str | None = None


class FunctionResponse(Shape):
    """What the function gave back."""

    name: str
    response: dict[str, Any]
    id: str | None = None


class Part(Shape):
    """One of these."""

    text: str | None = None
    inline_data: Blob | None = None
    file_data: FileData | None = None
    function_call: FunctionCall | None = None
    function_response: FunctionResponse | None = None

    @model_validator(mode="after")
    def _has_data(self) -> "Part":
        if sum(getattr(self, name) is not None for name in Part.model_fields) != 1:
            raise ValueError("a part has one of text, inlineData, fileData, functionCall and so on")
        return self


class Content(Shape):
    """What one side says."""

    role: Literal["user", "model", "function", "tool", "system"] | None = None
    parts: list[Part] = []


# Generating -----------------------------------------------------------------------------------


class GenerationConfig(Shape):
    """How to write; the limits are Google's."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    top_k: Annotated[int, Field(ge=1)] | None = None
    candidate_count: Annotated[int, Field(ge=1, le=8)] = 1
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    stop_sequences: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=5)] = []
    seed: int | None = None
    response_mime_type: Literal["text/plain", "application/json"] | None = None
    response_schema: dict[str, Any] | None = None
    response_json_schema: dict[str, Any] | bool | None = None


class FunctionDeclaration(Shape):
    """A function on offer."""

    name: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.-]{0,63}$")]
    description: str = ""
    parameters: dict[str, Any] | None = None
    parameters_json_schema: dict[str, Any] | None = None


class Tool(Shape):
    """Functions on offer; Google's own tools, search and code, are not here."""

    function_declarations: list[FunctionDeclaration] = []


MODES = ("MODE_UNSPECIFIED", "AUTO", "ANY", "NONE", "VALIDATED")


class FunctionCallingConfig(Shape):
    """ANY: a function must be called; NONE: none may be."""

    mode: Annotated[Literal[MODES], _named(*MODES)] = "AUTO"
    allowed_function_names: list[str] = []


class ToolConfig(Shape):
    """How functions are chosen."""

    function_calling_config: FunctionCallingConfig = FunctionCallingConfig()


HARMS = tuple(
    f"HARM_CATEGORY_{name}"
    for name in [
        "UNSPECIFIED",
        "DEROGATORY",
        "TOXICITY",
        "VIOLENCE",
        "SEXUAL",
        "MEDICAL",
        "DANGEROUS",
        "HARASSMENT",
        "HATE_SPEECH",
        "SEXUALLY_EXPLICIT",
        "DANGEROUS_CONTENT",
        "CIVIC_INTEGRITY",
    ]
)
THRESHOLDS = (
    "HARM_BLOCK_THRESHOLD_UNSPECIFIED",
    "BLOCK_LOW_AND_ABOVE",
    "BLOCK_MEDIUM_AND_ABOVE",
    "BLOCK_ONLY_HIGH",
    "BLOCK_NONE",
    "OFF",
)


class SafetySetting(Shape):
    """From what probability of a harm on a prompt is refused."""

    category: Annotated[Literal[HARMS], _named(*HARMS)]
    threshold: Annotated[Literal[THRESHOLDS], _named(*THRESHOLDS)]


class GenerateContentRequest(Shape):
    """generateContent and streamGenerateContent."""

    contents: Annotated[list[Content], Field(min_length=1)]
    system_instruction: Content | None = None
    generation_config: GenerationConfig = GenerationConfig()
    tools: list[Tool] = []
    tool_config: ToolConfig = ToolConfig()
    safety_settings: list[SafetySetting] = []


class ModalityTokenCount(Shape):
    """Tokens of one kind of input."""

    modality: Literal["TEXT", "IMAGE", "AUDIO"]
    token_count: int


class UsageMetadata(Shape):
    """The tokens of a request, counted."""

    prompt_token_count: int
    candidates_token_count: int = 0
    total_token_count: int
    prompt_tokens_details: list[ModalityTokenCount] = []


class Candidate(Shape):
    """One answer."""

    content: Content
    index: int
    finish_reason: Literal["STOP", "MAX_TOKENS", "OTHER"] | None = None


class SafetyRating(Shape):
    """How probable a harm is."""

    category: str
    probability: Literal["NEGLIGIBLE", "LOW", "MEDIUM", "HIGH"]
    blocked: bool | None = None


class PromptFeedback(Shape):
    """Why a prompt was refused."""

    block_reason: Literal["SAFETY"]
    safety_ratings: list[SafetyRating]


class GenerateContentResponse(Shape):
    """The answers, or in a stream a piece of them; or why there are none."""

    candidates: list[Candidate] | None = None
    prompt_feedback: PromptFeedback | None = None
    usage_metadata: UsageMetadata
    model_version: str
    response_id: str


class CountTokensRequest(Shape):
    """countTokens takes contents, or a whole request."""

    contents: list[Content] = []
    generate_content_request: GenerateContentRequest | None = None

    @model_validator(mode="after")
    def _has_data(self) -> "CountTokensRequest":
        if not self.contents and self.generate_content_request is None:
            raise ValueError("contents is not specified")
        return self


class CountTokensResponse(Shape):
    """How many tokens a prompt has."""

    total_tokens: int
    prompt_tokens_details: list[ModalityTokenCount] = []


# Models, embeddings, files --------------------------------------------------------------------


class Model(Shape):
    """A model on offer, with its limits in tokens."""

    name: str
    version: str
    display_name: str
    description: str
    input_token_limit: int
    output_token_limit: int
    supported_generation_methods: list[str]
    temperature: float | None = None
    max_temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None


TASK_TYPES = (
    "TASK_TYPE_UNSPECIFIED",
    "RETRIEVAL_QUERY",
    "RETRIEVAL_DOCUMENT",
    "SEMANTIC_SIMILARITY",
    "CLASSIFICATION",
    "CLUSTERING",
    "QUESTION_ANSWERING",
    "FACT_VERIFICATION",
    "CODE_RETRIEVAL_QUERY",
)


class EmbedContentRequest(Shape):
    """A text to embed; outputDimensionality: its first numbers alone, at length 1 again."""

    content: Content
    task_type: Annotated[Literal[TASK_TYPES], _named(*TASK_TYPES)] | None = None
    title: str | None = None
    output_dimensionality: Annotated[int, Field(ge=1)] | None = None


class BatchEmbedContentsRequest(Shape):
    """Texts to embed."""

    requests: Annotated[list[EmbedContentRequest], Field(min_length=1, max_length=100)]


class File(Shape):
    """An uploaded file."""

    name: str
    display_name: str = ""
    mime_type: str
    size_bytes: str
    create_time: str
    update_time: str
    expiration_time: str
    sha256_hash: str
    uri: str
    state: Literal["ACTIVE"] = "ACTIVE"


class FileToCome(Shape):
    """What a client says of a file before it sends it."""

    name: Annotated[str, Field(pattern=r"^files/[a-z0-9-]{1,40}$")] | None = None
    display_name: Annotated[str, Field(max_length=512, pattern=r"^.*$")] = ""
    mime_type: Annotated[str, Field(pattern=r"^[A-Za-z0-9.+-]+/[A-Za-z0-9.+-]+$")] | None = None


class UploadStart(Shape):
    """The body of an upload's first request."""

    file: FileToCome = FileToCome()


# Fine-tuning ----------------------------------------------------------------------------------


class TuningExample(Shape):
    """What somebody asks, and what is to be answered."""

    text_input: Annotated[str, Field(min_length=1, max_length=40_000)]
    output: Annotated[str, Field(min_length=1, max_length=5_000)]


class TuningExamples(Shape):
    """A list in a message of its own, as protocol buffers have it."""

    examples: Annotated[list[TuningExample], Field(min_length=1, max_length=500)]


class Dataset(Shape):
    """What to learn from."""

    examples: TuningExamples


class Hyperparameters(Shape):
    """How to learn."""

    epoch_count: Annotated[int, Field(ge=1, le=100)] = 5
    batch_size: Annotated[int, Field(ge=1, le=64)] = 4
    learning_rate: Annotated[float, Field(gt=0, le=0.1)] | None = None
    learning_rate_multiplier: Annotated[float, Field(gt=0, le=100)] | None = None


class TuningTask(Shape):
    """A training, as it is asked for."""

    training_data: Dataset
    hyperparameters: Hyperparameters = Hyperparameters()


class CreateTunedModel(Shape):
    """createTunedModel."""

    base_model: str
    display_name: Annotated[str, Field(max_length=40)] = ""
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    tuning_task: TuningTask


# Interactions ---------------------------------------------------------------------------------


class InteractionContent(BaseModel):
    """Text, or a file in the request (data) or uploaded before (uri)."""

    type: Literal["text", "image", "audio", "document"]
    text: str | None = None
    data: str | None = None
    uri: str | None = None
    mime_type: str | None = None


class InteractionStep(BaseModel):
    """What happened in an interaction: a side has spoken, or a function was called or answered."""

    type: Literal["user_input", "model_output", "function_call", "function_result"]
    content: list[InteractionContent] | None = None
    id: str | None = None
    name: str | None = None
    arguments: dict[str, Any] | None = None
    call_id: str | None = None
    result: Any = None


class InteractionTool(BaseModel):
    """A function on offer."""

    type: Literal["function"]
    name: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.-]{0,63}$")]
    description: str = ""
    parameters: dict[str, Any] | None = None


class InteractionConfig(BaseModel):
    """How to write."""

    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1)] | None = None
    stop_sequences: Annotated[list[Annotated[str, Field(min_length=1)]], Field(max_length=5)] = []
    seed: int | None = None
    tool_choice: Literal["auto", "any", "none", "validated"] = "auto"


class CreateInteraction(BaseModel):
    """interactions.create."""

    model: str
    input: str | InteractionContent | list[InteractionStep] | list[InteractionContent]
    system_instruction: str | None = None
    generation_config: InteractionConfig = InteractionConfig()
    response_format: dict[str, Any] | list[dict[str, Any]] | None = None
    response_mime_type: str | None = None
    tools: list[InteractionTool] = []
    previous_interaction_id: str | None = None
    store: bool = True
    stream: bool = False
