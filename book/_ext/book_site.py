"""Sphinx extension of the book: everything served from the book itself, numbers by chapter.

- Launch buttons, and links to the repository and its issues, appear only when its address is known.
- A chapter's page has the directives and roles of its source, which the notebooks do without.
- The execution cache is the one that belongs to the present sources of `synthlib` and `data`.
- No page names an address from which a script, style or font would be loaded.
- Chapters carry their number in their title.
- Figures, equations, tables and exercises carry their chapter's number ("Figure 3.2"), and those
  of the reference pages a letter ("Figure B.1").
- Each chapter offers its student notebook for download.
- Pages without JavaScript are light, and folded cells are named by what they say.
- Every head of a table has a text.
- The foot of a page says version and licences.
"""

import html
import os
import re
import shutil
from importlib.resources import files
from pathlib import Path

import editions
import nbformat
import project
import student_edition
from docutils import nodes
from sphinx.transforms import SphinxTransform


def configure(app, config):
    """Fill in what `_config.yml` cannot know."""
    config.nb_execution_cache_path = os.environ.get("BOOK_CACHE") or str(project.cache_path())
    if project.for_students():
        config.nb_execution_mode = "off"  # the outputs come from the cache, without solutions
    options = config.html_theme_options
    url, branch = project.repository()
    if not url:
        options.pop("repository_url", None)
        return
    options.update(
        repository_url=url,
        repository_branch=branch,
        use_repository_button=True,
        use_issues_button=True,  # a page can be discussed from the page
        launch_buttons={
            "notebook_interface": "jupyterlab",
            "binderhub_url": "https://mybinder.org",
            "colab_url": "https://colab.research.google.com",
        },
    )


def with_directives(app, docname, source):
    """Give a chapter's page the prose of its source; the notebook has it in plain Markdown.

    The code stays that of the notebook, which was executed.
    """
    if project.for_students() and docname in student_edition.FOR_INSTRUCTORS:
        source[0] = student_edition.left_out(source[0])
    path = project.CHAPTERS / f"{docname.removeprefix('notebooks/')}.py"
    if not docname.startswith("notebooks/") or not path.is_file():
        return
    nb = nbformat.reads(source[0], as_version=4)
    if project.for_students():
        run = student_edition.executed(nb, app.config.nb_execution_cache_path)
        source[0] = nbformat.writes(student_edition.page(path, run))
        return
    prose = {cell.id: cell.source for cell in editions.notebook(path, page=True).cells}
    for cell in nb.cells:
        if cell.cell_type == "markdown":
            cell.source = prose.get(cell.id, cell.source)
    source[0] = nbformat.writes(nb)


def number_by_chapter(app, env):
    """Replace the running numbers of the whole book by numbers within each chapter."""
    letters = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    changed = []
    for docname in walk(env, env.config.root_doc):
        kinds = env.toc_fignumbers.get(docname)
        name = docname.rsplit("/", 1)[-1]
        chapter = re.match(r"(\d\d)_", name)
        prefix = (
            str(int(chapter.group(1)))
            if chapter
            else next(letters)
            if "/reference/" in docname
            else None
        )
        if not kinds or prefix is None:
            continue
        for kind, numbers in kinds.items():
            env.toc_fignumbers[docname][kind] = {
                identifier: (prefix, position)
                for position, identifier in enumerate(numbers, start=1)
            }
        changed.append(docname)
    return changed


class NumberTitle(SphinxTransform):
    """Put the chapter's number before its title, in the page and wherever the title is shown."""

    default_priority = 400

    def apply(self, **kwargs):
        """Change the first title of a chapter."""
        chapter = re.match(r"notebooks/(\d\d)_", self.env.docname)
        title = next(self.document.findall(nodes.title), None)
        if chapter and title is not None:
            title.insert(0, nodes.Text(f"{int(chapter.group(1))}. "))


def walk(env, docname):
    """Documents in the order of the table of contents."""
    yield docname
    for child in env.toctree_includes.get(docname, []):
        yield from walk(env, child)


def stage_anywidget(app):
    """Serve anywidget's module from the book; it comes from the installed package."""
    staged = Path(app.outdir).parent / ".book_assets"
    (staged / "vendor").mkdir(parents=True, exist_ok=True)
    shutil.copy(
        str(files("anywidget") / "nbextension" / "index.js"), staged / "vendor" / "anywidget.js"
    )
    app.config.html_static_path.append(str(staged))


def breakable(body):
    """Let the names in a table's cells break at their dots, slashes and underscores.

    A cell that holds ``tests/test_x.py::test_y`` is otherwise as wide as the name is long, and
    what stands right of it leaves the page.
    """

    def name(found):
        return found[1] + re.sub(r"(::|[./_])(?=\w)", r"\1<wbr>", found[2])

    def cell(found):
        return re.sub(r'(<span class="pre">)([^<]+)', name, found[0])

    return re.sub(r"<td\b.*?</td>", cell, body, flags=re.S)


def named_heads(body):
    """Tables of data frames without empty heads, which a screen reader reads as nothing.

    pandas writes the names of the index into a row of their own, below the names of the columns:
    where the two rows fill each other's gaps they become one. What is left empty above the rows'
    own heads says "row", unseen; elsewhere it is no head but an empty cell.
    """
    cell = re.compile(r"<th\b([^>]*)>(.*?)</th>", re.S)

    def empty(text):
        return not re.sub(r"<[^>]+>|&nbsp;|&#160;|\s", "", text)

    def heads(row):
        return cell.findall(row)

    def head(found):
        rows = re.findall(r"<tr\b.*?</tr>", found[0], flags=re.S)
        if len(rows) > 1:
            upper, lower = heads(rows[-2]), heads(rows[-1])
            fits = len(upper) == len(lower) and "colspan" not in rows[-2] + rows[-1]
            if fits and all(empty(a[1]) or empty(b[1]) for a, b in zip(upper, lower, strict=True)):
                both = (b if empty(a[1]) else a for a, b in zip(upper, lower, strict=True))
                start = re.match(r"<tr\b[^>]*>", rows[-2])[0]
                cells = "".join(f"<th{more}>{text}</th>" for more, text in both)
                rows[-2:] = [f"{start}{cells}</tr>"]
        last = len(rows) - 1

        def filled(row, at):
            place = iter(range(len(heads(row))))

            def one(th):
                first = next(place) == 0
                if not empty(th[2]):
                    return th[0]
                if first and at == last:
                    return f'<th{th[1]}><span class="visually-hidden">row</span></th>'
                return f"<td{th[1]}></td>"

            return cell.sub(one, row)

        return "<thead>" + "".join(filled(row, at) for at, row in enumerate(rows)) + "</thead>"

    return re.sub(r"<thead>.*?</thead>", head, body, flags=re.S)


def footer(pathto):
    """What stands at the foot of every page: version, licences, where the rest is.

    Parameters
    ----------
    pathto : callable
        Address of a document of the book, as seen from the page.
    """
    links = [
        ("status of this build", pathto("book/reference/status")),
        ("what changed", pathto("book/reference/changelog")),
        ("accessibility", pathto("book/reference/accessibility")),
    ]
    url, _ = project.repository()
    if url:
        links.append(("source", url))
    shown = " · ".join(f'<a href="{html.escape(to)}">{name}</a>' for name, to in links)
    licence = "https://creativecommons.org/licenses/by/4.0/"
    return (
        f"<p>Version {html.escape(project.version())} · text and figures "
        f'<a rel="license" href="{licence}">CC BY 4.0</a>, code MIT · {shown}</p>'
    )


def finish_page(app, pagename, templatename, context, doctree):
    """Drop scripts that name a content delivery network; offer the student notebook; the footer."""
    if "pathto" in context:
        context["theme_extra_footer"] = footer(context["pathto"])

    def from_thebe(script):
        body = (getattr(script, "attributes", None) or {}).get("body") or ""
        name = str(getattr(script, "filename", None) or "")
        return "THEBE_JS_URL" in body or "thebe" in name

    def thebe_style(sheet):
        return "thebe" in str(getattr(sheet, "filename", None) or sheet)

    context["script_files"] = [s for s in context.get("script_files", []) if not from_thebe(s)]
    context["css_files"] = [s for s in context.get("css_files", []) if not thebe_style(s)]

    if context.get("body"):
        body = re.sub(r'<script type="text/x-thebe.*?</script>', "", context["body"], flags=re.S)
        body = re.sub(r"<script>kernelName = '[^']*'</script>", "", body)
        body = named_heads(breakable(body))
        # One id for the text of every exercise would be given several times on a page.
        body = body.replace('<section id="exercise-content">', "<section>")
        # DPUB-ARIA 1.1 deprecates the role that docutils gives a bibliography's entries.
        body = body.replace('role="doc-biblioentry"', 'role="listitem"')
        # The name of a folded cell is what it says: "Show the code".
        context["body"] = body.replace('<summary aria-label="Toggle hidden content">', "<summary>")

    student = project.NOTEBOOKS / "student" / f"{Path(pagename).name}.ipynb"
    if not pagename.startswith("notebooks/") or not student.is_file():
        return
    folder = "notebooks/student"
    if project.for_students():
        offer_student_notebook_alone(context, folder)
        return
    copied = Path(app.outdir) / "_sources" / folder / student.name
    copied.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(student, copied)
    groups = {group.get("label"): group for group in context.get("header_buttons", [])}
    groups["download-buttons"]["buttons"].insert(
        0,
        {
            "type": "link",
            "url": f"{context['pathto']('_sources', 1)}/{folder}/{student.name}",
            "text": "student .ipynb",
            "tooltip": "Download the notebook without the solutions",
            "icon": "fas fa-graduation-cap",
            "label": "download-student-button",
        },
    )
    launch = groups.get("launch-buttons", {"buttons": []})["buttons"]
    for button in [b for b in launch if b["text"] == "Colab"]:
        student_url = button["url"].replace("/notebooks/", f"/{folder}/")
        launch.insert(0, button | {"text": "Colab, student notebook", "url": student_url})


def offer_student_notebook_alone(context, folder):
    """The buttons of a page without solutions lead to the student notebook."""
    for group in context.get("header_buttons", []):
        for button in group.get("buttons", []):
            if group.get("label") == "launch-buttons" and button.get("url"):
                button["url"] = button["url"].replace("/notebooks/", f"/{folder}/")


def without_solutions(app, exception):
    """What the student edition hands out as its sources holds no solution either."""
    if project.for_students() and app.builder.format == "html":
        student_edition.replace_sources(app.outdir)


def light_without_script(app, exception):
    """Without JavaScript a page is light; the theme would leave it without any colour."""
    if exception or app.builder.format != "html":
        return
    for path in Path(app.outdir).rglob("*.html"):
        text = path.read_text(encoding="utf-8")
        if 'data-theme="auto"' in text[:500]:
            path.write_text(text.replace('data-theme="auto"', 'data-theme="light"', 1), "utf-8")


def setup(app):
    """Connect the pieces."""
    app.connect("config-inited", configure, priority=900)
    app.connect("builder-inited", stage_anywidget)
    app.add_transform(NumberTitle)
    app.connect("source-read", with_directives)
    app.connect("env-get-updated", number_by_chapter, priority=900)
    app.connect("html-page-context", finish_page, priority=900)
    app.connect("build-finished", light_without_script)
    app.connect("build-finished", without_solutions)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
