"""What the cells of a notebook define, read and call: found in their text, nothing is executed."""

import ast
import re
import symtable

IMPORT = ast.Import | ast.ImportFrom
#: A cell that does nothing but call an exercise's check with a function by its name.
CHECK = re.compile(r"checks\.ch(\d\d)\.(\w+)\(([A-Za-z]\w*)\)")


def statements(source):
    """The statements of a cell; lines for IPython alone left out.

    Raises
    ------
    SyntaxError
        What is left is no Python.
    """
    return ast.parse(re.sub(r"^\s*[%!?].*$", "", source, flags=re.M)).body


def is_check(source):
    """Whether a cell does nothing but call an exercise's check with a function by its name."""
    return CHECK.fullmatch(source.strip()) is not None


def names(nodes, context):
    """Names that are read (ast.Load) or given a value (ast.Store) anywhere in some statements."""
    return {
        x.id for node in nodes for x in ast.walk(node)
        if isinstance(x, ast.Name) and isinstance(x.ctx, context)
    }  # fmt: skip


def bound(source):
    """Names that a cell gives a value."""
    made = [x for x in statements(source) if isinstance(x, ast.FunctionDef | ast.ClassDef)]
    rest = [x for x in statements(source) if x not in made]
    return {x.name for x in made} | names(rest, ast.Store)


def _defined(source):
    """Names of the functions that a cell defines."""
    return {x.name for x in statements(source) if isinstance(x, ast.FunctionDef)}


def imports(source, wanted=None):
    """The import statements of a cell, as text; of `wanted` names alone where they are given."""
    found = []
    for node in (x for x in statements(source) if isinstance(x, IMPORT)):
        if wanted is not None:
            pairs = [(a.asname or a.name.split(".")[0], a) for a in node.names]
            node.names = [alias for name, alias in pairs if name in {*wanted, "*"}]
        if node.names:
            found.append(ast.unparse(node))
    return "\n".join(found)


def _read(source):
    """Names of the notebook that a cell may read, in pandas' queries too.

    Of what only IPython understands, all its words; what nobody understands reads nothing, for it
    does not begin to run.
    """
    try:
        whole = ast.Module(statements(source), [])
        scopes = [symtable.symtable(ast.unparse(whole), "cell", "exec")]
    except SyntaxError:
        return set(re.findall(r"[A-Za-z_]\w*", source)) if _for_ipython(source) else set()
    said = {s.get_name() for s in scopes[0].get_symbols() if s.is_referenced()}
    for scope in scopes:  # grows: functions in functions
        scopes += scope.get_children()
        said |= {s.get_name() for s in scope.get_symbols() if s.is_global() and s.is_referenced()}
    texts = [x.value for x in ast.walk(whole) if isinstance(x, ast.Constant)]
    return said | {name for text in texts for name in re.findall(r"@(\w+)", str(text))}


def _for_ipython(source):
    """Whether a cell that is no Python is one when IPython has read it: ``files = !ls``."""
    from IPython.core.inputtransformer2 import TransformerManager

    try:
        ast.parse(TransformerManager().transform_cell(source))
    except SyntaxError:
        return False
    return True


def _changed(source):
    """Names that a cell gives a value, or whose parts it does: ``table["x"] = 1``."""
    parts = set()
    for node in (x for statement in statements(source) for x in ast.walk(statement)):
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            while isinstance(node, ast.Subscript | ast.Attribute):
                node = node.value
            if isinstance(node, ast.Name):
                parts.add(node.id)
    return bound(source) | parts


def needed(sources, handed_out, functions=()):
    """The cells that a submission's functions need, in their order.

    The student's own cells and those of the exercises, whole. Of the cells that are as they were
    handed out, those that make what is read by a cell that is needed; of the others the imports of
    what is read. No calls of checks.

    Parameters
    ----------
    sources : list of str
        Of the submission's code cells.
    handed_out : set of str
        Of the code cells of the notebook that was handed out.
    functions : set of str, optional
        Names of the exercises' functions.

    Returns
    -------
    list of (int, str)
        Number of the cell, counted from 1, and what is to be run of it.
    """
    functions = set(functions)
    own = {i for i, source in enumerate(sources)
           if source not in handed_out or functions & _defined(source)}  # fmt: skip
    open_ = [i for i, source in enumerate(sources) if i not in own and not is_check(source)]
    kept = {i for i in own if not is_check(sources[i])}
    wanted = set().union(*(_read(sources[i]) for i in kept), set())
    while more := {i for i in open_ if i not in kept and _changed(sources[i]) & wanted}:
        kept |= more
        wanted |= set().union(*(_read(sources[i]) for i in more))
    found = []
    for i, source in enumerate(sources):
        text = source if i in kept else imports(source, wanted) if i in open_ else ""
        if text.strip():
            found.append((i + 1, text))
    return found
