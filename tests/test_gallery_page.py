"""The gallery: every figure of the chapters, small, with its place, data, command and licence."""

import base64
import html
import io
import re
import shlex
from types import SimpleNamespace

import gallery_page
import project
import pytest
from bs4 import BeautifulSoup
from PIL import Image
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from synthlib import commands
from synthlib.viz import gallery
from synthlib.viz.figure import MIMETYPE


def png(size=(1120, 700), colour=(0, 85, 198, 255)):
    out = io.BytesIO()
    Image.new("RGBA", size, colour).save(out, "PNG")
    return out.getvalue()


@pytest.fixture
def executed(tmp_path, monkeypatch):
    """Stands in for the execution cache: each chapter has left the figures that it names."""
    monkeypatch.setattr(gallery_page, "SMALL", tmp_path / "small")
    picture = base64.b64encode(png()).decode()

    def merged(notebook, cache):
        code = "\n".join(c.source for c in notebook.cells if c.cell_type == "code")
        labels = dict.fromkeys(re.findall(r'label="(fig-[\w-]+)"', code))
        content = {label: {"label": label, "caption": f"What {label} shows. And more.",
                           "alt": f'alt of {label}, 5 < 6 "said"', "data": {label: "x,y\n1,2\n"}}
                   for label in labels}  # fmt: skip
        outputs = [{"data": {MIMETYPE: one, "image/png": picture}} for one in content.values()]
        return SimpleNamespace(cells=[{"outputs": outputs}, {"source": "# prose"}])

    monkeypatch.setattr(gallery_page.student_edition, "executed", merged)
    return merged


@pytest.fixture
def page(tmp_path, executed, root):
    """The gallery's page, built beside chapters that have nothing but their figures' labels."""
    source = tmp_path / "source"
    (source / "notebooks").mkdir(parents=True)
    (source / "book" / "reference").mkdir(parents=True)
    (source / "notebooks" / "x.png").write_bytes(png((10, 10)))
    text = (root / "book" / "reference" / "gallery.md").read_text("utf-8")
    (source / "book" / "reference" / "gallery.md").write_text(text, "utf-8")
    names = []
    for path, labels in gallery.chapters().items():
        figures = [f"```{{figure}} x.png\n:name: {label}\nA.\n```" for label in labels]
        lines = [f"# {path.stem}", *figures]
        (source / "notebooks" / f"{path.stem}.md").write_text("\n\n".join(lines), "utf-8")
        names.append(f"notebooks/{path.stem}")
    toctree = "\n".join(["```{toctree}", "book/reference/gallery", *names, "```"])
    (source / "index.md").write_text(f"# Book\n\n{toctree}\n", "utf-8")
    settings = {
        "extensions": ["myst_parser", "gallery_page"], "source_suffix": {".md": "markdown"},
        "html_theme": "basic", "exclude_patterns": [], "numfig": True,
    }  # fmt: skip
    warnings, out = io.StringIO(), tmp_path / "_build" / "html"
    with docutils_namespace():
        app = Sphinx(str(source), None, str(out), str(tmp_path / "trees"), "html", settings,
                     status=None, warning=warnings, freshenv=True)  # fmt: skip
        app.build()
    assert not warnings.getvalue()
    file = out / "book" / "reference" / "gallery.html"
    return BeautifulSoup(file.read_text("utf-8"), "html.parser"), file


def test_every_figure_is_there_with_place_data_command_and_licence(page):
    soup, file = page
    wanted = [label for labels in gallery.chapters().values() for label in labels]
    items = soup.select(".sc-gallery-item")
    assert len(items) == len(wanted) > 100
    parser = commands.figures()
    for label, item in zip(wanted, items, strict=True):
        link, image = item.select_one("a.sc-thumbnail"), item.select_one("img")
        target, _, anchor = link["href"].partition("#")
        assert anchor == label and (file.parent / target).is_file()
        assert f'id="{label}"' in (file.parent / target).read_text("utf-8")
        assert image["alt"] == f'alt of {label}, 5 < 6 "said"' and image["loading"] == "lazy"
        assert (file.parent / image["src"]).is_file()
        assert int(image["width"]) <= 240 and int(image["height"]) <= 160
        (data,) = item.select("a.download")
        assert (file.parent / data["href"]).read_text() == "x,y\n1,2\n"
        command = shlex.split(item.select_one("pre").get_text())
        assert command[:4] == ["python", "-m", "synthlib", "figures"]
        options = parser.parse_args(command[4:])
        assert options.only == [label] and str(options.out) == "figures"
        said = " ".join(item.get_text(" ").split())
        assert f"What {label} shows" in said and "And more" not in said
        assert "CC BY 4.0" in said and project.version() in said


def test_the_commands_of_the_prose_are_accepted_too(root):
    text = (root / "book" / "reference" / "gallery.md").read_text("utf-8")
    found = re.findall(r"`python -m synthlib figures ([^`]*)`", text)
    assert len(found) == 2
    assert commands.figures().parse_args(shlex.split(found[0])).only == ["03"]
    options = re.findall(r"--[a-z]+", text)
    known = {name for action in commands.figures()._actions for name in action.option_strings}
    assert set(options) <= known


def test_a_chapter_has_a_heading_and_all_pictures_together_are_light(page):
    soup, file = page
    heads = [h.get_text() for h in soup.select("h2")]
    assert len(heads) == len([labels for labels in gallery.chapters().values() if labels])
    assert heads[3].startswith("Chapter 03 · Contrastive generation")
    sizes = [(file.parent / i["src"]).stat().st_size for i in soup.select(".sc-gallery-item img")]
    assert sum(sizes) + file.stat().st_size < 3 * 2**18


def test_a_picture_becomes_small_keeps_its_shape_and_lies_on_white(tmp_path, monkeypatch):
    monkeypatch.setattr(gallery_page, "SMALL", tmp_path)
    made = Image.open(io.BytesIO(gallery_page.small(png((1120, 700)))))
    assert made.size == (480, 300)
    marked = Image.new("RGB", (1120, 700), "white")
    marked.paste((0, 85, 198), (500, 300, 540, 340))
    marked.paste(Image.linear_gradient("L").resize((400, 200)), (0, 0))
    out = io.BytesIO()
    marked.save(out, "PNG")
    seen = Image.open(io.BytesIO(gallery_page.small(out.getvalue()))).convert("RGB")
    red, green, blue = seen.getpixel((223, 137))
    assert blue > 170 and red < 40 and green < 110, "a mark's colour is kept beside many greys"
    clear = Image.open(io.BytesIO(gallery_page.small(png((300, 900), (0, 0, 0, 0)))))
    assert clear.size == (107, 320) and clear.convert("RGB").getpixel((5, 5)) == (255, 255, 255)
    kept = sorted(tmp_path.iterdir())
    assert len(kept) == 3
    for file in kept:
        file.write_bytes(b"as it was")
    assert gallery_page.small(png((1120, 700))) == b"as it was"


@pytest.mark.parametrize(
    "caption, title",
    [
        ("Two runs. One seed.", "Two runs"),
        ("Where it breaks: the smallest $\\omega$. T5.", "Where it breaks: the smallest ω"),
        ("The paper's Fig. 6 in the pocket world. Three seeds.",
         "The paper's Fig. 6 in the pocket world"),
        ("Who is similar to everybody? Mean cosine.", "Who is similar to everybody?"),
        (None, ""),
    ],
)  # fmt: skip
def test_a_title_is_the_first_sentence_of_the_caption(caption, title):
    assert gallery_page.title_of(caption) == title


def test_a_figure_that_an_execution_has_not_left_is_named(executed, monkeypatch, tmp_path):
    empty = SimpleNamespace(cells=[])
    monkeypatch.setattr(gallery_page.student_edition, "executed", lambda nb, cache: empty)
    with pytest.raises(ValueError, match=r"00_run_the_laboratory\.ipynb .* no figure fig-00-road"):
        gallery_page.entries(tmp_path)


def test_the_built_page_has_every_figure():
    """Of the book as it was built; skipped without it."""
    file = project.SITE / "book" / "reference" / "gallery.html"
    if not file.is_file():
        pytest.skip("the book is not built")
    text = html.unescape(file.read_text("utf-8"))
    absent = [label for labels in gallery.chapters().values() for label in labels
              if f"--only {label} --out" not in text]  # fmt: skip
    assert absent == [], "the built book is older than the chapters: make book"
