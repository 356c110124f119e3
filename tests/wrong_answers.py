"""Typical wrong answers to the exercises, and the hint each must get.

    notebook: {check: [(answer, a fragment of the hint), …]}

The answer is Python source, put where the notebook says `answer = ...`; it may use what the
notebook has defined. It is an expression, or lines that assign `answer` themselves. Every exercise
has at least one. For example:

    "2.2. Embeddings": {"closest_pair": [("(0, 2)", "which other column is highest")]}
"""

WRONG: dict[str, dict[str, list[tuple[str, str]]]] = {}
