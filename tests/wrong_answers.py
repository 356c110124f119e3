"""Typical wrong answers to the exercises, and the hint each must get.

    notebook: {check: [(answer, a fragment of the hint), …]}

The answer is Python source, put where the notebook says `answer = ...`; it may use what the
notebook has defined. It is an expression, or lines that assign `answer` themselves. Every exercise
has at least one. For example:

    "2.2. Embeddings": {"closest_pair": [("(0, 2)", "which other column is highest")]}
"""

WRONG: dict[str, dict[str, list[tuple[str, str]]]] = {
    "1. Using_Gemini_API": {
        "two_temperatures": [
            ('{"orders": 2, "stories": 1}', "also draws wrong names"),
            ('{"orders": 0, "stories": 0}', "same story too often"),
            ('{"orders": 0, "stories": 3}', "from 0 to 2"),
            ("0.7", "Give two numbers from 0 to 2"),
        ],
        "own_picture_described": [
            ('("street", "A street with trees and chairs.")', "it is no scene of Toytown"),
            ('("cat", "A cat.")', "your sentence has five words or more"),
            ('"cat"', "your own sentence about it"),
        ],
        "pay_once": [
            ("lambda ask: ask", "the same question is paid once"),
            ("import functools\nanswer = functools.cache", "Keep answers in a dictionary"),
            (
                "def answer(ask):\n    kept = {}\n    def cheap(contents, **config):\n"
                "        key = repr(contents)\n        if key not in kept:\n"
                "            kept[key] = ask(contents, **config)\n"
                "        return kept[key]\n    return cheap",
                "another system message is another question",
            ),
            (
                "def answer(ask):\n    kept = {}\n    def cheap(contents, **config):\n"
                "        key = repr((contents, sorted(config.items())))\n"
                "        if key not in kept or config.get('temperature') != 0:\n"
                "            kept[key] = ask(contents, **config)\n"
                "        return kept[key]\n    return cheap",
                "an answer without text is asked for again",
            ),
            (
                "lambda ask: lambda contents, **config: ask(contents, **config) and None",
                "Keep answers",
            ),
        ],
    },
    "2. Open_Source_Models": {
        "voice_for_a_shop": [
            ('"facebook/mms-tts-eng"', "what does nc stand for"),
            ('"toytown/speaker"', "customers write others"),
            ('"facebook/bart-large-cnn"', "Filter by the task"),
            ('"facebook/no-such-model"', "copy a name that the search prints"),
            ("None", "copy a name that the search prints"),
        ],
        "own_post": [
            (
                '(sort_post, [(row["text"], row["topic"]) for row in post["test"]][:5])',
                "all of them yours",
            ),
            ('(sort_post, [("The dog barks.", "animals")] * 5)', "four words or more"),
            (
                '(sort_post, [("My dog ran away from the garden.", "animals")] * 5)',
                "three topics or more",
            ),
            ("sort_post", "five messages of your own"),
        ],
        "pickle_scanner": [
            (
                "import pickle\ndef answer(stored):\n    pickle.loads(stored)\n    return set()",
                "never call pickle.loads",
            ),
            ("lambda stored: set()", "STACK_GLOBAL takes its names from what came before"),
            ('lambda stored: {"builtins.print"}', "Only what it imports"),
            (
                "import pickletools\ndef answer(stored):\n    return {argument for "
                "code, argument, _ in pickletools.genops(stored) if code.name == 'GLOBAL'}",
                "as module.name",
            ),
        ],
    },
    "2.1. Intro_to_NLP": {
        "invented": [
            ("lambda story, summary: False", "compare every word, the names above all"),
            ("lambda story, summary: True", "True summaries are stopped, too"),
            (
                "lambda story, summary: bool(set(summary[:-1].split()) - set(story.split()))",
                "True summaries are stopped, too",
            ),
        ],
        "own_sentence": [
            (
                '[("Hello!", "Bonjour !"), ("Hi!", "Salut !")]',
                "two English sentences of four words or more",
            ),
            (
                '[("The baker is tired.", "a"), ("The tired baker sleeps.", "b")]',
                "one word changed, the others kept",
            ),
            (
                '[(parallel["English"][0], "a"), (parallel["English"][0][:-2] + "zz.", "b")]',
                "the first is none of our examples",
            ),
            (
                '[("The baker is tired.", "Il pleut."), ("The baker is tiny.", "Il neige.")]',
                "the first is translated as you would",
            ),
            (
                '[("Where is the library?", "Où est la bibliothèque ?"),'
                ' ("Where is the station?", "Où est la gare ?")]',
                "the second is not (at least 20 less)",
            ),
        ],
        "lasting_memory": [
            ("lambda turns, limit: turns", "Count the tokens of the joined turns."),
            ("lambda turns, limit: turns[-5:]", "Keep what people say of themselves"),
            (
                "lambda turns, limit: turns[:5]",
                "Leave turns out, change none, and keep the question",
            ),
            ("lambda turns, limit: turns[2][11:-1]", "Leave turns out, change none"),
        ],
    },
    "2.2. Embeddings": {
        "refund_bot": [
            (
                '("I want a refund", "The soup is cold", lambda message: True)',
                "Keep a message's words and turn its meaning round",
            ),
            (
                '("I want a refund", "I do not want a refund", lambda message: True)',
                "pay your own first message and not your second",
            ),
            (
                '("I want a refund", "I do not want a refund", '
                'lambda message: "do not" not in message)',
                "Your rule pays on 'I never asked for a refund.': which words should stop it?",
            ),
            (
                "def approve(message):\n"
                '    near = model.similarity(model.encode("Please refund my ticket"), '
                "model.encode(message))\n"
                '    words = message.replace("n\'t", " not").lower().split()\n'
                '    return near.item() > 0.5 and not {"not", "never", "no"} & set(words)\n\n\n'
                'answer = ("Please refund my ticket", "Please do not refund my ticket", approve)',
                "is your comparison sentence about refunds, or about tickets?",
            ),
            (
                '("I want a refund", "I do not want a refund", '
                'lambda message: message == "I want a refund")',
                "let the clear requests through",
            ),
            ('("I want a refund", "I do not want a refund")', "answer = (first, second, approve)"),
        ],
        "own_words": [
            (
                '["The kitten sleeps", "A kitten is asleep", "We eat soup", "It is late", '
                '"Buses are red", "I lost a shoe"]',
                "Still open: no word of four letters shared",
            ),
            (
                '["I like tea", "The train is late", "My bus never came", "The bus was late", '
                '"We eat soup", "A shoe is lost"]',
                "not 3 and 4",
            ),
            ('["one", "two", "three"]', "Still open: six different sentences"),
            ("6", "a list of six sentences"),
        ],
        "nothing_found": [
            (
                "def answer(question):\n"
                "    return ids[model.similarity(model.encode(question), notice_vectors).argmax()]",
                "answer None below a threshold",
            ),
            ("lambda question: None", "lower your threshold"),
            ("look_up", "lower your threshold"),
            ("0.31", "your function itself"),
        ],
    },
    "2.3. Zero_Shot_Audio_Classification": {
        "two_lines": [
            ("(line, line)", "A and B can be served cheaper"),
            ("(0.55, 0.47)", "A and B can be served cheaper"),
            ("(0.505, 1)", "B can be served cheaper: what does silence cost there"),
            ("(0.55, 0.55)", "A can be served cheaper"),
            ("(48, 55)", "A cosine lies between -1 and 1"),
            ("0.5", "For each customer add up the costs"),
        ],
        "own_sound": [
            (
                '("farm", ["a cow mooing", "rain falling"], "a cow mooing")',
                "your labels are a list of three or more",
            ),
            (
                '("farm", ["a cow mooing", "rain falling", "a fire crackling"], "a dog barking")',
                "the right one is among them",
            ),
            ('"farm"', 'answer = ("sound.wav"'),
        ],
        "sound_search": [
            ("lambda text: tests[0]", "'it is raining' brings a dog barking"),
            (
                "lambda text: tests[(sounds @ read([text])[0]).argmax()]",
                "answer None below the line",
            ),
            ("lambda text: None", "take the largest cosine, and a lower line"),
            ("tests[0]", "answer is your function itself"),
        ],
    },
    "2.4. Automatic_Speech_Recognition": {
        "normalised": [
            ("str.lower", "Capitals and punctuation are not heard"),
            ("plain", "Dr and doctor are one word"),
            (
                'lambda text: plain(text.lower().replace("dr", "doctor"))',
                "Only whole words: Dr is no part of drive",
            ),
            (
                'lambda text: " ".join(re.sub(r"[^\\w\\s]", "", '
                're.sub(r"\\bdr\\b", "doctor", text.lower())).split())',
                "A mark between two digits is part of the number",
            ),
            (
                'lambda text: " ".join(re.sub(r"(?<!\\d)[^\\w\\s]", " ", '
                're.sub(r"\\bdr\\b[.]?", "doctor", text.lower())).split())',
                "A full stop after a number is no part of it",
            ),
            (
                'lambda text: "".join(re.findall("[a-z0-9.:]", '
                're.sub(r"\\bdr\\b[.]?", "doctor", text.lower()).rstrip(".")))',
                "Two words are not one",
            ),
            ('lambda text: ""', "Only whole words: Dr is no part of drive"),
            ("lambda text: text.lower().split()", "Return a text"),
            ('"doctor"', "your function itself"),
        ],
        "own_voice": [
            ('("greeting", "")', "Still open: you wrote down three words or more"),
            ('("meeting", truth)', "Still open: it lasts from 1 to 30 seconds"),
            ('("greeting", truth)', "Still open: they can be said in that time"),
            ('("nowhere.wav", "Good morning to you")', "answer = (a path, an address or a name"),
            ('"greeting"', "answer = (a path, an address or a name"),
        ],
        "subtitles": [
            ("lambda text, start, end: [(start, end, text)]", "No line has over 42 characters"),
            (
                "def answer(text, start, end):\n"
                "    import textwrap\n"
                "    lines = textwrap.wrap(text, 42)\n"
                '    shown = ["\\n".join(lines[i : i + 2]) for i in range(0, len(lines), 2)]\n'
                "    return [(start, end, part) for part in shown]",
                "Cut and lose no word",
            ),
            (
                "def answer(text, start, end):\n"
                "    import textwrap\n"
                "    lines = textwrap.wrap(text, 42, break_on_hyphens=False)\n"
                '    return [(start, end, "\\n".join(lines))]',
                "A subtitle has at most two lines",
            ),
            (
                "def answer(text, start, end):\n"
                "    import textwrap\n"
                "    lines = textwrap.wrap(text, 42, break_on_hyphens=False)\n"
                "    step = (end - start) / len(lines)\n"
                "    times = [start + i * step for i in range(len(lines))]\n"
                "    return [(t, t + step, line) for t, line in zip(times, lines, strict=True)]",
                "Put two lines on the screen",
            ),
            (
                "def answer(text, start, end):\n"
                "    import textwrap\n"
                "    lines = textwrap.wrap(text, 42, break_on_hyphens=False)\n"
                '    shown = ["\\n".join(lines[i : i + 2]) for i in range(0, len(lines), 2)]\n'
                "    return [(start, end, part) for part in shown]",
                "Each begins where the one before ends",
            ),
            (
                "def answer(text, start, end):\n"
                "    words = text.split()\n"
                '    shown = ["\\n".join(words[i : i + 2]) for i in range(0, len(words), 2)]\n'
                "    ends = np.cumsum([0, *map(len, shown)]) / len(''.join(shown))\n"
                "    times = start + (end - start) * ends\n"
                "    return list(zip(times[:-1], times[1:], shown, strict=True))",
                "Fill the lines",
            ),
            ("[(0, 1, 'a')]", "your function itself"),
        ],
    },
    "2.5. Text_to_Speech": {
        "announcement": [
            ("(1, 1.0, 1.2)", "words are wrong, at 1 each"),
            ("(1, 2.0, 0.3)", "words are wrong, at 1 each"),
            ("(0, 0.3, 0.3)", "words are wrong, at 1 each"),
            ("(0, 3.5, 0.3)", "words are wrong, at 1 each"),
            ("(9, 1.0, 0.3)", "answer = (voice, rate, noise)"),
            ("(0, 0, 0.3)", "Choose a rate from 0.25 to 4"),
            ('"faster"', "answer = (voice, rate, noise)"),
        ],
        "own_text": [
            (
                '(media.examples("speech")[20]["text"], "A sentence that the page uses itself.")',
                "it is your own, no sentence of the course",
            ),
            (
                '("Dr. Brown asks for 24 euros.", "Dr. Brown asks for twenty-four euros.")',
                "as spoken, it holds no abbreviation",
            ),
            (
                '("Mix 3 eggs, approx. 5 min, then wait.", "Mix 3 eggs, about five minutes.")',
                "as spoken, it holds no figure",
            ),
            (
                '("Mix three eggs and then wait for 5 minutes.", '
                '"Mix three eggs and then wait for five minutes.")',
                "as written, it holds an abbreviation",
            ),
            (
                '("Mix it e.g. with a spoon and then wait.", '
                '"Mix it, for example, with a spoon and then wait.")',
                "as written, it holds a figure",
            ),
            (
                '("Bake 3 eggs at approx. 180 °C and then wait.", '
                '"Bake three eggs at about one hundred and eighty ° and then wait.")',
                "the speaker can read every character: not '°'",
            ),
            (
                '("Take 5mg at noon and then again at six.", '
                '"Take 5mg at noon and then again at six.")',
                "as spoken, it holds no figure",
            ),
            ('("Approx. 5 min.", "About five minutes.")', "it has eight words or more"),
            ('"Dr. Brown asks for 24 euros."', "answer = (a text with a figure"),
        ],
        "dialogue": [
            (
                "def answer(lines, path):\n"
                "    parts = []\n"
                "    for voice, text in lines:\n"
                "        parts += [say(normalise(text), voice), np.zeros(rate // 2)]\n"
                "    soundfile.write(path, np.concatenate(parts), 24_000)",
                "the speaker's own sampling rate",
            ),
            (
                "def answer(lines, path):\n"
                "    parts = [say(normalise(text), voice) for voice, text in lines]\n"
                "    soundfile.write(path, np.concatenate(parts), rate)",
                "Put half a second of silence",
            ),
            (
                "def answer(lines, path):\n"
                "    parts = []\n"
                "    for voice, text in lines:\n"
                "        parts += [say(text, voice), np.zeros(rate // 2)]\n"
                "    soundfile.write(path, np.concatenate(parts), rate)",
                "The figures are left out",
            ),
            (
                "def answer(lines, path):\n"
                "    parts = []\n"
                "    for voice, text in lines:\n"
                "        parts += [say(normalise(text)), np.zeros(rate // 2)]\n"
                "    soundfile.write(path, np.concatenate(parts), rate)",
                "Give each line its own voice",
            ),
            ("lambda lines, path: say(lines[0][1])", "your function itself"),
            ('"dialogue.wav"', "your function itself"),
        ],
    },
    "2.6. Object_Detection": {
        "two_thresholds": [
            ("(0.5, 0.5)", "A and B can be served cheaper"),
            ("(0.9, 0.7)", "A can be served cheaper"),
            ("(0.2, 0.1)", "B can be served cheaper"),
            ("(0.2, 7)", "A score lies between 0 and 1"),
            ("0.5", "take the cheapest"),
        ],
        "own_picture": [
            ('("coffee", [])', "Still open: you wrote down what is in it"),
            ('("coffee", "cup")', "Still open: you wrote down what is in it, as a list"),
            ('("astronaut", ["rocketship"])', "Still open: some of your words"),
            ('("street", ["tree"])', "Still open: it is no scene of Toytown"),
            ('"coffee"', "answer = (a path, an address or a name"),
            ('("nowhere.jpg", ["cup"])', "answer = (a path, an address or a name"),
        ],
        "suppress": [
            ("lambda detections: detections", "Keep the best of two"),
            (
                "lambda detections: sorted(detections, key=lambda d: -d['score'])[:1]",
                "A dog on a bed is no double",
            ),
            (
                "def answer(detections):\n"
                "    best = {}\n"
                "    for d in sorted(detections, key=lambda d: d['score']):\n"
                "        best[d['label']] = d\n"
                "    return list(best.values())",
                "Two dogs apart are two dogs",
            ),
            (
                "def answer(detections):\n"
                "    ranked = sorted(detections, key=lambda d: -d['score'])\n"
                "    corners = [tuple(d['box'].values()) for d in ranked]\n"
                "    return [\n"
                "        d for i, d in enumerate(ranked)\n"
                "        if not any(\n"
                "            ranked[j]['label'] == d['label']\n"
                "            and iou(corners[j], corners[i]) > 0.5\n"
                "            for j in range(i)\n"
                "        )\n"
                "    ]",
                "Compare with kept boxes alone",
            ),
            ("[0.9]", "your function itself"),
        ],
    },
    "2.7. Image_Segmentation": {
        "ten_corrections": [
            ("lambda scores: np.argsort(scores)[-10:]", "Let people redraw where the model doubts"),
            ("lambda scores: range(10)", "Let people redraw where the model doubts"),
            ("lambda scores: np.argsort(scores)[:9]", "Return ten different places"),
            ("lambda scores: [scores.argmin()] * 10", "Return ten different places"),
            ("lambda scores: np.sort(scores)[:10]", "Return ten different places"),
            ("[0, 1, 2, 3, 4, 5, 6, 7, 8, 9]", "your function itself"),
        ],
        "own_click": [
            ('("street", [[100, 100]], [1], 0.2)', "Still open: it is no scene of Toytown"),
            ('("coffee", [[900, 100]], [1], 0.2)', "Still open: every click lies in the picture"),
            ('("coffee", [[300, 170]], [0], 0.2)', "Still open: a 1 or a 0 for each click"),
            ('("coffee", [[300, 170]], [1, 0], 0.2)', "Still open: a 1 or a 0 for each click"),
            ('("coffee", [[300, 170]], [1], 20)', "Still open: your guess is a share"),
            ('("coffee", [300, 170], [1], 0.2)', "answer = (a picture, [[x, y], …]"),
            ('"coffee"', "answer = (a picture, [[x, y], …]"),
            ('("nowhere.jpg", [[1, 1]], [1], 0.2)', "answer = (a picture, [[x, y], …]"),
        ],
        "clean": [
            ("lambda mask, x, y: mask", "Keep only the piece under the click"),
            (
                "def answer(mask, x, y):\n"
                "    from scipy.ndimage import binary_fill_holes\n"
                "    return binary_fill_holes(mask)",
                "Keep only the piece under the click",
            ),
            (
                "def answer(mask, x, y):\n"
                "    from scipy.ndimage import label\n"
                "    pieces, _ = label(mask)\n"
                "    return pieces == pieces[y, x] if mask[y, x] else np.zeros_like(mask)",
                "Fill the hole",
            ),
            (
                "def answer(mask, x, y):\n"
                "    from scipy.ndimage import binary_fill_holes, label\n"
                "    pieces, _ = label(mask, structure=np.ones((3, 3)))\n"
                "    return binary_fill_holes(pieces == pieces[y, x])",
                "Pieces that meet at a corner alone are two",
            ),
            (
                "def answer(mask, x, y):\n"
                "    from scipy.ndimage import binary_fill_holes, label\n"
                "    pieces, _ = label(mask)\n"
                "    return binary_fill_holes(pieces == pieces[y, x])",
                "A click beside the mask gives an empty mask",
            ),
            (
                "def answer(mask, x, y):\n"
                "    left, right = np.flatnonzero(mask.any(0))[[0, -1]]\n"
                "    filled = mask.copy()\n"
                "    filled[:, left : right + 1] = True\n"
                "    return filled",
                "Keep only the piece under the click",
            ),
            ("0.5", "your function itself"),
        ],
    },
    "2.8. Multimodal_Models": {
        "when_to_be_silent": [
            ("0", "wrong answers pass, at 10 each"),
            ("1.0", "lower the threshold"),
            ("80", "A probability lies between 0 and 1"),
            ("ask", "take the cheapest"),
        ],
        "own_negative": [
            ('("street", "a tree on the street", "a cow on the street")', "it is no scene of Toy"),
            ('("coffee", "a cup", "a dog")', "Still open: a sentence of three words or more"),
            ('("coffee", "a cup on a table", "no cup on a chair")', "Still open: both differ in"),
            ('("coffee", "a cup on a table", "a cup on a table")', "Still open: both differ in"),
            ('("coffee", "a cup on a table")', "answer = (a picture, a true sentence"),
            ('("nowhere.jpg", "a b c", "a b d")', "answer = (a picture, a true sentence"),
        ],
        "doubt_the_question": [
            ("lambda image, question: ask(image, question)[0]", "names a colour of what is not"),
            ("lambda image, question: None", "for them return what the model says"),
            ("lambda image, question: 'red'", "names a colour of what is not there"),
            ("ask", "names a colour of what is not there"),
            ('"red"', "your function itself"),
        ],
    },
    "2.9. Deployment": {
        "smallest_batch": [
            ("1", "more come than go"),
            ("2", "more come than go"),
            ("8", "A smaller one does too"),
            ("2.5", "whole number"),
            ('"three"', "how many is that in a second"),
        ],
        "own_visitor": [
            (
                '(photo, here, "It has only ever seen drawings, so it may be wrong.")',
                "not a scene of Toytown",
            ),
            (
                'mine_ = Path(tempfile.mkdtemp()) / "mine.png"\nmedia.image("cat").save(mine_)\n'
                'answer = (mine_, "I see nothing I know.", "Sorry.")',
                "six words or more",
            ),
            ('"I see a cat."', "what you would tell a visitor"),
        ],
        "fails_well": [
            ("lambda function: function", "would see a traceback"),
            (
                "def answer(function):\n    def door(picture):\n        try:\n"
                "            return function(picture)\n        except Exception as error:\n"
                "            raise gr.Error(f'It went wrong: {error}')\n    return door",
                "Look before you call",
            ),
            (
                "def answer(function):\n    def door(picture):\n"
                "        if not hasattr(picture, 'width'):\n"
                "            raise gr.Error('Choose a picture first.')\n"
                "        return function(picture)\n    return door",
                "Refuse 10 megapixels",
            ),
            (
                "def answer(function):\n    def door(picture):\n"
                "        if not hasattr(picture, 'width') or picture.width > 2_000:\n"
                "            raise gr.Error('Choose a smaller picture first.')\n        try:\n"
                "            return function(picture)\n        except Exception as error:\n"
                "            raise gr.Error(f'It went wrong: {error}')\n    return door",
                "only your log should know",
            ),
        ],
    },
}
