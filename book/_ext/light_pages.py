"""Sphinx extension: a page loads what it shows, and no more.

    python book/_ext/light_pages.py [folder]      the same for a site that is built already

The theme brings 1.5 MB of script that draws icons, three icon fonts and half a megabyte of style
sheets, of which this book uses a tenth. When the pages are written, this is done to all of them:

- icons are characters of the theme's own fonts, which are cut down to the icons that are used;
- a rule of the theme's style sheets stays if some page or script has all the classes and ids that
  one of its selectors names;
- code has marks around the words that have a colour of their own;
- MathJax is loaded where there is mathematics, and an extension's script where it has a use;
- icons are hidden from screen readers, which would read a character that is none, and the button
  of the search is called what stands on it;
- a page knows from its first line on whether it is light or dark;
- what the search shows of a page is also in one script, for pages that are opened as files.

Done twice it changes nothing more.
"""

import html
import json
import logging
import re
import sys
from pathlib import Path

import project
from fontTools import subset
from fontTools.ttLib import TTFont

#: The theme's style sheets and those of extensions, which are much larger than what is used.
SHEETS = (
    "styles/pydata-sphinx-theme.css", "styles/sphinx-book-theme.css", "sphinx-design.min.css",
    "book.css", "mystnb.*.css", "pygments.css", "basic.css", "togglebutton.css", "proof.css",
)  # fmt: skip
#: The theme's script that replaces each icon by a drawing.
ICON_SCRIPT = "scripts/fontawesome.js"
FONTS = "vendor/fontawesome/webfonts"
#: The text of all pages, for the search on file://; `book.js` loads it.
SEARCH_TEXT = "search_text.js"
#: Scripts that make elements of their own kind, whose words say nothing about the theme's classes.
APART = ("vendor/", "figures/", "generator-", SEARCH_TEXT)

_STRING = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')""", re.S)
_NAME = re.compile(r"[.#]((?:\\.|[\w-])+)")


def pieces(css):
    """The statements of a style sheet: at-rules without a body, rules, at-rules with one.

    Yields
    ------
    (head, body) : tuple of str
        `body` is None where there is none.
    """
    css = re.sub(r"/\*(?!!).*?\*/", "", css, flags=re.S)
    # Braces and semicolons within strings and comments end nothing.
    hidden = re.sub(
        r"/\*.*?\*/|" + _STRING.pattern, lambda m: "x" * len(m[0]), css, flags=re.S
    )  # fmt: skip
    start = at = depth = 0
    opened = None
    for mark in re.finditer(r"[{};()]", hidden):
        at, sign = mark.start(), mark[0]
        if sign in "()":
            depth += 1 if sign == "(" else -1
        elif sign == "{":
            if opened is None:
                opened, level = at, 0
            level += 1
        elif sign == "}":
            level -= 1
            if not level:
                yield css[start:opened], css[opened + 1 : at]
                start, opened = at + 1, None
        elif opened is None and depth <= 0:
            yield css[start:at], None
            start = at + 1


def parts(selectors):
    """The selectors of a list, at the commas that stand in no bracket."""
    found, depth, start = [], 0, 0
    for at, sign in enumerate(selectors):
        depth += (sign in "([") - (sign in ")]")
        if sign == "," and not depth:
            found.append(selectors[start:at])
            start = at + 1
    return [*found, selectors[start:]]


def used(selector, words):
    """Whether all classes and ids that a selector asks for are among `words`."""
    plain = _STRING.sub("", selector)
    while (inner := re.sub(r"\([^()]*\)", "", plain)) != plain:  # what :not() and :is() hold
        plain = inner
    return all(name.replace("\\", "") in words for name in _NAME.findall(plain))


def purged(css, words):
    """A style sheet without the rules that no page needs.

    Parameters
    ----------
    css : str
    words : set of str
        Classes and ids of all pages, and every word of their scripts.

    Returns
    -------
    str
    """
    out = []
    for head, body in pieces(css):
        notes = "".join(re.findall(r"/\*!.*?\*/", head, re.S))
        rule = re.sub(r"/\*!.*?\*/", "", head, flags=re.S).strip()
        if body is None:
            out.append(notes + (f"{rule};" if rule else ""))
        elif re.match(r"@(media|supports|layer|container)\b", rule):
            inner = purged(body, words)
            out.append(notes + (f"{rule}{{{inner}}}" if inner else ""))
        elif rule.startswith("@"):
            out.append(f"{notes}{rule}{{{body}}}")
        else:
            kept = [one.strip() for one in parts(rule) if used(one, words)]
            out.append(notes + (f"{','.join(kept)}{{{body.strip()}}}" if kept else ""))
    return "".join(out)


def words_of(pages, scripts):
    """What rules may ask for: classes and ids of pages, every word of scripts."""
    found = set()
    for text in pages:
        for value in re.findall(r"""\b(?:class|id)=(?:"([^"]*)"|'([^']*)')""", text):
            found.update(html.unescape("".join(value)).split())
        for inline in re.findall(r"<script\b(?![^>]*json)[^>]*>(.+?)</script>", text, re.S):
            found.update(re.findall(r"[\w-]+", inline))
    for text in scripts:
        found.update(re.findall(r"[\w-]+", text))
    return found


def cut_fonts(static, sheet):
    """Replace the icon fonts by ones that have the icons which a style sheet names.

    Parameters
    ----------
    static : Path
    sheet : str
        The text of the theme's style sheet.

    Returns
    -------
    str
        The style sheet, which names the new files.
    """
    logging.getLogger("fontTools").setLevel(logging.WARNING)  # it tells of every table
    icons = {int(code, 16) for code in re.findall(r"\\([ef][0-9a-f]{3})\b", sheet)}
    icons |= {ord(sign) for sign in re.findall("[\ue000-\uf8ff]", sheet)}
    for source in sorted((static / FONTS).glob("*.ttf")):
        font = TTFont(source)
        options = subset.Options()
        options.flavor = "woff"
        # Who made them and under which licence stays; the name is reserved for the whole font.
        options.name_IDs, options.name_languages = [0, 13, 14], ["*"]
        cutter = subset.Subsetter(options)
        cutter.populate(unicodes=icons)
        cutter.subset(font)
        font.flavor = "woff"
        font.save(source.with_suffix(".woff"))
        sheet = re.sub(
            rf"src:url\(([^)]*{source.stem})\.woff2\)[^;}}]*",
            r'src:url(\1.woff) format("woff")', sheet,
        )  # fmt: skip
        source.unlink()
        source.with_suffix(".woff2").unlink(missing_ok=True)
    return sheet


#: The theme's word for light or dark that its script finds out only later; until then a page would
#: show, and load, the pictures of both.
_LATER = re.compile(r'(dataset\.theme = )localStorage\.getItem\("theme"\) \|\| "\w*";')
_NOW = (
    r"\1/^(light|dark)$/.test(document.documentElement.dataset.mode)"
    r" ? document.documentElement.dataset.mode"
    r' : matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";'
)


#: Scripts of extensions, and what a page that needs one has.
_NEEDED = {
    "togglebutton.js": r'class="(?:[^"]* )?(?:toggle|dropdown admonition|admonition[^"]* dropdown)'
    r'[ "]',
    "design-tabs.js": r'class="(?:[^"]* )?sd-tab-set[ "]',
}
_ICON = re.compile(r'<(i|span) (class="(?:[^"]* )?(?:fa-solid|fa-regular|fa-brands|fas|far|fab) )')
_SEARCH = re.compile(r"<button [^>]*search-button-field[^>]*>")


def light_page(text):
    """A page without the scripts that it does not need, which knows at once if it is dark.

    Its icons are no words, and the button of the search is called what stands on it.
    """
    text = _LATER.sub(_NOW, text)
    text = _ICON.sub(r'<\1 aria-hidden="true" \2', text)
    text = _SEARCH.sub(lambda button: button[0].replace(' aria-label="Search"', ""), text)
    text = re.sub(rf'<script src="[^"]*{ICON_SCRIPT}[^"]*"></script>\s*', "", text)
    if not re.search(r'class="[^"]*\bmath\b', text):
        text = re.sub(r"<script>window\.MathJax = .*?</script>\s*", "", text)
        text = re.sub(r"<script [^>]*vendor/mathjax/[^>]*></script>\s*", "", text)
    for script, sign in _NEEDED.items():
        if not re.search(sign, text):
            text = re.sub(rf"<script [^>]*_static/{script}[^>]*></script>\s*", "", text)
    return text


def plain_words(sheet):
    """Classes of code that look like code without a class, in light and in dark.

    Parameters
    ----------
    sheet : str
        ``pygments.css``.
    """
    found = []
    for mode in ("light", "dark"):
        rule = rf'html\[data-theme="{mode}"\] \.highlight'
        own = re.search(rule + r" \{[^}]*(?<!-)color: (#\w+)[^}]*\}", sheet)
        rules = re.findall(rule + r" \.(\w+) \{ *color: (#\w+);? *\}", sheet)
        found.append({name for name, colour in rules if own and colour == own[1]})
    return set.intersection(*found)


def plain_code(text, classes):
    """A page whose code has no marks around words that look as they would without: half of all."""
    if not classes:
        return text
    mark = re.compile(rf'<span class="(?:{"|".join(sorted(classes))})">([^<]*)</span>')
    code = re.compile(r'<div class="highlight"><pre>.*?</pre></div>', re.S)
    return code.sub(lambda found: mark.sub(r"\1", found[0]), text)


def search_text(site, pages):
    """Script with the text of all pages, as the search's excerpts need it."""
    from bs4 import BeautifulSoup

    found = {}
    for path in pages:
        article = BeautifulSoup(path.read_text("utf-8"), "html.parser").select_one("article")
        if article is None:
            continue
        for tag in article.select("script, style, svg, .headerlink, .sc-data"):
            tag.decompose()
        name = path.relative_to(site).as_posix()
        found[name] = " ".join(article.get_text(" ").split())
    return f"window.SC_SEARCH_TEXT = {json.dumps(found, ensure_ascii=False)};\n"


def lighten(site):
    """Do all of it to a built site.

    Parameters
    ----------
    site : Path
    """
    site = Path(site)
    static = site / "_static"
    paths = [p for p in sorted(site.rglob("*.html")) if "_static" not in p.parts]
    colours = static / "pygments.css"
    plain = plain_words(colours.read_text("utf-8")) if colours.is_file() else set()
    for path in paths:
        text = path.read_text("utf-8")
        if (light := plain_code(light_page(text), plain)) != text:
            path.write_text(light, "utf-8")
    for path in {*static.rglob("*.map"), *static.glob(ICON_SCRIPT + "*")}:
        path.unlink()
    scripts = [
        p.read_text("utf-8", errors="replace")
        for p in static.rglob("*.js")
        if not p.relative_to(static).as_posix().startswith(APART)
    ]
    words = words_of([path.read_text("utf-8") for path in paths], scripts)
    for path in (p for pattern in SHEETS for p in sorted(static.glob(pattern))):
        sheet = purged(path.read_text("utf-8"), words)
        if path.name == "pydata-sphinx-theme.css":
            sheet = cut_fonts(static, sheet)
        path.write_text(sheet, "utf-8")
    (static / SEARCH_TEXT).write_text(search_text(site, paths), "utf-8")


def finish(app, exception):
    """After the last page."""
    if not exception and app.builder.format == "html":
        lighten(app.outdir)


def setup(app):
    """Connect it behind all others that write into pages."""
    app.connect("build-finished", finish, priority=950)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}


if __name__ == "__main__":
    lighten(sys.argv[1] if len(sys.argv) > 1 else project.SITE)
