"""Mechanical mutants of the solutions, and which of them the checks of the exercises accept.

Each mutant is the chapter's solution with one change that a slip of the hand or of the mind makes:
another operator, comparison or constant, two operands, arguments or parameters taken for each
other, a term, a condition, a step or an option left out, the other axis, the neighbouring function.
A check that accepts one has a hole, unless the change makes no difference to anything that the task
allows: those stand in `EQUIVALENT`, with the reason.

Run as a program it prints the survivors: ``python tests/mutants.py [chapter …]`` (`make mutants`).
"""

import ast
import copy
import sys

from exercises import EXERCISES, calls, cells, check_module, editions, solutions

_OPERATORS = {
    ast.Add: (ast.Sub,), ast.Sub: (ast.Add,), ast.Mult: (ast.Div, ast.Add),
    ast.Div: (ast.Mult, ast.FloorDiv), ast.FloorDiv: (ast.Div,), ast.Pow: (ast.Mult,),
    ast.BitAnd: (ast.BitOr,), ast.BitOr: (ast.BitAnd,),
}  # fmt: skip
_ORDERED = ast.Sub, ast.Div, ast.FloorDiv, ast.Pow, ast.Mod, ast.MatMult
_COMPARISONS = {
    ast.Lt: (ast.LtE, ast.Gt), ast.LtE: (ast.Lt, ast.GtE), ast.Gt: (ast.GtE, ast.Lt),
    ast.GtE: (ast.Gt, ast.LtE), ast.Eq: (ast.NotEq,), ast.NotEq: (ast.Eq,),
    ast.In: (ast.NotIn,), ast.NotIn: (ast.In,), ast.Is: (ast.IsNot,), ast.IsNot: (ast.Is,),
}  # fmt: skip
_NEIGHBOURS = {
    "min": ("max",), "max": ("min",), "any": ("all",), "all": ("any",), "minimum": ("maximum",),
    "argmax": ("argmin",), "sum": ("mean",), "mean": ("sum", "median"), "rstrip": ("strip",),
    "strip": ("rstrip", "lstrip"), "endswith": ("startswith",), "lower": ("upper",),
    "exp": ("expm1",), "expm1": ("exp",), "log2": ("log", "log1p"), "log": ("log1p",),
    "rankdata": ("argsort",), "sorted": ("list",), "unique": ("asarray",), "sort": ("asarray",),
    "argsort": ("asarray",), "abs": ("sign",), "setdefault": ("update",), "union": ("update",),
}  # fmt: skip
#: What only turns one kind of value into another, or asks what the inputs promise.
_CONVERSIONS = "float", "int", "list", "tuple", "map", "array", "asarray"
_SYMMETRIC = "min", "max", "minimum", "maximum"
_PROMISES = "strict", "dtype"
#: What is no part of the answer: an error's text, the signature, what asks for promises.
_LEFT_ALONE = ast.Raise, ast.arguments


def _changes(node, parameters):
    """Nodes that may stand in the place of one node of a function with these parameters."""
    if isinstance(node, ast.BinOp):
        for kind in _OPERATORS.get(type(node.op), ()):
            yield ast.BinOp(node.left, kind(), node.right)
        if isinstance(node.op, _ORDERED):
            yield ast.BinOp(node.right, node.op, node.left)
        yield from (node.left, node.right)
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in parameters:
        yield from (ast.Name(name, node.ctx) for name in parameters if name != node.id)
    elif isinstance(node, ast.Compare):
        for i, operator in enumerate(node.ops):
            for kind in _COMPARISONS[type(operator)]:
                operators = [*node.ops[:i], kind(), *node.ops[i + 1 :]]
                yield ast.Compare(node.left, operators, node.comparators)
        if len(node.ops) > 1:  # a chain less its first or its last part
            yield ast.Compare(node.comparators[0], node.ops[1:], node.comparators[1:])
            yield ast.Compare(node.left, node.ops[:-1], node.comparators[:-1])
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(ast.Or() if isinstance(node.op, ast.And) else ast.And(), node.values)
        yield from node.values
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.IfExp):
        yield from (node.body, node.orelse)
    elif isinstance(node, ast.Constant):
        yield from map(ast.Constant, _other_constants(node.value))
    elif isinstance(node, ast.Call):
        yield from _other_calls(node)
    elif isinstance(node, ast.Slice):
        for part in ("lower", "upper", "step"):
            if getattr(node, part) is not None:
                left = copy.copy(node)
                setattr(left, part, None)
                yield left
    elif isinstance(node, ast.comprehension):
        for i in range(len(node.ifs)):
            ifs = [*node.ifs[:i], *node.ifs[i + 1 :]]
            yield ast.comprehension(node.target, node.iter, ifs, node.is_async)
    elif isinstance(node, ast.Tuple) and isinstance(node.ctx, ast.Load):
        yield from (
            ast.Tuple([*node.elts[:i], *node.elts[i + 1 :]], node.ctx)
            for i in range(len(node.elts))
        )
    elif isinstance(node, ast.If):
        yield from (ast.If(ast.Constant(value), node.body, node.orelse) for value in (True, False))
    elif isinstance(node, ast.keyword) and node.arg == "axis":
        yield ast.keyword("axis", ast.BinOp(ast.Constant(1), ast.Sub(), node.value))
    elif isinstance(node, ast.Expr | ast.Continue | ast.AugAssign):
        yield ast.Pass()


def _other_constants(value):
    if isinstance(value, bool):
        return [not value]
    if isinstance(value, int | float):
        return list(dict.fromkeys([value + 1, value - 1, 2 * value, -value])) if value else [1, -1]
    if isinstance(value, str):
        return [value + "."] if value else []
    return []


def _other_calls(node):
    """A call without one of its options, or of another function, or its argument alone."""
    name = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
    for other in _NEIGHBOURS.get(name, ()):
        function = copy.copy(node.func)
        setattr(function, "attr" if isinstance(function, ast.Attribute) else "id", other)
        yield ast.Call(function, node.args, node.keywords)
    for i, option in enumerate(node.keywords):
        if option.arg not in _PROMISES:
            yield ast.Call(node.func, node.args, [*node.keywords[:i], *node.keywords[i + 1 :]])
    if len(node.args) > 1 and name not in _SYMMETRIC:
        yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)
    if name not in _CONVERSIONS:
        if node.args:
            yield node.args[0]
        elif isinstance(node.func, ast.Attribute):
            yield node.func.value  # a method of a value: the value


def _whole(node):
    """Whether the parts of a node stay as they are."""
    if isinstance(node, ast.keyword):
        return node.arg == "axis" or node.arg in _PROMISES
    return isinstance(node, _LEFT_ALONE)


class _Replace(ast.NodeTransformer):
    def __init__(self, number, change):
        self.left, self.change = number, change

    def visit(self, node):
        if self.left == 0:
            self.left = -1
            return self.change
        self.left -= 1
        return node if _whole(node) else self.generic_visit(node)


def _nodes(tree):
    """The nodes in the order in which `_Replace` meets them."""
    yield tree
    if not _whole(tree):
        for child in ast.iter_child_nodes(tree):
            yield from _nodes(child)


def _told(node):
    """A node in one line."""
    if isinstance(node, ast.comprehension):
        return " ".join(["for", _told(node.target), "in", _told(node.iter),
                         *(f"if {_told(x)}" for x in node.ifs)])  # fmt: skip
    if isinstance(node, ast.keyword):
        return f"{node.arg}={_told(node.value)}"
    if isinstance(node, ast.If):
        return f"if {_told(node.test)}"
    return " ".join(ast.unparse(node).split())


def _solution(number, exercise):
    """Name and tree of the function that an exercise's check gets, without its docstring."""
    name = calls(number)[exercise]
    for source, is_solution in cells(number):
        if is_solution:
            for node in ast.parse(editions.complete(source, number)).body:
                if isinstance(node, ast.FunctionDef) and node.name == name:
                    if ast.get_docstring(node):
                        node.body = node.body[1:]
                    return name, node
    raise LookupError(f"chapter {number} has no solution {name}")


def mutants(number, exercise):
    """Pairs (what was changed, in words; the changed function) of an exercise's solution."""
    name, tree = _solution(number, exercise)
    parameters = [argument.arg for argument in tree.args.args]
    seen, told = {ast.unparse(tree)}, {}
    for position, node in enumerate(_nodes(tree)):
        for change in _changes(node, parameters):
            changed = _Replace(position, change).visit(copy.deepcopy(tree))
            text = ast.unparse(ast.fix_missing_locations(changed))
            if text in seen:
                continue
            seen.add(text)
            words = f"{_told(node)}  →  {_told(change)}"
            told[words] = told.get(words, 0) + 1
            if told[words] > 1:
                words += f"  ({told[words]})"
            space = dict(solutions(number))
            try:
                exec(compile(text, f"<mutant of {exercise}>", "exec"), space)
            except SyntaxError:
                continue
            yield words, space[name]


def survivors(number, exercise):
    """How many mutants were tried, and the changes that the exercise's check accepts."""
    tried, module = list(mutants(number, exercise)), check_module(number)
    run = module.run
    # An endless loop is one soon; hints cost time and decide nothing.
    module.run = lambda *given, **options: run(*given[:4], **options, seconds=2.0)
    try:
        accepted = [words for words, mutant in tried if getattr(module, exercise)(mutant).passed]
    finally:
        module.run = run
    return len(tried), accepted


#: Mutants that give the same as the solution wherever the task says what is wanted:
#: "chapter-exercise" -> {change: why it makes no difference}.
_SHIFTED = "ranks that are all shifted by the same number correlate alike"
_BROADCAST = "a vector is broadcast along rows with and without a new first axis"
_BLANK = "of a blank text nothing is left, from whichever end it is taken away"
_SUMMED = "the order of what is summed up does not matter"
_NORMALISED = "a shift falls out of the quotient, and scores of probabilities do not overflow"
_NOWHERE = "a label that one of the two never uses adds 0 to the chance"
_LENGTH = "both have the same length"
_EITHER = "the correlation is the same in either direction"
EQUIVALENT = {
    "00-spearman": {
        "predicted  →  gold  (2)": _LENGTH,
        "gold  →  predicted  (2)": _LENGTH,
        "x @ y  →  y @ x": _EITHER,
    },
    "01-whiten": {
        "x - x.mean(axis=0)  →  x.mean(axis=0) - x": "a reflection is as good as a rotation",
    },
    "01-three_ways": {
        "spearmanr(similarity[inside], gold[inside])  →  "
        "spearmanr(gold[inside], similarity[inside])": _EITHER,
        "spearmanr(similarity, gold)  →  spearmanr(gold, similarity)": _EITHER,
        "inside.sum()  →  inside.mean()": "what is in proportion to the sizes weighs like them",
    },
    "02-outcome_shares": {
        "zip(premises, outputs, labels, strict=True)  →  "
        "zip(outputs, premises, labels, strict=True)":
            "the two texts are compared with each other only",
    },
    "02-spearman": {
        "np.corrcoef(ranks(x), ranks(y))  →  np.corrcoef(ranks(y), ranks(x))": _EITHER,
        "values[None, :] < values[:, None]  →  values[None, :] > values[:, None]":
            "both lists ranked from above correlate like both ranked from below",
        "(None, :)  →  (:,)": _BROADCAST,
        "(None, :)  →  (None,)": "the same axes, with the last one unnamed",
        "axis=1  →  axis=1 - 1": "counted along columns both lists are ranked from above",
        "(None, :)  →  (:,)  (2)": _BROADCAST,
        "(None, :)  →  (None,)  (2)": "the same axes, with the last one unnamed",
        "axis=1  →  axis=1 - 1  (2)": "to be equal goes both ways: the table is symmetric",
        "equal + 1  →  equal - 1": _SHIFTED,
        "equal + 1  →  equal": _SHIFTED,
        "1  →  2": _SHIFTED,
        "1  →  0": _SHIFTED,
        "1  →  -1": _SHIFTED,
        "1  →  -1  (2)": "the table of correlations is symmetric, of two rows and two columns",
    },
    "04-expected_score": {
        "p @ values  →  values @ p": "the product of two vectors is the same in either order",
    },
    "04-loosest_beta": {
        "np.unique(b)  →  np.asarray(b)": "a score that is tried twice keeps its precision",
        "np.unique(b)  →  b": "a score that is tried twice keeps its precision",
    },
    "06-ndcg": {
        "(first / np.log2(np.arange(len(first)) + 2)).sum()  →  "
        "(first / np.log2(np.arange(len(first)) + 2)).mean()":
            "both gains are divided by the same number of places",
        "np.log2(np.arange(len(first)) + 2)  →  np.log(np.arange(len(first)) + 2)":
            "the base of the logarithm falls out of the quotient",
    },
    "06-read_triplets": {
        "text.strip()  →  text.rstrip()": _BLANK,
        "text.strip()  →  text.lstrip()": _BLANK,
    },
    "07-ending_penalty": {
        "text.rstrip()  →  text.strip()": "only the end is looked at",
    },
    "08-gae_row": {
        "rewards  →  values": _LENGTH,
        "rewards  →  values  (2)": _LENGTH,
    },
    "08-clipped_objective": {
        "np.clip(ratio, 1 - epsilon, 1 + epsilon)  →  np.clip(1 - epsilon, ratio, 1 + epsilon)":
            "the larger of the ratio and the lower bound, whichever of them is called the bound",
    },
    "10-next_word": {
        "scores - scores.max()  →  scores + scores.max()": _NORMALISED,
        "scores - scores.max()  →  scores": _NORMALISED,
        "scores.max()  →  scores.min()": _NORMALISED,
    },
    "10-why_dropped": {
        "s.strip()  →  s.rstrip()": _BLANK,
        "s.strip()  →  s.lstrip()": _BLANK,
    },
    "10-straightness": {
        "float(np.linalg.norm(moves.sum(0)) / travelled) if travelled else math.nan  →  "
        "float(np.linalg.norm(moves.sum(0)) / travelled)":
            "numpy's 0/0 is NaN, with a warning",
    },
    "10-prompts_read": {
        "1  →  0": "nothing is needed for sentence 0: a round more, in which nothing is read",
        "0  →  1  (2)": "without lists there is no round, up to sentence 0 or sentence 1",
        "0  →  -1  (2)": "without lists there is no round, up to sentence 0 or below it",
    },
    "11-list_mle_row": {
        "::-1  →  :  (2)": _SUMMED,
        "-1  →  1  (2)": _SUMMED,
        "1  →  -1  (2)": _SUMMED,
    },
    "11-out_of_order": {
        "(None, :)  →  (:,)": _BROADCAST,
        "(None, :)  →  (None,)": "the same axes, with the last one unnamed",
    },
    "12-pair_features": {
        "u - v  →  v - u": "the absolute value forgets the direction",
    },
    "13-kappa": {
        "first  →  second": _NOWHERE,
        "second  →  first": _NOWHERE,
        "first  →  second  (2)": _LENGTH,
        "zip(first, second)  →  zip(second, first)": "two readers agree with each other",
        "set(first) | set(second)  →  set(first) & set(second)": _NOWHERE,
        "set(first) | set(second)  →  set(first)": _NOWHERE,
        "set(first) | set(second)  →  set(second)": _NOWHERE,
    },
    "13-alike": {
        "' '.join(text.lower().split())  →  text.lower().split()":
            "lists of words are equal where the words written side by side are",
        "' '  →  ' .'": "what stands between all words does not tell texts apart",
        "text.lower()  →  text.upper()": "one way of writing a letter is as good as the other",
    },
    "14-best_of": {
        "zip(ordered, choices)  →  zip(choices, ordered)": "a product has no order",
    },
    "14-parting": {
        "reward  →  right": _LENGTH,
    },
    "15-repeated": {
        "' '  →  ' .'": "what stands between all words does not tell texts apart",
    },
    "15-misorder": {
        "(None, :)  →  (:,)": _BROADCAST,
        "(None, :)  →  (None,)": "the same axes, with the last one unnamed",
        "1  →  0": "no sentence is more similar than itself",
        "len(s) * (len(s) - 1) / 2  →  len(s) * (len(s) - 1) // 2": "it is always a whole number",
    },
    "16-told_apart": {
        "np.abs(gap) < 1e-09  →  np.abs(gap) <= 1e-09":
            "two cosines never differ by this very number",
        "gap > 0  →  gap >= 0": "where the gap is 0 it is a tie, and was counted as one",
    },
    "17-texts_at_once": {
        "memory * 9 // 10  →  memory * 9 / 10":
            "rounded down once or twice it is the same whole number",
    },
}  # fmt: skip


def main(chapters):
    total = left = 0
    for number, exercise in EXERCISES:
        if chapters and number not in chapters:
            continue
        tried, accepted = survivors(number, exercise)
        known = EQUIVALENT.get(f"{number}-{exercise}", {})
        total, left = total + tried, left + len(accepted)
        print(f"{number} {exercise}: {tried} mutants, {len(accepted)} accepted")
        for words in accepted:
            print(f"    {words}" + (f"    ({known[words]})" if words in known else "    HOLE"))
    print(f"{total} mutants, {left} accepted")


if __name__ == "__main__":
    main(sys.argv[1:])
