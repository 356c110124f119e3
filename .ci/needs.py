"""Find which earlier cells each section of a notebook needs, from the notebook's text alone.

python .ci/needs.py                say which code cells each section needs (of one with a star the
                                   definitions alone); exit code 1 where that is not stored
python .ci/needs.py --store        store it in the metadata of each notebook's catch-up cell
python .ci/needs.py 2.2 2.6        only these

A statement is needed if it binds or changes a name that a needed one after it reads. Of a cell,
the imports and definitions run by themselves where they suffice; where anything else is needed,
the whole cell runs. A call whose result is not used changes what it is called on
(`trainer.train()`), and so what that holds (`trainer = Trainer(model)`); one whose result is used
(`model.encode(text)`) is taken to change nothing, but for `pop` and the like. The cell that
connects to a local service is needed by all: libraries find it through the environment.
"""

import argparse
import ast
import builtins
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from symtable import SymbolTable, symtable

import nbformat
from files import asked_for, write
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell
from outputs import code_cells, tags

NOTEBOOKS = Path(__file__).resolve().parent.parent / "notebooks"
DEFINITIONS = (ast.Import, ast.ImportFrom, ast.FunctionDef, ast.ClassDef)  # as in helpers/catch_up
TAKES = {"pop", "popitem", "setdefault"}  # methods that change, even where their result is used
# A folded solution, any other block of code, a heading: whichever comes first in a cell's words.
WORDS = re.compile(
    r"<summary>Solution</summary>.*?```python\n(?P<solution>.*?)\n```|```.*?```"
    r"|^(?P<marks>##|###) (?P<title>[^\n]+)$",
    re.DOTALL | re.MULTILINE,
)
COMPREHENSIONS = {"listcomp", "setcomp", "dictcomp", "genexpr"}

Needs = dict[str, dict[str, bool]]  # section -> {cell's id: all of it, or its definitions alone?}


@dataclass(frozen=True)
class Step:
    """What one statement, without the block under it, does with the notebook's names."""

    binds: set[str]
    reads: set[str]
    later: set[str]  # what its functions' bodies read, when they are called
    changes: set[str]  # assigned into, deleted, augmented
    acts_on: set[str]  # their methods are called for what these do
    holds: set[str]  # what it binds may be one of these, or hold it
    defines: bool
    blocks: tuple[int, ...]  # in which it stands, of those that are perhaps not run


@dataclass
class Facts:
    """What some statements do, run in order: `reads` come from before, `binds` are sure."""

    reads: set[str] = field(default_factory=set)
    binds: set[str] = field(default_factory=set)
    changes: set[str] = field(default_factory=set)

    def touch(self, names: set[str]) -> bool:
        """Do they bind or change one of these names?"""
        return bool(names & (self.binds | self.changes))

    def before(self, names: set[str]) -> set[str]:
        """What must be there before them for `names` to be there after."""
        return names - self.binds | self.reads


# ------------------------------------------------------------------------- reading one statement


class _Generators(ast.NodeTransformer):
    """Comprehensions as generators: only these have a scope of their own from Python 3.12 on."""

    def visit_ListComp(self, node: ast.ListComp | ast.SetComp) -> ast.GeneratorExp:
        self.generic_visit(node)
        return ast.GeneratorExp(node.elt, node.generators)

    visit_SetComp = visit_ListComp

    def visit_DictComp(self, node: ast.DictComp) -> ast.GeneratorExp:
        self.generic_visit(node)
        return ast.GeneratorExp(ast.Tuple([node.key, node.value], ast.Load()), node.generators)


def _simple(
    body: Iterable[ast.stmt], blocks: tuple[int, ...] = ()
) -> Iterator[tuple[ast.stmt, tuple[int, ...]]]:
    """Statements without their blocks, `for x in y` as `x = y`; and the blocks that each is in.

    Only those count that are perhaps not run: in an `if`, a `while`, a `try`.
    """
    for node in body:
        if isinstance(node, ast.For):
            yield ast.Assign([node.target], node.iter), blocks
        elif isinstance(node, ast.With):
            for item in node.items:
                target, value = item.optional_vars, item.context_expr
                yield (ast.Assign([target], value) if target else ast.Expr(value)), blocks
        elif isinstance(node, ast.If | ast.While):
            yield ast.Expr(node.test), blocks
        elif not isinstance(node, ast.Try):
            yield node, blocks
            continue
        sure = isinstance(node, ast.For | ast.With)
        yield from _simple(node.body, blocks if sure else (*blocks, id(node.body)))
        for handler in getattr(node, "handlers", []):
            caught = handler.type or ast.Constant(None)
            within = (*blocks, id(handler))
            yield ast.Assign([ast.Name(handler.name or "_", ast.Store())], caught), within
            yield from _simple(handler.body, within)
        for block in ("orelse", "finalbody"):
            after = getattr(node, block, [])
            yield from _simple(after, blocks if sure else (*blocks, id(after)))


def _step(node: ast.stmt, blocks: tuple[int, ...]) -> Step:
    """Read one statement that has no block under it."""
    node = ast.fix_missing_locations(_Generators().visit(node))
    top = symtable(ast.unparse(node), "cell", "exec")
    symbols = top.get_symbols()
    binds = {s.get_name() for s in symbols if s.is_assigned() or s.is_imported()}
    reads = {s.get_name() for s in symbols if s.is_referenced()}
    later, changes, acts_on = set(), set(), set()

    def enter(table: SymbolTable, at_once: bool) -> None:
        for child in table.get_children():
            now = at_once and (child.get_name() in COMPREHENSIONS or child.get_type() == "class")
            outer = {s.get_name(): s for s in child.get_symbols() if s.is_global()}
            (reads if now else later).update(outer)
            changes.update(name for name, s in outer.items() if s.is_assigned())  # `global name`
            enter(child, now)

    enter(top, at_once=True)
    for part in ast.walk(node):
        if isinstance(part, ast.Attribute | ast.Subscript) and not isinstance(part.ctx, ast.Load):
            changes.add(_root(part))
        elif isinstance(part, ast.Name) and isinstance(part.ctx, ast.Del):
            changes.add(part.id)
        elif isinstance(part, ast.AugAssign) and isinstance(part.target, ast.Name):
            changes.add(part.target.id)
        elif isinstance(part, ast.Expr) and _is_method(part.value):
            acts_on.add(_root(part.value))
        elif _is_method(part) and part.func.attr in TAKES:
            acts_on.add(_root(part))
    known = binds | reads | later  # not what is a function's own
    holds = _parts(node.value) if isinstance(node, ast.Assign) else set()
    defines = isinstance(node, DEFINITIONS)
    reads |= changes & binds  # `x += 1` and `del x` need an x
    binds -= changes
    return Step(binds, reads, later, changes & known, acts_on & known, holds, defines, blocks)


def _is_method(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)


def _root(node: ast.AST) -> str:
    """The name at which `a.b[0].c()` begins; "" where it begins with none."""
    while not isinstance(node, ast.Name):
        node = getattr(node, "func", None) or getattr(node, "value", None)
        if not isinstance(node, ast.expr):
            return ""
    return node.id


def _parts(value: ast.expr | None) -> set[str]:
    """The names that a value may be, be a part of, or hold."""
    if isinstance(value, ast.Name):
        return {value.id}
    if isinstance(value, ast.Attribute | ast.Subscript | ast.Starred):
        return _parts(value.value)
    inner: list[ast.expr] = []
    if isinstance(value, ast.Tuple | ast.List | ast.Set):
        inner = value.elts
    elif isinstance(value, ast.Dict):
        inner = value.values
    elif isinstance(value, ast.Call):
        called = getattr(value.func, "attr", getattr(value.func, "id", ""))
        inner = [*value.args, *(keyword.value for keyword in value.keywords)]
        if not inner and isinstance(value.func, ast.Attribute):  # such as model.parameters()
            inner = [value.func.value]
        elif not called[:1].isupper() and not hasattr(builtins, called):
            inner = []  # a function's result is taken to be new; a class keeps what it is given
    return set().union(*map(_parts, inner))


# ---------------------------------------------------------------------------- reading a notebook


def _facts(cells: list[list[ast.stmt]]) -> dict[ast.stmt, Facts]:
    """What each statement of some cells does, knowing what the functions it calls do."""
    steps = {n: [_step(*one) for one in _simple([n])] for body in cells for n in body}
    every = [step for some in steps.values() for step in some]
    fixed = {name for step in every if step.defines for name in step.binds}
    reads, changes, holds = {}, {}, {}  # function -> names, function -> names, name -> names
    for step in every:
        for name in step.binds:
            holds.setdefault(name, set()).update(step.holds)
            if step.later:
                reads.setdefault(name, set()).update(step.later)
                changes.setdefault(name, set()).update(step.changes | step.acts_on - fixed)
    facts = {}
    for node, some in steps.items():
        facts[node] = all_ = Facts()
        bound: dict[tuple[int, ...], set[str]] = {(): all_.binds}  # blocks -> what is bound there
        for step in some:
            around = [
                bound.get(step.blocks[:depth], set()) for depth in range(len(step.blocks) + 1)
            ]
            now = _reach(step.reads, reads)
            done = set() if step.later else step.changes | step.acts_on - fixed
            done = done.union(*(changes.get(name, set()) for name in now))
            all_.reads |= now.difference(*around)
            all_.changes |= _reach(done, holds) | (step.binds if step.blocks else set())
            bound.setdefault(step.blocks, set()).update(step.binds)
    return facts


def _reach(names: set[str], leads: dict[str, set[str]]) -> set[str]:
    """These names and all that they lead to."""
    found, ahead = set(names), list(names)
    while ahead:
        new = leads.get(ahead.pop(), set()) - found
        found |= new
        ahead += new
    return found


@dataclass
class Section:
    """One heading's part of a notebook; setup and catch-up are in none."""

    level: int
    before: list[NotebookNode]  # the code cells before it
    cells: list[NotebookNode] = field(default_factory=list)  # its code cells
    code: list[str] = field(default_factory=list)  # theirs, and what is folded away as a solution


def sections(notebook: NotebookNode) -> dict[str, Section]:
    """The sections that hold code, by their titles; the third level's lie in the second's."""
    before: list[NotebookNode] = []
    open_: list[Section] = []  # those in which we are
    found: dict[str, Section] = {}
    for cell in notebook.cells:
        if cell.cell_type == "code" and not {"setup", "catch-up"} & set(tags(cell)):
            before.append(cell)
            for section in open_:
                section.cells.append(cell)
                section.code.append(cell.source)
        for part in WORDS.finditer(cell.source) if cell.cell_type == "markdown" else ():
            if title := part["title"]:
                found[title] = Section(len(part["marks"]), list(before))
                open_ = [one for one in open_ if one.level < found[title].level] + [found[title]]
            elif part["solution"]:
                for section in open_:
                    section.code.append(part["solution"])
    return {title: section for title, section in found.items() if section.code}


def needs(notebook: NotebookNode) -> Needs:
    """For each section the earlier cells that it needs, in order."""
    bodies = {cell.id: parsed(cell.source) for cell in code_cells(notebook)}
    inside = {t: list(map(parsed, one.code)) for t, one in sections(notebook).items()}
    facts = _facts([*bodies.values(), *(body for own in inside.values() for body in own)])
    found: Needs = {}
    for title, section in sections(notebook).items():
        wanted = _before([node for body in inside[title] for node in body], facts, set())
        found[title] = {}
        for cell in reversed(section.before):
            body = bodies[cell.id]
            defines = [node for node in body if isinstance(node, DEFINITIONS)]
            acts = [node for node in body if not isinstance(node, DEFINITIONS)]
            after = wanted
            if any(facts[node].touch(wanted) for node in defines):
                after = _before(defines, facts, wanted)
                found[title][cell.id] = False
            if any(facts[node].touch(wanted | after) for node in acts) or _connects(body):
                after = _before(body, facts, wanted)
                found[title][cell.id] = True
            wanted = after
        found[title] = dict(reversed(found[title].items()))
    return found


def _connects(body: list[ast.stmt]) -> bool:
    """Does a cell connect to a service of the course's? Where that is said, no name tells."""
    return any(
        isinstance(n, ast.ImportFrom) and (n.module or "").startswith("services.") for n in body
    )


def parsed(source: str) -> list[ast.stmt]:
    """The statements of a cell; in the place of its magics and shell lines, if any, an ellipsis."""
    try:
        return ast.parse(source).body
    except SyntaxError:
        magic = re.compile(r"^(\s*(?:\w+ *= *)?)[%!].*$", re.MULTILINE)
        return ast.parse(magic.sub(r"\1...", source)).body


def _before(body: list[ast.stmt], facts: dict[ast.stmt, Facts], names: set[str]) -> set[str]:
    """What must be there before some statements for `names` to be there after them."""
    for node in reversed(body):
        names = facts[node].before(names)
    return names


# ------------------------------------------------------------------------- the instructor's paths

PATHS = {"path-50": (50, 90), "path-90": (90,)}  # tag -> the paths, in minutes, it puts a cell on


def on_path(notebook: NotebookNode, minutes: int) -> list[NotebookNode]:
    """The cells that a teacher shows in so many minutes.

    A tag on a heading's cell holds for it and all cells up to the next heading; what stands before
    the first section, the setup and the catch-up cell are on every path. Of a cell that leaves it
    the words before its heading stay: they are a remark on the cell above.
    """
    shown, found = True, []
    for cell in notebook.cells:
        own, before = any(minutes in PATHS.get(tag, ()) for tag in tags(cell)), shown
        if titles := _titles(cell):
            shown = own or titles == ["Setup"]
        parts = WORDS.finditer(cell.source) if titles else ()
        at = next((part.start() for part in parts if part["title"]), 0)
        if own or shown:
            kept = cell if before or not at else NotebookNode({**cell, "source": cell.source[at:]})
            found.append(kept)
        elif before and (remark := cell.source[:at].strip()):
            found.append(NotebookNode({**cell, "source": remark}))
    return found


def _titles(cell: NotebookNode) -> list[str]:
    """The titles of sections and subsections in a cell's words."""
    parts = WORDS.finditer(cell.source) if cell.cell_type == "markdown" else ()
    return [part["title"] for part in parts if part["title"]]


def off_path(notebook: NotebookNode, minutes: int) -> dict[str, set[str]]:
    """What a path lacks: the id of a cell that is not on it -> the names that the path needs of it.

    Where an earlier cell on the path imports or defines the same, nothing is lacking.
    """
    cells = code_cells(notebook)
    bodies = {cell.id: parsed(cell.source) for cell in cells}
    facts = _facts(list(bodies.values()))
    shown = {cell.id for cell in on_path(notebook, minutes)}
    found, wanted = {}, set()
    for number, cell in reversed(list(enumerate(cells))):
        if cell.id in shown:
            wanted = _before(bodies[cell.id], facts, wanted)
            continue
        earlier = {
            name
            for other in cells[:number]
            if other.id in shown
            for node in bodies[other.id]
            for name in facts[node].binds
        }
        for node in bodies[cell.id]:
            lacking = wanted & facts[node].binds
            if isinstance(node, DEFINITIONS):
                lacking -= earlier
            if lacking:
                found.setdefault(cell.id, set()).update(lacking)
    return found


# --------------------------------------------------------------------------------- the stored needs

CELL = """\
from helpers.catch_up import catch_up

# Starting in the middle? Write a section's title between the quotes: what it needs runs, quietly.
catch_up("{name}", section="")"""


def with_catch_up(notebook: NotebookNode, name: str) -> NotebookNode:
    """Put what the sections need into the catch-up cell, and that cell behind the setup cell.

    Where it is new, the counts of the cells behind it move on by one, and their outputs stay.
    """
    cell = next((cell for cell in notebook.cells if "catch-up" in tags(cell)), None)
    if cell is None:
        cell = new_code_cell(CELL.format(name=name), id="catch-up")
        cell.metadata = {"tags": ["catch-up"], "slideshow": {"slide_type": "skip"}}
        setup = next(i for i, other in enumerate(notebook.cells) if "setup" in tags(other))
        notebook.cells.insert(setup + 1, cell)
        for number, other in enumerate(code_cells(notebook), start=1):
            other.execution_count = number
            for output in other.outputs:
                if output.output_type == "execute_result":
                    output.execution_count = number
    cell.metadata["needs"] = lines(notebook)
    return notebook


def lines(notebook: NotebookNode) -> list[str]:
    """The needs as they are stored, a line a section; a star stands for the definitions alone."""
    return [
        " ".join([title, "←", *(id_ if all_ else f"{id_}*" for id_, all_ in parts.items())])
        for title, parts in needs(notebook).items()
    ]


def main() -> int:
    """Report or store; 1 where a notebook does not store what its sections need."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", help="numbers or beginnings of names (none: all)")
    parser.add_argument("--store", action="store_true", help="write it into notebooks/")
    options = parser.parse_args()
    paths, stale = asked_for(parser, sorted(NOTEBOOKS.glob("*.ipynb")), options.names), False
    for path in paths:
        before = path.read_text("utf-8")
        notebook = with_catch_up(nbformat.reads(before, as_version=4), path.stem)
        after = nbformat.writes(notebook).rstrip("\n") + "\n"
        numbers = {cell.id: number for number, cell in enumerate(code_cells(notebook), start=1)}
        print(f"{path.stem}{'' if before == after else ': not stored'}")
        for title, parts in needs(notebook).items():
            cells = (f"{numbers[id_]}{'' if all_ else '*'}" for id_, all_ in parts.items())
            print(f"  {title:<46}", *cells)
        if before != after and options.store:
            write(path, after)
        stale |= before != after and not options.store
    return int(stale)


if __name__ == "__main__":
    sys.exit(main())
