"""1 Using Gemini API: what the page shows, its app, and what it does when the service fails."""

import json
import re
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from conftest import assert_notices_a_slip, cell_with, defined, printed, served
from google.genai import errors
from outputs import text
from services.connect import Connection

NAME = "1. Using_Gemini_API"


@pytest.fixture(scope="module")
def said(cells) -> str:
    """All that the executed notebook printed."""
    return printed(cells)


@pytest.fixture(scope="module")
def names(execution, cells):  # after the notebooks' run, so as not to compete with it
    """What the notebook's own cells define, run here, with a server of its own."""
    space = defined(cells, {"ask", "client", "question", "came"})
    yield space
    space["ai"].server.stop()


# ---- what the page shows


def test_every_cell_that_asks_a_model_says_who_has_answered(cells):
    asking = re.compile(r"\b(ask|send_message|generate_content\w*|another_brain|predict)\(")
    silent = {  # they compare, refuse or count, and say in words that it is the local server
        "patiently",
        "create_tuned_model",
        "tuned_model",
        '"embed": former.embed_content',
        '"embed": new.embed_content',
    }
    for cell in cells:
        if asking.search(cell.source) and not any(word in cell.source for word in silent):
            assert "local: " in text(cell), cell.source[:200]


def test_no_key_is_on_the_page(cells):
    found = "\n".join(text(cell) for cell in cells)
    assert not re.search(r"\b[\w-]{32}\b", found), "a key of the local server has 32 letters"


def test_by_hand_notices_another_answer(cells, names):
    source = cell_with(cells, "def ask(")
    assert_notices_a_slip(source, '["parts"][0]["text"]\nassert', '["role"]\nassert', names)


def test_a_limit_cuts_and_a_stream_brings_the_same_text(said):
    cut, whole = (re.search(rf"{end}: (.+)", said)[1] for end in ("MAX_TOKENS", "STOP"))
    assert whole.startswith(cut)
    assert len(cut) < len(whole)
    streamed, pieces = re.search(r"as a stream: (.+) \((\d+) pieces\)", said).groups()
    assert streamed == whole
    assert int(pieces) > 10


def test_bolder_draws_give_more_greetings(said):
    found = re.findall(r"temperature (\S+), top-p (\S+): (\d+) different", said)
    counts = {(float(t), float(p)): int(n) for t, p, n in found}
    assert counts[0, 1] == 1
    assert 1 < counts[0.5, 1] < counts[1.5, 1]
    assert counts[1.5, 0.5] < counts[1.5, 1]


def test_a_chat_remembers_what_two_requests_forget_and_each_turn_costs_more(cells, said):
    before, chat = said.split("--- a chat")
    assert "Rosa" not in re.findall(r"What is my name\? (.+)", before)[-1]
    assert all("Rosa" in one for one in re.findall(r"What is my name\? (.+)", chat)[:2])
    found = re.search(r"turn 1 (\d+), turn 10 (\d+), all (\d+)", chat)
    first, last, whole = map(int, found.groups())
    assert last > 2.5 * first
    assert whole > 6 * (first + last) / 2


def test_a_schema_makes_the_form_certain_and_not_the_content(said):
    found = re.findall(r"Order\(customer='(\w+)', thing='(\w+)', quantity=(\d+), day='(\w+)'", said)
    assert found[0] == ("Mia", "scarf", "12", "Friday")
    assert found[1][0::2] == ("Leo", "17")
    assert found[1][1] != "drum", "the lesson: the parcel is another; find another order if not"


def test_what_is_not_in_the_file_is_not_known(said):
    assert "Leo lost a hat." in said
    assert "Mia lives in Paris." in said
    assert "I don't know how old Leo is" in said
    assert "left: []" in said


def test_the_meeting_has_the_three_mistakes_that_the_text_speaks_of(said):
    for mistake in ("the waiter was a problem", "will sig the", "hat to pillow"):
        assert mistake in said
    assert "The town hall is next to the restaurant." in said


def test_failures_have_their_numbers_and_patience_gets_all_its_answers(cells):
    (cell,) = [one for one in cells if "def patiently" in one.source]
    lines = printed([cell]).splitlines()
    assert [line[:3] for line in lines[:3]] == ["401", "404", "400"]
    assert len(lines[3:11]) == len([line for line in lines[3:11] if line[-1] in "?!."]) == 8
    waits = re.fullmatch(r"waits after a 429: (\d+)", lines[11])
    assert int(waits[1]) >= 1


def test_the_tuned_model_knows_other_things_and_not_all_other_words(said):
    things, words = re.findall(r"tuned, other \w+: (\d+) of (\d+)", said)
    assert things[0] == things[1]
    assert 3 <= int(words[0]) < int(words[1])
    assert "by a prompt, other words: 0 of 12" in said
    assert len(re.findall(r"^other (?:things|words): \d+ of", said, re.MULTILINE)) == 2


def test_both_clients_get_the_same(said):
    rows = re.findall(r"^(ask|system message|stream|chat|count tokens|embed) +(\w+)", said, re.M)
    assert [same for _, same in rows] == ["True"] * 6


# ---- the app


@pytest.fixture
def address(cells, names):
    scene = {"scene": names["media"].image("street")}
    with served(cell_with(cells, "def chat_about"), names | scene) as visitor:
        yield visitor.src


def test_in_the_browser_it_answers_about_the_picture(address, open_page):
    page = open_page(address)
    for number, question in enumerate(("Describe the picture.", "Is there a bus?"), start=1):
        page.get_by_role("textbox").first.fill(question)
        page.keyboard.press("Enter")
        page.locator(".bot.message, .message.bot").nth(number - 1).wait_for()
    page.get_by_text(re.compile(r"I see .*airplanes.* local: assistant")).wait_for()
    page.get_by_text(re.compile(r"^no — local: assistant")).wait_for()


# ---- with a key, and a Google that fails


GOOD = {"candidates": [{"content": {"role": "model", "parts": [{"text": "Hi."}]}, "index": 0}]}
BLOCKED = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}
EMPTY = {"candidates": [{"finishReason": "SAFETY", "index": 0}]}


def failure(code: int) -> tuple[int, dict]:
    return code, {"error": {"code": code, "message": "No.", "status": "X", "details": []}}


@pytest.fixture
def google(cells):
    """A false Google: `google(reply, …)` gives the notebook's `ask` and `client` against it.

    Each reply is a code with a body, "cut" (half a stream, then nothing) or "silent" (no answer
    within a second); the last one repeats.
    """
    servers = []

    def serve(*replies):
        left, asked = list(replies), []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                asked.append(self.headers["x-goog-api-key"])
                reply = left.pop(0) if len(left) > 1 else left[0]
                self.rfile.read(int(self.headers["Content-Length"]))
                if reply == "silent":
                    time.sleep(1)
                    return
                code, body = (200, GOOD) if reply == "cut" else reply
                data = json.dumps(body).encode()
                stream = "stream" in self.path
                data = b"data: " + data + b"\r\n\r\n" if stream else data
                self.send_response(code)
                self.send_header("Content-Type", "text/event-stream" if stream else "x/json")
                self.send_header("Content-Length", str(len(data) + 1_000 * (reply == "cut")))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *arguments):
                pass

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        address = f"http://127.0.0.1:{server.server_port}"
        space = {"ai": Connection(address, "a-key", "a test", True, 59)}
        source = cell_with(cells, "def ask(").partition("question = body")[0]
        hasty = {"60_000": "300", '"attempts": 3': '"attempts": 3, "initial_delay": 0.05'}
        for patient, impatient in hasty.items():
            assert patient in source
            source = source.replace(patient, impatient)
        exec(source, space)
        return space["ask"], space["client"], asked

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("code", [429, 500, 503])
def test_a_passing_failure_is_asked_again(google, code: int):
    ask, _, asked = google(failure(code), (200, GOOD))
    assert ask("Hello!").text == "Hi."
    assert asked == ["a-key", "a-key"]


@pytest.mark.parametrize(
    ("code", "tries", "kind"),
    [(429, 3, errors.ClientError), (500, 3, errors.ServerError), (401, 1, errors.ClientError)],
)
def test_a_lasting_failure_is_raised_after_three_tries_or_at_once(google, code, tries, kind):
    ask, _, asked = google(failure(code))
    with pytest.raises(kind) as raised:
        ask("Hello!")
    assert raised.value.code == code
    assert len(asked) == tries


@pytest.mark.parametrize("body", [BLOCKED, EMPTY], ids=["blocked prompt", "empty candidate"])
def test_an_answer_without_text_is_none_and_says_why(google, body: dict):
    ask, *_ = google((200, body))
    answer = ask("Hello!")
    assert answer.text is None
    reason = answer.prompt_feedback or answer.candidates[0].finish_reason
    assert re.search("PROHIBITED|SAFETY", str(reason))


def test_the_app_and_the_narrator_say_that_there_is_no_answer(google, cells):
    ask, client, _ = google((200, EMPTY))
    source = cell_with(cells, "def chat_about").partition("shown =")[0]
    from google.genai import types
    from PIL import Image

    space = {"ask": ask, "types": types}
    exec(source, space)
    assert "no answer" in space["chat_about"]("Hello!", [], Image.new("RGB", (8, 8)))
    assert space["chat_about"]("Hello!", [], None) == "Choose a picture first."
    exec(cell_with(cells, "def another_brain").partition("print(")[0], space)
    assert "I have no answer" in space["another_brain"](client, Image.new("RGB", (8, 8)), "What?")


def test_a_stream_that_is_cut_and_a_service_that_is_silent_end_in_an_error(google):
    _, client, _ = google("cut")
    with pytest.raises(Exception, match=r"peer closed|incomplete|disconnected"):
        list(client.models.generate_content_stream(model="x", contents="Hello!"))
    ask, *_ = google("silent")
    with pytest.raises(Exception, match="timed out"):
        ask("Hello!")
