"""What the local Gemini server refuses, how it says so, and that nothing makes it stumble."""

import base64
import io
import json
import os
import signal
import socket
import string
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import numpy as np
import psutil
import pytest
import soundfile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from pypdf import PdfWriter
from pypdf.generic import NameObject, StreamObject
from services import local
from services.errors import Refused
from services.gemini import main as gemini_main
from services.parts import opened
from services.shapes import FileToCome
from services.uploads import Uploads

MODEL = "/v1beta/models/gemini-flash-latest"
HELLO = {"contents": [{"role": "user", "parts": [{"text": "Hello!"}]}]}
ERROR = {"code", "message", "status", "details"}


@pytest.fixture(scope="module")
def server():
    with local.start("gemini", "--max-megabytes", "1") as running:
        yield running


@pytest.fixture(scope="module")
def http(server):
    headers = {"x-goog-api-key": server.key}
    with httpx.Client(base_url=server.address, headers=headers, timeout=30) as client:
        yield client


def refusal(response: httpx.Response, code: int) -> dict:
    """The error of a response, in Google's form, with no trace of our code in it."""
    assert response.status_code == code, response.text
    error = response.json()["error"]
    assert set(error) == ERROR
    assert error["code"] == code
    assert "Traceback" not in response.text
    assert ".py" not in response.text
    return error


def generate(http: httpx.Client, **body) -> httpx.Response:
    return http.post(f"{MODEL}:generateContent", json=HELLO | body)


def part(**data) -> dict:
    return {"contents": [{"role": "user", "parts": [data]}]}


def png() -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (32, 32)).save(data, "PNG")
    return data.getvalue()


def odd_pdf() -> bytes:
    """A page whose stream is packed in a way that nobody knows."""
    writer, stream, data = PdfWriter(), StreamObject(), io.BytesIO()
    stream._data = b"x"
    stream[NameObject("/Filter")] = NameObject("/Strange")
    writer.add_blank_page(72, 72)[NameObject("/Contents")] = writer._add_object(stream)
    writer.write(data)
    return data.getvalue()


PICTURE = {"inlineData": {"mimeType": "image/png", "data": base64.b64encode(png()).decode()}}


def document(kind: str, data: bytes) -> dict:
    return part(inlineData={"mimeType": kind, "data": base64.b64encode(data).decode()})


JSON = {"responseMimeType": "application/json"}


def asking(schema: dict) -> dict:
    return HELLO | {"generationConfig": JSON | {"responseSchema": schema}}


@pytest.mark.parametrize(
    ("config", "field"),
    [
        ({"temperature": 3}, "temperature"),
        ({"temperature": "hot"}, "temperature"),
        ({"topP": 2}, "topP"),
        ({"top_p": 2}, "top_p"),
        ({"topK": 0}, "topK"),
        ({"candidateCount": 9}, "candidateCount"),
        ({"maxOutputTokens": 0}, "maxOutputTokens"),
        ({"stopSequences": ["a"] * 6}, "stopSequences"),
        ({"stopSequences": [""]}, "stopSequences"),
        ({"responseMimeType": "image/png"}, "responseMimeType"),
        ({"responseSchema": {"type": "OBJECT"}}, "responseMimeType"),
    ],
)
def test_the_field_that_is_wrong_is_named(http, config: dict, field: str):
    error = refusal(generate(http, generationConfig=config), 400)
    assert error["status"] == "INVALID_ARGUMENT"
    assert field in error["details"][0]["fieldViolations"][0]["field"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"contents": []},
        {"contents": "Hello"},
        {"contents": [{"parts": []}]},
        {"contents": [{"parts": [{}]}]},
        {"contents": [{"parts": [{"text": "a", "inlineData": {"mimeType": "a", "data": ""}}]}]},
        {"contents": [{"role": "pirate", "parts": [{"text": "a"}]}]},
        {"contents": [{"role": "model", "parts": [{"text": "a"}]}]},
        HELLO | {"tools": [{"functionDeclarations": [{"name": "no name"}]}]},
        HELLO | {"tools": [{"functionDeclarations": [{"name": "a"}, {"name": "a"}]}]},
        HELLO | {"toolConfig": {"functionCallingConfig": {"allowedFunctionNames": ["a"]}}},
        part(inlineData={"mimeType": "image/png", "data": "not base64!"}),
        part(inlineData={"mimeType": "image/png", "data": "AAAA"}),
        part(inlineData={"mimeType": "application/pdf", "data": "AAAA"}),
        part(inlineData={"mimeType": "text/plain", "data": "//79"}),
        document("application/json", b"{"),
        document("text/csv", b'"' + b"a" * 200_000),
        document("text/csv", b"n" * 90_000 + b",b\n" + b"1,2\n" * 1_000),
        document("text/csv", b"n," + b"b" * 90_000 + b"\n" + b"1,2\n" * 10_000),
        document("text/html", b"<![\n"),
        document("application/json", b'"\\ud800"'),
        part(text="\ud800"),
        part(inlineData={"mimeType": "\ud800", "data": ""}),
        {"contents": [{"parts": [PICTURE, {"text": "Where is " + "a dog " * 100 + "?"}]}]},
        {"contents": [{"parts": [PICTURE] * 17}]},
        {"contents": [{"parts": [{"fileData": {"fileUri": "files/nothing"}}] * 17}]},
        document("application/pdf", odd_pdf()),
        document("text/plain", b" "),
        asking({"type": "object", "minItems": "x"}),
        asking({"type": "array", "minItems": None}),
        HELLO | {"generationConfig": JSON | {"responseJsonSchema": False}},
    ],
)
def test_a_bad_body_is_a_bad_request(http, body: dict):
    code = 415 if "'mimeType': '\\ud800'" in str(body) else 400
    data, headers = json.dumps(body), {"content-type": "application/json"}
    for verb in ("generateContent", "streamGenerateContent", "streamGenerateContent?alt=sse"):
        refusal(http.post(f"{MODEL}:{verb}", content=data, headers=headers), code)


def test_a_refusal_of_a_stream_comes_before_it_begins(http):
    long = {"contents": [{"parts": [{"text": "one two three " * 2_000}]}]}
    none = HELLO | {"generationConfig": JSON | {"responseJsonSchema": {"type": "nothing"}}}
    for body in (long, none):
        refusal(http.post(f"{MODEL}:streamGenerateContent", json=body), 400)
    long = {"model": "gemini-flash-latest", "input": "one two three " * 2_000, "stream": True}
    refusal(http.post("/v1beta/interactions", json=long), 400)


def test_a_long_text_beside_a_recording_does_not_stop_the_others(http):
    data = io.BytesIO()
    soundfile.write(data, np.zeros(8_000), 16_000, format="WAV")
    sound = {"mimeType": "audio/wav", "data": base64.b64encode(data.getvalue()).decode()}
    begin = time.monotonic()
    asked = {"contents": [{"parts": [{"inlineData": sound}, {"text": "what is " * 50_000}]}]}
    http.post(f"{MODEL}:generateContent", json=asked)
    assert time.monotonic() - begin < 10


def test_an_example_that_is_too_long_and_a_tuned_base_are_refused(http):
    def create(text: str, base: str = "models/gemini-flash-latest"):
        examples = {"examples": {"examples": [{"textInput": text, "output": "a"}]}}
        body = {"baseModel": base, "tuningTask": {"trainingData": examples}}
        return http.post("/v1/tunedModels", json=body)

    refusal(create("one two three " * 2_000), 400)
    refusal(create("a", "tunedModels/a"), 400)


def test_a_format_that_is_text_is_no_schema(http):
    body = {"model": "gemini-flash-latest", "input": "Hello!", "response_format": {"type": "text"}}
    assert http.post("/v1beta/interactions", json=body).json()["status"] == "completed"


def test_parameters_may_be_defined_apart(http):
    schema = {"properties": {"town": {"$ref": "#/$defs/T"}}, "required": ["town"], "type": "object"}
    schema["$defs"] = {"T": {"type": "string", "enum": ["Rome", "Oslo"]}}
    function = {"name": "get_weather", "parametersJsonSchema": schema}
    choice = {"functionCallingConfig": {"mode": "ANY"}}
    asked = HELLO | {"tools": [{"functionDeclarations": [function]}], "toolConfig": choice}
    parts = generate(http, **asked).json()["candidates"][0]["content"]["parts"]
    assert parts[0]["functionCall"]["args"]["town"] in ("Rome", "Oslo")


@pytest.mark.parametrize("name", ["odd", "files/", "files/../x", "files/A"])
def test_a_file_has_a_name_by_which_it_can_be_found(http, name: str):
    headers = {
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Type": "text/plain",
    }
    refusal(http.post("/upload/v1/files", headers=headers, json={"file": {"name": name}}), 400)


@pytest.mark.parametrize("kind", ["\ud800", "text", "text/plain\n"])
def test_a_kind_that_is_none_does_not_spoil_the_list(http, kind: str):
    headers = {"X-Goog-Upload-Command": "start", "content-type": "application/json"}
    data = json.dumps({"file": {"mimeType": kind}})
    refusal(http.post("/upload/v1/files", headers=headers, content=data), 400)
    assert http.get("/v1/files").status_code == 200


def test_of_many_models_of_one_name_one_is_made(http):
    examples = {"examples": {"examples": [{"textInput": "a", "output": "b"}] * 20}}
    body = {"baseModel": "models/gemini-flash-latest", "tuningTask": {"trainingData": examples}}
    path = "/v1/tunedModels?tunedModelId=one"
    with ThreadPoolExecutor(8) as pool:
        made = [pool.submit(http.post, path, json=body) for _ in range(8)]
    assert sorted(one.result().status_code for one in made) == [200] + [409] * 7
    http.delete("/v1/tunedModels/one")


def test_open_to_a_network_it_is_called_by_the_machines_addresses():
    rows = [row for rows in psutil.net_if_addrs().values() for row in rows]
    addresses = [row.address for row in rows if row.family == socket.AF_INET]
    with local.start("gemini", "--host", "0.0.0.0") as opened_wide:
        port = opened_wide.address.rpartition(":")[2]
        for name, code in [(one, 200) for one in addresses] + [("evil.example", 403)]:
            headers = {"host": f"{name}:{port}", "x-goog-api-key": opened_wide.key}
            found = httpx.get(f"{opened_wide.address}/v1/models", headers=headers)
            assert found.status_code == code, name


@pytest.mark.parametrize(
    "option", ["--port=99999", "--port=-1", "--requests-per-minute=-1", "--requests-per-minute=x"]
)
def test_an_option_out_of_range_is_a_sentence(option: str):
    with pytest.raises(SystemExit) as ended:
        gemini_main([option])
    assert ended.value.code == 2


def test_two_files_of_one_name_do_not_come_at_once(http):
    headers = {
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Type": "text/plain",
    }
    body = {"file": {"name": "files/twice"}}
    first = http.post("/upload/v1/files", headers=headers, json=body)
    refusal(http.post("/upload/v1/files", headers=headers, json=body), 409)
    http.post(first.headers["X-Goog-Upload-URL"], headers={"X-Goog-Upload-Command": "cancel"})


def test_a_port_that_is_taken_is_a_sentence(server):
    port = server.address.rpartition(":")[2]
    ran = subprocess.run(
        [os.sys.executable, "-m", "services.gemini", "--port", port],
        cwd=local.NOTEBOOKS,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 1
    assert ran.stderr.startswith(f"Port {port} of 127.0.0.1 cannot be had")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"null", b'"a"', b"\xff", b"[" * 100_000])
def test_what_is_no_json_is_a_bad_request(http, data: bytes):
    headers = {"content-type": "application/json"}
    refusal(http.post(f"{MODEL}:generateContent", content=data, headers=headers), 400)


def test_an_unknown_type_is_named(http):
    body = part(inlineData={"mimeType": "video/mp4", "data": "AAAA"})
    assert "video/mp4" in refusal(http.post(f"{MODEL}:generateContent", json=body), 415)["message"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/models/gemini-0:generateContent"),
        ("POST", "/v1/models/gemini-embedding-2:generateContent"),
        ("POST", "/v1/tunedModels/nobody:generateContent"),
        ("GET", "/v1/models/gemini-0"),
        ("GET", "/v1/files/nothing"),
        ("DELETE", "/v1/files/nothing"),
        ("GET", "/v1/interactions/nothing"),
        ("GET", "/v1/tunedModels/nobody"),
        ("GET", "/v1/tunedModels/nobody/operations/nothing"),
        ("POST", "/upload/sessions/nothing"),
        ("GET", "/v2/models"),
        ("GET", "/v1/files/..%2F..%2Fetc%2Fpasswd"),
    ],
)
def test_what_is_not_there_is_not_found(http, method: str, path: str):
    error = refusal(http.request(method, path, json=HELLO if method == "POST" else None), 404)
    assert error["status"] == "NOT_FOUND"


def test_without_the_key_of_this_run_nothing_is_served(server):
    with httpx.Client(base_url=server.address) as stranger:
        assert refusal(stranger.get("/v1/models"), 403)["status"] == "PERMISSION_DENIED"
        other = {"x-goog-api-key": "another"}
        error = refusal(stranger.get("/v1/models", headers=other), 401)
        assert error["status"] == "UNAUTHENTICATED"
        assert stranger.get("/v1/models", params={"key": server.key}).status_code == 200


@pytest.mark.parametrize(
    "path",
    ["/v1/sessions/a:generateContent", "/v1/tunedModels/sessions/operations", "/", "/healthz"],
)
def test_no_other_path_than_an_uploads_own_goes_without_a_key(server, path: str):
    with httpx.Client(base_url=server.address) as stranger:
        refusal(stranger.post(path, json=HELLO), 403)
        refusal(stranger.get(path), 403)


def test_a_page_that_calls_itself_by_another_name_is_refused(http):
    refusal(http.get("/v1/models", headers={"host": "evil.example"}), 403)


def test_a_large_body_is_refused_before_it_is_read(http):
    refusal(generate(http, contents=[{"parts": [{"text": "a" * 2_000_000}]}]), 413)

    def endless():
        for _ in range(40):
            yield b"a" * 100_000

    sent = http.post(f"{MODEL}:generateContent", content=endless())
    refusal(sent, 413)


def test_a_picture_of_too_many_pixels_is_refused():
    data = io.BytesIO()
    Image.new("1", (10_000, 6_000)).save(data, "PNG")
    with pytest.raises(Refused, match="million pixels"):
        opened(data.getvalue(), "image/png", "contents")


def test_who_asks_too_often_is_told_when_to_come_again():
    with local.start("gemini", "--requests-per-minute", "3") as running:
        headers = {"x-goog-api-key": running.key}
        with httpx.Client(base_url=running.address, headers=headers) as http:
            codes = [http.get("/v1/models").status_code for _ in range(3)]
            last = http.get("/v1/models")
        assert codes == [200] * 3
        error = refusal(last, 429)
        assert error["status"] == "RESOURCE_EXHAUSTED"
        assert 50 < int(last.headers["retry-after"]) <= 60


def test_every_code_that_is_used_has_a_name():
    names = {code: Refused(code, "No.").body()["error"]["status"] for code in (400, 408, 429, 499)}
    assert names[499] == "CANCELLED", "which is none of HTTP's own"
    assert all(names.values())


# ---- files


def start(http: httpx.Client, size: int, kind: str = "text/plain") -> str:
    headers = {
        "X-Goog-Upload-Protocol": "resumable",
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Length": str(size),
        "X-Goog-Upload-Header-Content-Type": kind,
    }
    begun = http.post("/upload/v1beta/files", headers=headers, json={"file": {}})
    return begun.headers["X-Goog-Upload-URL"]


def send(http: httpx.Client, address: str, data: bytes, offset: int, command: str):
    headers = {"X-Goog-Upload-Command": command, "X-Goog-Upload-Offset": str(offset)}
    return http.post(address, content=data, headers=headers)


def test_an_upload_in_pieces_goes_on_where_it_was_cut(http):
    data = "".join(f"{n}\n" for n in range(2_000)).encode()
    address = start(http, len(data))
    send(http, address, data[:3_000], 0, "upload")
    asked = http.post(address, headers={"X-Goog-Upload-Command": "query"})
    assert asked.headers["X-Goog-Upload-Size-Received"] == "3000"
    send(http, address, data[2_000:5_000], 2_000, "upload")  # a part of it once more
    refusal(send(http, address, data[6_000:], 6_000, "upload"), 400)
    last = send(http, address, data[5_000:], 5_000, "upload, finalize")
    assert last.headers["X-Goog-Upload-Status"] == "final"
    file = last.json()["file"]
    assert int(file["sizeBytes"]) == len(data)
    http.delete(f"/v1beta/{file['name']}")


def test_a_file_that_is_too_large_or_too_short_is_refused(http):
    headers = {
        "X-Goog-Upload-Command": "start",
        "X-Goog-Upload-Header-Content-Length": "5000000",
        "X-Goog-Upload-Header-Content-Type": "text/plain",
    }
    refusal(http.post("/upload/v1beta/files", headers=headers, json={}), 413)
    address = start(http, 100)
    refusal(send(http, address, b"a" * 50, 0, "upload, finalize"), 400)
    address = start(http, 100)
    refusal(send(http, address, b"a" * 1_000_001, 0, "upload"), 413)


@pytest.mark.parametrize("offset", ["9" * 5_000, "²", "-1", "1.5"])
def test_an_offset_that_is_no_number_is_refused(http, offset: str):
    headers = {"X-Goog-Upload-Command": "upload", "X-Goog-Upload-Offset": offset.encode()}
    refusal(http.post(start(http, 10), content=b"a", headers=headers), 400)


def test_one_of_two_who_finish_an_upload_at_once_is_told_that_it_is_gone(http):
    address = start(http, 1)
    with ThreadPoolExecutor(8) as pool:
        sent = [pool.submit(send, http, address, b"a", 0, "upload, finalize") for _ in range(8)]
    assert sorted(one.result().status_code for one in sent) == [200] + [404] * 7
    for file in http.get("/v1/files").json()["files"]:
        http.delete(f"/v1/{file['name']}")


def test_a_file_is_gone_after_two_days():
    now = [datetime(2026, 11, 27, tzinfo=UTC)]
    uploads = Uploads(1_000, "http://127.0.0.1", now=lambda: now[0])
    token = uploads.start(FileToCome(), "text/plain", 1)
    uploads.append(token, 0, b"a")
    name = uploads.finish(token).name
    now[0] += timedelta(hours=47)
    assert uploads.get(name).size_bytes == "1"
    now[0] += timedelta(hours=2)
    with pytest.raises(Refused, match="expired"):
        uploads.get(name)
    assert list(uploads.folder.iterdir()) == []
    uploads.close()
    assert not uploads.folder.exists()


def test_a_killed_server_leaves_nothing_that_the_next_one_keeps():
    first = local.start("gemini")
    headers = {"x-goog-api-key": first.key}
    with httpx.Client(base_url=first.address, headers=headers) as http:
        send(http, start(http, 1_000), b"a" * 500, 0, "upload")
    mark = f"course-gemini-{first.process.pid}-*"
    assert list(Path(tempfile.gettempdir()).glob(mark))
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    with local.start("gemini") as second:
        assert not list(Path(tempfile.gettempdir()).glob(mark))
        headers = {"x-goog-api-key": second.key}
        assert httpx.get(f"{second.address}/v1/files", headers=headers).json() == {"files": []}


def test_an_interrupted_cell_does_not_end_it():
    """Jupyter's interrupt goes to all processes of the kernel's group."""
    code = (
        "import os, signal, time, httpx; from services import local; s = local.start('gemini');"
        "signal.signal(signal.SIGINT, signal.SIG_IGN); os.killpg(os.getpgrp(), signal.SIGINT);"
        "time.sleep(1); found = httpx.get(s.address + '/v1/models', params={'key': s.key});"
        "print(found.status_code)"
    )
    ran = subprocess.run(
        [os.sys.executable, "-c", code],
        cwd=local.NOTEBOOKS,
        capture_output=True,
        text=True,
        start_new_session=True,
        check=True,
    )
    assert ran.stdout.strip() == "200"


def test_killed_while_a_model_learns_it_starts_clean():
    first = local.start("gemini")
    examples = {"examples": {"examples": [{"textInput": "a", "output": "b"}] * 100}}
    task = {"trainingData": examples, "hyperparameters": {"epochCount": 100}}
    body = {"baseModel": "models/gemini-flash-latest", "tuningTask": task}
    headers = {"x-goog-api-key": first.key}
    with httpx.Client(base_url=first.address, headers=headers) as http:
        name = http.post("/v1/tunedModels", json=body).json()["metadata"]["tunedModel"]
        for _ in range(200):
            if http.get(f"/v1/{name}").json()["tuningTask"]["snapshots"]:
                break
            time.sleep(0.1)
    mark = f"course-gemini-{first.process.pid}-*"
    assert len(list(Path(tempfile.gettempdir()).glob(mark))) == 2, "the files' and the training's"
    first.process.send_signal(signal.SIGKILL)
    first.process.wait()
    with local.start("gemini") as second:
        assert not list(Path(tempfile.gettempdir()).glob(mark))
        headers = {"x-goog-api-key": second.key}
        listed = httpx.get(f"{second.address}/v1/tunedModels", headers=headers)
        assert listed.json() == {"tunedModels": []}


def test_it_ends_with_whoever_started_it():
    code = (
        "import os, signal; from services import local; s = local.start('gemini');"
        "print(s.process.pid, flush=True); os.kill(os.getpid(), signal.SIGKILL)"
    )
    started = subprocess.run(
        [os.sys.executable, "-c", code], cwd=local.NOTEBOOKS, capture_output=True, text=True
    )
    process = int(started.stdout)
    for _ in range(100):
        if not psutil.pid_exists(process):
            return
        time.sleep(0.1)
    raise AssertionError("the server still runs")


# ---- anything at all

TEXTS = st.text(st.sampled_from([*string.printable, "\ud800"]), max_size=20)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 2**70) | st.floats() | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
NAMES = st.sampled_from(
    [
        "contents",
        "parts",
        "role",
        "text",
        "inlineData",
        "mimeType",
        "data",
        "fileData",
        "fileUri",
        "generationConfig",
        "temperature",
        "topK",
        "seed",
        "responseSchema",
        "responseJsonSchema",
        "minItems",
        "type",
        "properties",
        "tools",
        "functionDeclarations",
        "name",
        "parameters",
        "functionCall",
        "functionResponse",
        "response",
        "args",
        "content",
        "requests",
        "outputDimensionality",
        "input",
        "model",
        "response_format",
        "trainingData",
        "examples",
        "tuningTask",
        "baseModel",
    ]
)
BODIES = st.recursive(
    VALUES
    | st.binary(max_size=30).map(lambda data: base64.b64encode(data).decode())
    | st.sampled_from([base64.b64encode(b"%PDF-1.4").decode(), "text/csv", "application/json"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
ROUTES = st.sampled_from(
    [f"{MODEL}:{verb}" for verb in ("generateContent", "streamGenerateContent", "countTokens")]
    + [f"/v1/models/gemini-embedding-2:{verb}" for verb in ("embedContent", "batchEmbedContents")]
    + ["/v1/interactions", "/v1/tunedModels", "/upload/v1/files"]
)
QUICK = settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))


@QUICK
@given(route=ROUTES, body=BODIES)
def test_no_body_makes_it_stumble(http, route: str, body: object):
    answer = http.post(
        route, content=json.dumps(body), headers={"content-type": "application/json"}
    )
    assert answer.status_code < 500, answer.text


@QUICK
@given(field=NAMES, value=BODIES, schema=BODIES)
def test_no_field_beside_a_good_question_makes_it_stumble(http, field: str, value, schema):
    config = {
        "maxOutputTokens": 5,
        "responseMimeType": "application/json",
        "responseSchema": schema,
    }
    body = HELLO | {"generationConfig": config, field: value}
    answer = http.post(
        f"{MODEL}:generateContent",
        content=json.dumps(body),
        headers={"content-type": "application/json"},
    )
    assert answer.status_code < 500, answer.text
