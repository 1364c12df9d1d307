"""Files to a repository of the Hugging Face Hub, through its own client, as one commit.

A commit is there whole or not at all. The token is the one that the client finds (``HF_TOKEN``, or
its login); it goes into the request's header and nowhere else.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import sys
from pathlib import Path


def check(name) -> None:
    """Refuse what is not NAMESPACE/NAME, as the Hub allows it."""
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(name)
        why = "" if "/" in name else ": it has no NAMESPACE, which is an account or organization"
    except ValueError as error:
        why = f": {error}"
    if why:
        raise ValueError(f"--push wants NAMESPACE/NAME, as you/encoder, got {name!r}{why}")


def push(name, files, *, kind, private=False, update=False) -> str:
    """Send files to a repository of the Hub, which is made where it is not there.

    Parameters
    ----------
    name : str
        NAMESPACE/NAME.
    files : dict of str to Path or bytes
        By their names in the repository.
    kind : {"model", "dataset"}
    private : bool
        Whether only its owner may see it.
    update : bool
        Whether a repository may hold other files: of the same name they are written over (its
        history keeps them), the others stay. Without it only what was sent before is passed over.

    Returns
    -------
    str
        The repository's address.

    Raises
    ------
    OSError, ValueError
        In one line, for a missing token, one without the right to write, no network, a repository
        that holds other files or is public where it should be private.
    """
    import huggingface_hub as hub

    check(name)
    token = hub.get_token()
    if not re.fullmatch(r"[!-~]+", token or ""):
        raise ValueError(
            "there is no token for the Hub: set HF_TOKEN to one with the right to write, or log "
            "in with `hf auth login`"
        )
    api = hub.HfApi(token=token)

    def ask(call, *arguments, **options):
        try:
            return call(*arguments, **options)
        except Exception as error:  # its libraries raise a dozen kinds
            raise OSError(_said(error, name, api.endpoint).replace(token, "…")) from None

    with _quiet():
        found = ask(_find, api, name, kind)
        if found is None:
            ask(api.create_repo, name, repo_type=kind, private=private)
        elif private and not found.private:
            raise ValueError(
                f"{name} is there already and public: make it private in its settings on the Hub, "
                "or give another name"
            )
        elif not update and (other := _other(found, files)):
            shown = ", ".join(other[:3]) + ", …" * (len(other) > 3)
            raise ValueError(
                f"{name} is there already and holds other files ({shown}): give another name, or "
                "--update to write over those of the same name; the others stay"
            )
        operations = [hub.CommitOperationAdd(where, file) for where, file in files.items()]
        message = "Written by synthlib"
        ask(api.create_commit, name, operations, repo_type=kind, commit_message=message)
    return f"{api.endpoint}/{'datasets/' * (kind == 'dataset')}{name}"


def _find(api, name, kind):
    """What the Hub says of a repository; None where there is none."""
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        return api.repo_info(name, repo_type=kind, files_metadata=True, timeout=20)
    except RepositoryNotFoundError as error:  # also what a wrong token gets, with 401
        if error.response.status_code != 404:
            raise
        return None


def _other(found, files) -> list[str]:
    """Files of a repository that are not what would be sent, but for the Hub's own."""
    there = [one for one in found.siblings or [] if one.rfilename != ".gitattributes"]
    return [
        one.rfilename for one in there
        if one.rfilename not in files or not _same(one, files[one.rfilename])
    ]  # fmt: skip


def _same(there, file) -> bool:
    """By the sums that the Hub keeps: SHA-256 of a large file, Git's SHA-1 of a small one."""
    size = len(file) if isinstance(file, bytes) else Path(file).stat().st_size
    if size != there.size:
        return False
    content = file if isinstance(file, bytes) else Path(file).read_bytes()
    if there.lfs:
        return there.lfs.sha256 == hashlib.sha256(content).hexdigest()
    return there.blob_id == hashlib.sha1(b"blob %d\0" % size + content).hexdigest()


def _said(error, name, endpoint) -> str:
    """What went wrong, and what to do."""
    if isinstance(error, RuntimeError) and error.__cause__ is not None:  # of one file of several
        error = error.__cause__
    status = getattr(getattr(error, "response", None), "status_code", None)
    words = " ".join((getattr(error, "server_message", None) or str(error)).split())[:300]
    if status == 401:
        return (
            f"the Hub does not know the token (401): make one with the right to write at "
            f"{endpoint}/settings/tokens, and set HF_TOKEN or log in with `hf auth login`"
        )
    if status == 403:
        return (
            f"the token may not write to {name} (403): give one with the right to write there "
            "(HF_TOKEN, or `hf auth login`), or another NAMESPACE"
        )
    if status is not None:
        return (
            f"the Hub refuses ({status}: {words}): mend what it names, or wait if it names "
            "nothing, and give the same command again"
        )
    if isinstance(error, ValueError) and "README.md" in words:
        return (
            f"the Hub does not take the card ({words}): mend its head, or give --license and "
            "--language as the Hub names them"
        )
    return (
        f"{endpoint} cannot be reached ({type(error).__name__}: {words}): go online (and unset "
        "HF_HUB_OFFLINE), and give the same command again. Nothing is there by halves"
    )


@contextlib.contextmanager
def _quiet():
    """No lines of the client about its retries, and bars for somebody who looks at them alone."""
    from huggingface_hub import utils
    from huggingface_hub.utils import logging

    level, bars = logging.get_verbosity(), not utils.are_progress_bars_disabled()
    logging.set_verbosity_error()
    if not sys.stderr.isatty():
        utils.disable_progress_bars()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bars:
            utils.enable_progress_bars()
