"""Typical wrong answers to the exercises, and the hint each must get.

    notebook: {check: [(answer, a fragment of the hint), …]}

The answer is Python source, put where the notebook says `answer = ...`; it may use what the
notebook has defined. It is an expression, or lines that assign `answer` themselves. Every exercise
has at least one. For example:

    "2.2. Embeddings": {"closest_pair": [("(0, 2)", "which other column is highest")]}
"""

WRONG: dict[str, dict[str, list[tuple[str, str]]]] = {
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
}
