"""The book's MyST Markdown as plain Markdown, for front ends that know no directives or roles."""

import re
from functools import cache

import project

FENCE = re.compile(r"^(?P<mark>:{3,}|`{3,})\{(?P<name>[\w:-]+)\}[ \t]*(?P<argument>.*)$")
OPTION = re.compile(r"^:[\w-]+:")
LABEL = re.compile(r"^\([\w:.-]+\)=\s*$")
PLACE = re.compile(r"^\((?P<label>[\w:.-]+)\)=\s*\n+#+ (?P<title>.+)$", re.M)
TITLE = re.compile(r"^# (?P<title>.+)$", re.M)
COMMENT = re.compile(r"^%( |$)")
ATTRIBUTES = re.compile(r"^\{[.#][^}]*\}\s*$")
ROLE = re.compile(r"\{(?P<name>[\w:]+)\}`(?P<content>[^`]+)`")
TITLED = re.compile(r"^(?P<text>.+?)\s*<(?P<target>[^>]+)>$", re.S)
MATH_LABEL = re.compile(r"\s*\$\$[ \t]*\((?P<label>[\w:.-]+)\)[ \t]*$", re.M)
RELATIVE_LINK = re.compile(r"\]\((?=\.\./)")

#: Roles that lead to another place.
REFERENCES = {"numref", "ref", "prf:ref", "doc"}
#: Directives that only arrange a page; their text is kept without a heading.
SILENT = {"container", "div", "grid", "grid-item", "tab-set", "epigraph", "margin", "aside"}
#: Directives whose content makes no sense outside the book.
DROPPED = {"toctree", "bibliography", "contents", "tableofcontents", "raw", "quiz"}
#: Directives that hold code; their argument is its language.
CODE = {"code", "code-block", "sourcecode"}


@cache
def citations():
    """Short form of each entry of the bibliography: key -> (authors, year)."""
    from pybtex.database import parse_file

    path = project.ROOT / "book" / "references.bib"
    if not path.is_file():
        return {}
    short = {}
    for key, entry in parse_file(str(path), bib_format="bibtex").entries.items():
        people = entry.persons.get("author") or entry.persons.get("editor") or []
        names = [" ".join(person.prelast_names + person.last_names) for person in people]
        who = names[0] if names else key
        if len(names) == 2:
            who = " and ".join(names)
        elif len(names) > 2:
            who += " et al."
        short[key] = (re.sub(r"[{}\\]", "", who), entry.fields.get("year", "n.d."))
    return short


def cite(keys, textual):
    """A citation as text: "(Gao et al., 2021)" or "Gao et al. (2021)"."""
    known = [citations().get(key.strip(), (key.strip(), "")) for key in keys.split(",")]
    if textual:
        return ", ".join(f"{who} ({year})" if year else who for who, year in known)
    return "(" + "; ".join(f"{who}, {year}" if year else who for who, year in known) + ")"


#: How a label is given, by kind: in a cell's code, in an option of a directive, behind an equation.
DEFINED = {
    "Figure": re.compile(
        r"""(?:label\s*=\s*|"name":\s*)["'](?P<label>fig-[\w-]+)|^:name:\s*(?P<name>fig-\S+)""",
        re.M,
    ),
    "Equation": re.compile(r"\$\$[ \t]*\((?P<label>eq-[\w-]+)\)|^:label:\s*(?P<name>eq-\S+)", re.M),
    "Exercise": re.compile(
        r"^[`:]{3,}\{exercise\}[^\n]*\n(?:[`:\w][^\n]*\n)*?:label:\s*(?P<label>\S+)", re.M
    ),
}


def prose(path):
    """The Markdown of a chapter's source, with its code between."""
    return re.sub(r"^# ?", "", path.read_text(encoding="utf-8"), flags=re.M)


@cache
def numbers():
    """Kind and number ("3.2") of each labelled figure, equation and exercise, as on the site."""
    found = {}
    for path in project.chapters():
        text = prose(path)
        for kind, pattern in DEFINED.items():
            labels = [next(filter(None, match.groups())) for match in pattern.finditer(text)]
            for position, label in enumerate(dict.fromkeys(labels), start=1):
                found[label] = (kind, f"{int(path.stem[:2])}.{position}")
    return found


@cache
def places():
    """Each page by its document's name and each label of a heading: label -> (text, page).

    A page is a path from the repository's root without its ending, as Sphinx names it. The text is
    "Chapter 7", or the title of another page or of a section.
    """
    texts = {f"notebooks/{path.stem}": prose(path) for path in project.sources()}
    for path in sorted((project.ROOT / "book").glob("**/*.md")):
        page = path.relative_to(project.ROOT).with_suffix("").as_posix()
        texts[page] = path.read_text(encoding="utf-8")
    found = {}
    for page, text in texts.items():
        chapter = re.match(r"notebooks/(\d\d)_", page)
        title = TITLE.search(text)
        if title:
            named = f"Chapter {int(chapter[1])}" if chapter else f"*{title['title']}*"
            found[page] = (named, page)
        for place in PLACE.finditer(text):
            opening = title and place["title"] == title["title"]
            found[place["label"]] = found[page] if opening else (f"*{place['title']}*", page)
    return found


def number(label):
    """The bare number of a labelled equation."""
    return numbers().get(label, ("", label))[1]


def named(label):
    """A reference as text: "Figure 3.2", "Chapter 3", a title, else its label's words."""
    if label in numbers():
        return " ".join(numbers()[label])
    if label.lstrip("/") in places():
        return places()[label.lstrip("/")][0]
    return re.sub(r"[-_]", " ", label.rsplit("/", 1)[-1])


def role(match, address):
    """The readable text of one role; `address` gives the public address of a page, or None."""
    name, content = match["name"], match["content"].strip()
    titled = TITLED.match(content)
    if name.startswith("cite"):
        return cite(content, textual=name.startswith("cite:t"))
    if name == "math":
        return f"${content}$"
    if name == "eq":
        return f"({number(content)})"
    if name in REFERENCES:
        target = titled["target"] if titled else content
        text = named(target)
        if titled:
            text = titled["text"].replace("{number}", "%s").replace("%s", number(target))
        _, page = places().get(target.lstrip("/"), ("", None))
        link = page and address(page)
        return f"[{text}]({link})" if link else text
    if name == "term":
        return titled["text"] if titled else content
    return f"`{content}`"


def heading(name, argument, label):
    """What stands in place of a directive's opening line."""
    kind = name.split(":")[-1].replace("-", " ").capitalize()
    if label in numbers():
        kind = named(label)
    if name in ("admonition", "dropdown", "tab-item", "card", "topic", "sidebar"):
        return f"**{argument}**" if argument else None
    return f"**{kind}: {argument}**" if argument else f"**{kind}**"


def to_plain(text, *, address=lambda page: None, up=""):
    """MyST Markdown of one cell as plain Markdown.

    Parameters
    ----------
    text : str
        Source of a Markdown cell.
    address : callable, optional
        From a page (``"notebooks/02_pocket_laboratory"``) to its public address, or None where it
        has none; then a reference is text without a link.
    up : str, optional
        "../" for each folder that the text will lie deeper than its relative links assume.

    Returns
    -------
    str
        The same prose: directives as bold headings, references and citations as text, labels of
        equations as tags, without anchors and comments.
    """
    out, stack, lines = [], [], text.split("\n")
    position = 0
    while position < len(lines):
        line = lines[position]
        position += 1
        verbatim = bool(stack) and stack[-1]["verbatim"]
        dropped = any(entry["dropped"] for entry in stack)
        if stack and line.strip() == stack[-1]["mark"]:
            closing = stack.pop()["closing"]
            if closing and not dropped:
                out.append(closing)
            continue
        directive = None if verbatim else FENCE.match(line)
        if directive:
            options, position = skip_options(lines, position)
            opening, entry = open_directive(
                directive["name"], directive["argument"].strip(), options
            )
            stack.append(entry | {"mark": directive["mark"]})
            if not dropped:
                out += opening
            continue
        fence = None if verbatim else re.match(r"(`{3,}|~{3,})", line)
        if fence:
            mark = fence.group()
            stack.append({"mark": mark, "closing": mark, "verbatim": True, "dropped": False})
        elif not verbatim and (LABEL.match(line) or ATTRIBUTES.match(line) or COMMENT.match(line)):
            continue
        if not dropped:
            out.append(line)
    return inline("\n".join(out), address, up).strip("\n")


def open_directive(name, argument, options):
    """Lines that replace a directive's opening, and how its content is treated."""
    entry = {"closing": None, "verbatim": False, "dropped": name in DROPPED}
    if name in DROPPED:
        return [], entry
    if name in CODE:
        return ["```" + argument], entry | {"closing": "```", "verbatim": True}
    if name == "prompt":
        texts = prompt_texts(argument, options.get("form", "paper"))
        return ["\n".join(["```text", text, "```", ""]) for text in texts], entry
    if name == "math":
        tag = [f"\\tag{{{number(options['label'])}}}"] if "label" in options else []
        return ["$$", *tag], entry | {"closing": "$$", "verbatim": True}
    if name in ("figure", "image"):
        return [f"![{options.get('alt', '')}]({argument})", ""], entry
    title = None if name in SILENT else heading(name, argument, options.get("label"))
    return [title, ""] if title else [], entry


def prompt_texts(name, form):
    """The texts of one constant of `synthlib.prompts` in one form."""
    from synthlib import prompts

    texts = getattr(prompts, name)
    texts = texts[form] if isinstance(texts, dict) else texts
    return (texts,) if isinstance(texts, str) else texts


def skip_options(lines, position):
    """Options that follow a directive's opening line, and where its content begins."""
    options = {}
    if position < len(lines) and lines[position].strip() == "---":
        position += 1
        while position < len(lines) and lines[position].strip() != "---":
            key, _, value = lines[position].partition(":")
            options[key.strip()] = value.strip()
            position += 1
        return options, position + 1
    while position < len(lines) and OPTION.match(lines[position]):
        _, key, value = lines[position].split(":", 2)
        options[key] = value.strip()
        position += 1
    while position < len(lines) and options and not lines[position].strip():
        position += 1
    return options, position


def inline(text, address, up):
    """Roles, labels of equations and links, outside code."""
    parts = re.split(r"(^(?:```|~~~).*?^(?:```|~~~)[ \t]*$)", text, flags=re.S | re.M)
    for index in range(0, len(parts), 2):
        part = ROLE.sub(lambda match: role(match, address), parts[index])
        part = MATH_LABEL.sub(lambda m: f" \\tag{{{number(m['label'])}}}\n$$", part)
        parts[index] = RELATIVE_LINK.sub(f"]({up}", part)
    return "".join(parts)
