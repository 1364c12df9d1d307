"""The files of a release: whole, the same twice, named and summed."""

import hashlib
import zipfile

import make_release
import project
import pytest


@pytest.fixture
def built(tmp_path, monkeypatch):
    """A built book of two pages, in place of ours."""
    monkeypatch.setattr(project, "BUILD", tmp_path)
    monkeypatch.setattr(project, "SITE", tmp_path / "html")
    monkeypatch.setattr(project, "NOTEBOOKS", tmp_path / "notebooks")
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    pages = {
        "html/index.html": "one", "html/notebooks/00_a.html": "two", "html/.buildinfo": "x",
        "notebooks/00_a.ipynb": "{}", "notebooks/student/00_a.ipynb": "{}", "book.pdf": "%PDF",
        "book.epub": "PK",
    }  # fmt: skip
    for name, text in pages.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_release_holds_site_notebooks_paper_wheel_and_their_sums(built):
    files = make_release.write(built / "release")
    name = f"synthetic-contrast-{project.version()}"
    wheel = f"synthlib-{project.version()}-py3-none-any.whl"
    assert [f.name for f in files] == [
        f"{name}-notebooks.zip", f"{name}-site.zip", f"{name}.epub", f"{name}.pdf", wheel,
        "SHA256SUMS",
    ]  # fmt: skip
    with zipfile.ZipFile(built / "release" / f"{name}-site.zip") as site:
        names = ["LICENSE", "index.html", "notebooks/00_a.html"]
        assert site.namelist() == [f"{name}/{n}" for n in names]
        assert site.read(f"{name}/index.html") == b"one"
        assert site.getinfo(f"{name}/index.html").date_time == (2023, 11, 14, 22, 13, 20)
    for line in files[-1].read_text().splitlines():
        digest, file = line.split("  ")
        assert hashlib.sha256((built / "release" / file).read_bytes()).hexdigest() == digest
    with zipfile.ZipFile(built / "release" / wheel) as package:
        assert "synthlib/losses.py" in package.namelist()


def test_the_same_sources_give_the_same_archives(built):
    first = {f.name: f.read_bytes() for f in make_release.write(built / "a")}
    for page in (built / "html").rglob("*.html"):
        page.touch()
    second = {f.name: f.read_bytes() for f in make_release.write(built / "b")}
    zips = [name for name in first if name.endswith(".zip")]
    assert len(zips) == 2 and all(first[name] == second[name] for name in zips)


def test_what_is_not_built_is_named(built, capsys):
    (built / "book.epub").unlink()
    assert make_release.main() == 1 and "make epub" in capsys.readouterr().err
    (built / "book.pdf").unlink()
    assert make_release.main() == 1 and "make pdf" in capsys.readouterr().err
    (built / "html" / "index.html").unlink()
    assert make_release.main() == 1 and "make book" in capsys.readouterr().err
    assert not (built / "release").exists()
