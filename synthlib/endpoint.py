"""A model behind an API: any endpoint that speaks OpenAI's chat completions.

`connect` gives a pair (endpoint, messages) that stands where a run has a model and its tokenizer.
The second one's chat template writes a conversation as JSON, so prompts stay strings, are those of
the form "chat", and are sent as messages. What is asked goes through the maintained client
(``openai``); its own retries are off, for each attempt may cost money and has to be counted. Added
are: a limit on parallel requests, retries of all that is no answer (cut connections, HTML, broken
JSON too) with a cap on the whole wait, a budget, and a file of answers (`Answers`), so that nothing
is paid for twice.

There are no logits of two contexts behind an API, so nothing is decoded from a mixture here; the
stages are in `synthlib.methods.served`.
"""

from __future__ import annotations

import email.utils
import json
import math
import os
import threading
import time
import urllib.parse
import warnings
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from random import Random
from types import SimpleNamespace
from typing import NamedTuple

from synthlib.spending import Answers, Budget, BudgetSpent

PREFIX = "api:"  # of a model's name
KEY = "OPENAI_API_KEY"
OPENAI = "https://api.openai.com/v1"
HERE = ("localhost", "127.0.0.1", "::1")
PATIENCE = 600.0  # seconds for one request, from its first failure on
FIRST_PATIENCE = 60.0  # the same where nothing has been answered yet: a wrong address, perhaps
TOPS = (20, 5)  # of how many tokens log-probabilities are asked for: OpenAI's limit, and others'
WAITS = (0.5, 30.0)  # the first wait, and the longest that the endpoint has not asked for
REFUSALS = (400, 413, 422)  # one request's own fault: too long for the model's window, say

# Special tokens of the common families: text in a sentence, and the server must not think else.
MARKS = (
    "<|im_start|>", "<|im_end|>", "<|endoftext|>", "<|end_of_text|>", "<|begin_of_text|>",
    "<|eot_id|>", "<|start_header_id|>", "<|end_header_id|>", "<|end|>", "<|user|>",
    "<|assistant|>", "<|system|>", "<start_of_turn>", "<end_of_turn>", "<bos>", "<eos>", "<s>",
    "</s>", "[INST]", "[/INST]",
)  # fmt: skip


class Unavailable(OSError):
    """An endpoint that cannot be asked, with what to do."""


class NoLogprobs(ValueError):
    """An endpoint that gives no log-probabilities of the top tokens; its cause says that alone."""


class _Stopped(Exception):
    """Another request has met what stops them all."""


class _NotAnAnswer(Exception):
    """What came is none: HTML, JSON of another kind."""


def is_served(name) -> bool:
    """Whether a name is that of a model behind an API."""
    return str(name).startswith(PREFIX)


def host_of(base_url=None) -> str:
    """The host of an endpoint's address, which is part of a run's identity.

    Raises
    ------
    ValueError
        For what is no address, or one that holds a password.
    """
    url = address(base_url)
    parts = urllib.parse.urlsplit(url)
    try:
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if parts.scheme not in ("http", "https") or not host:
        raise ValueError(
            f"base_url must be an address such as http://localhost:8000/v1, got {url}"
        )
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(
            "base_url must end with the path and hold no key or password: put the key into the "
            f"environment, as {KEY} (--key-variable names another)"
        )
    return host


def address(base_url=None) -> str:
    """An endpoint's address: the one given, else ``OPENAI_BASE_URL``, else OpenAI's own."""
    return (base_url or os.environ.get("OPENAI_BASE_URL") or OPENAI).strip()


def _key(host, variable):
    """The key, out of the environment alone."""
    key = os.environ.get(variable, "").strip()
    if not key and host in HERE:
        return "none"  # a server on this machine wants none, as a rule
    if not key:
        raise Unavailable(
            f"no key for {host}: set {variable} in the environment (--key-variable names another; "
            "for a server that wants no key any word will do)"
        )
    if not key.isascii() or any(not c.isprintable() for c in key):
        raise Unavailable(f"what {variable} holds is no key: set it to the key alone")
    return key


def _library():
    try:
        import openai
    except ImportError:
        raise ImportError(_INSTALL) from None
    return openai


_INSTALL = "the client of APIs is not installed: pip install 'synthlib[api]'"


def check(base_url=None, variable=KEY) -> None:
    """Raise for what keeps an endpoint from being asked that can be found without asking it."""
    try:
        _library()
    except ImportError as error:
        raise Unavailable(str(error)) from None
    _key(host_of(base_url), variable)


def connect(
    name,
    *,
    base_url=None,
    variable=KEY,
    parallel=8,
    timeout=120.0,
    answers=None,
    budget=None,
    examples=None,
):
    """A model behind an API, in the place of a model and its tokenizer.

    The sentences that are asked about leave this machine.

    Parameters
    ----------
    name : str
        ``api:`` and the name that the endpoint has for the model.
    base_url : str, optional
        Default: ``OPENAI_BASE_URL``, else OpenAI's.
    variable : str
        Of the environment; it holds the key, which is nowhere else.
    parallel : int
        Most requests at a time.
    timeout : float
        Seconds until an attempt counts as failed.
    answers : `spending.Answers` or path, optional
        Where answers are kept and found again. Default: in memory.
    budget : `spending.Budget`, optional
    examples : dict, optional
        Of `models.load_generator`.

    Returns
    -------
    endpoint : Endpoint
    messages : Messages

    Raises
    ------
    Unavailable
        Where the client or the key is missing.
    ValueError
        For an address that is none.
    """
    check(base_url, variable)
    openai, host = _library(), host_of(base_url)
    client = openai.OpenAI(
        api_key=_key(host, variable), base_url=address(base_url), max_retries=0, timeout=timeout
    )
    if not isinstance(answers, Answers):
        answers = Answers(answers, budget or Budget())
    model = Endpoint(str(name).removeprefix(PREFIX), host, variable, client, answers, parallel)
    if examples:
        model.config.synthlib_examples = dict(examples)
    return model, Messages()


class Messages:
    """In the place of a tokenizer: its chat template writes a conversation as JSON."""

    chat_template = "messages"
    all_special_tokens = MARKS
    all_special_ids = range(len(MARKS))
    bos_token = unk_token = mask_token = eos_token_id = unk_token_id = None

    def get_chat_template(self):
        """Nothing: there is no template to speak of."""
        return ""

    def apply_chat_template(self, messages, **_):
        """The messages as JSON."""
        return json.dumps(messages, ensure_ascii=False)


class Answer(NamedTuple):
    """What an endpoint said.

    Attributes
    ----------
    text : str
        Empty where it refused the request.
    tops : list of (token, log-probability), or None
        Of the first token that is no blank, where they were asked for and given.
    refused : str
        What it said where it refused this request alone.
    """

    text: str
    tops: list | None = None
    refused: str = ""


class Endpoint:
    """A model behind an API; see `connect`."""

    def __init__(self, name, host, variable, client, answers, parallel=8):
        self.name, self.host, self.variable, self.client = name, host, variable, client
        self.answers, self.parallel = answers, parallel
        # What the stages read of a model.
        self.config = SimpleNamespace(
            synthlib_form="chat", synthlib_examples={}, is_encoder_decoder=False
        )
        self._lock, self._going, self._stop = threading.Lock(), {}, threading.Event()
        self._room = "max_tokens"  # what a request calls the most tokens of its answer
        self._answered, self._strikes, self._said = 0, 0, set()

    # -------------------------------------------------------------- many requests
    def map(self, work: Callable, items: Sequence) -> list:
        """``work(item)`` for each, `parallel` at a time; the first one alone.

        What stops one of them stops all; answers that are on their way are waited for and kept.
        """
        items, found = list(items), []
        self._stop.clear()
        while items and not self._answered:  # a wrong key is sent once, not thirty times
            found.append(work(items.pop(0)))
            if len(found) == 3 and not self._answered:
                break
        if not items:
            return found
        with ThreadPoolExecutor(self.parallel, "endpoint") as pool:
            going = [pool.submit(work, item) for item in items]
            try:
                done, _ = wait(going, return_when=FIRST_EXCEPTION)
                first = [one.exception() for one in done if one.exception()]
            except BaseException:
                self._halt(going)
                raise
            if first:
                self._halt(going)
                wait(going)
                errors = [f.exception() for f in going if not f.cancelled() and f.exception()]
                raise next((e for e in errors if not isinstance(e, _Stopped)), errors[0])
        return found + [one.result() for one in going]

    def _halt(self, going):
        self._stop.set()
        self.answers.budget.wake()
        for one in going:
            one.cancel()

    def complete(self, prompts: Sequence[str], **how) -> list[Answer]:
        """`ask` for each prompt, in parallel; ``seeds`` in place of ``seed``: one each."""
        seeds = how.pop("seeds", None) or [None] * len(prompts)
        return self.map(
            lambda one: self.ask(one[0], seed=one[1], **how), zip(prompts, seeds, strict=True)
        )

    # -------------------------------------------------------------- one request
    def ask(self, prompt: str, *, max_new_tokens: int, temperature=0.0, seed=None, top=0) -> Answer:
        """The answer to a prompt: the one that is kept, else the endpoint's.

        Parameters
        ----------
        prompt : str
            A conversation, as `Messages` writes it.
        max_new_tokens : int
        temperature : float
            0: no sampling, and no seed is sent.
        seed : optional
            Anything that numpy takes as one.
        top : int
            Log-probabilities of so many top tokens.
        """
        request = {
            "model": self.name, "messages": json.loads(prompt), "room": max_new_tokens,
            "temperature": temperature,
        }  # fmt: skip
        if temperature:
            request["seed"] = _whole(seed)
        if top:
            request |= {"logprobs": True, "top_logprobs": top}
        key = self.answers.key(request)
        with self._lock:
            if (held := self.answers.get(key)) is not None:
                self._answered += not held.get("refused")
                return _answer_of(held)
            mine = key not in self._going
            future = self._going.setdefault(key, Future())
        if not mine:  # the same question, on its way
            return future.result()
        try:
            answer = self._persist(key, request)
            future.set_result(answer)
            return answer
        except BaseException as error:
            future.set_exception(error)
            raise
        finally:
            with self._lock:
                self._going.pop(key, None)

    def _persist(self, key, request) -> Answer:
        """Ask until there is an answer, or patience or budget end."""
        openai = _library()
        most = (_most_tokens(request["messages"]), request["room"])
        begun, tries, said = time.monotonic(), 0, ""
        while True:
            if not self.answers.before(key, most, self._stop):
                raise _Stopped
            error = asked = None
            try:
                reply = self.client.chat.completions.create(**self._sent(request))
                text, tops, used = _read(reply, bool(request.get("logprobs")))
            except (openai.APIError, OSError, ValueError, _NotAnAnswer) as met:
                error = met  # and out of here: it may repeat the key, so no other hangs on it
            except BaseException:
                self.answers.lost(key)
                raise
            if error is None:
                text = self._clean(text)
                if used is None:
                    self._once("says nothing of tokens used: each answer counts as its most")
                with self._lock:
                    self._answered += 1
                self.answers.keep(key, used or most, text=text, tops=tops)
                return Answer(text, tops)
            if isinstance(error, openai.APIStatusError):
                self.answers.unpaid(key)
                said, asked = self._weigh(error, key, request)
                if asked is _KEPT:
                    return Answer("", refused=said)
            else:
                refused = _nobody_there(error)
                (self.answers.unpaid if refused else self.answers.lost)(key)
                said = self._clean(refused or _what(error, self.client.timeout))
            if asked is _NOW:
                continue
            self._pause(begun, tries, said, asked)
            tries += 1

    def _sent(self, request):
        found = {name: value for name, value in request.items() if name != "room"}
        return found | {self._room: request["room"]}

    def _weigh(self, error, key, request):
        """What an HTTP error means: (what was said, seconds to wait | _NOW | _KEPT), or raise."""
        status, said = error.status_code, self._clean(_short(error))
        if status in (401, 403):
            raise Unavailable(
                f"{self.host} does not accept the key (HTTP {status}): set {self.variable} to a "
                f"key for {self.name}{self._goes_on()}"
            )
        if status == 402 or error.code == "insufficient_quota":
            raise Unavailable(
                f"the account at {self.host} has no money left (HTTP {status}): put some in"
                f"{self._goes_on()}"
            )
        if status == 404:
            raise Unavailable(
                f"{self.host} knows no model {self.name}, or nothing is at this address ({said}): "
                "give another --generator api:NAME or --base-url"
            )
        if status in REFUSALS:
            if self._room == "max_tokens" and "max_completion_tokens" in said:
                self._room = "max_completion_tokens"
                return said, _NOW
            if request.get("logprobs"):
                self.answers.keep(key, (0, 0), refused=said)
                return said, _KEPT
            if not self._answered:
                self._strikes += 1
                if self._strikes > 2:
                    raise Unavailable(
                        f"{self.host} refuses all that it is asked (HTTP {status}, {said}): take "
                        "another --generator, in another folder"
                    )
            self.answers.keep(key, (0, 0), refused=said)
            self._once(f"refuses a request, whose text stays blank (HTTP {status}, {said})")
            return said, _KEPT
        if status not in (408, 409, 425, 429) and status < 500:
            raise Unavailable(f"{self.host} refuses (HTTP {status}, {said}){self._goes_on()}")
        asked = _retry_after(error.response.headers)
        return f"HTTP {status}, {said}", 0.0 if asked is None and status == 429 else asked

    def _pause(self, begun, tries, said, asked):
        """Wait before the next attempt, or raise where that would be too long."""
        known = self._answered or asked is not None  # it is there, and busy
        patience = PATIENCE if known else FIRST_PATIENCE
        first, longest = WAITS
        seconds = asked or min(first * 2**tries, longest) * (1 - Random().random() / 4)
        spent = time.monotonic() - begun
        if spent + seconds > patience:
            after = f" after {spent:,.0f} seconds of trying"
            if asked is not None and asked > patience:
                after = f", which asks to wait {asked:,.0f} seconds"
            raise Unavailable(
                f"no answer from {self.host}{after} ({said}): look at --base-url and at the "
                f"server{self._goes_on()}"
            )
        if seconds >= 5:
            self._once(f"makes us wait ({said})")
        if self._stop.wait(seconds):
            raise _Stopped

    def _goes_on(self):
        return (
            "; the same command goes on, and what was answered is kept" if self.answers.file
            else ""
        )

    def _once(self, said):
        with self._lock:
            new = said.partition("(")[0] not in self._said
            self._said.add(said.partition("(")[0])
        if new:
            warnings.warn(f"{self.host} {said}", stacklevel=2)

    def _clean(self, text):
        """A text without the key, should somebody have repeated it."""
        key = self.client.api_key
        return text.replace(key, "***") if len(key) >= 8 else text


_NOW, _KEPT = object(), object()


# ------------------------------------------------------------------ reading what came
def _read(reply, wants_tops):
    """Text, top tokens and (tokens in, tokens out) of a reply; usage None where it has none."""
    if isinstance(reply, str):
        start = " ".join(reply[:200].split())[:60]
        raise _NotAnAnswer(f"what came is no JSON of an answer but {start!r}")
    try:
        choice = reply.choices[0]
        text, usage = choice.message.content, reply.usage
        if text is None and usage is not None:  # it thought until its tokens were spent, say
            text = ""
        if not isinstance(text, str):
            raise TypeError
        used = None
        if usage is not None and usage.prompt_tokens is not None:
            used = int(usage.prompt_tokens), int(usage.completion_tokens or 0)
        tops = _tops(choice) if wants_tops else None
    except (AttributeError, TypeError, IndexError, KeyError, ValueError):
        raise _NotAnAnswer("the JSON that came is no answer") from None
    return text, tops, used


def _tops(choice):
    """Of the first token that is no blank: the top tokens with their log-probabilities."""
    content = choice.logprobs.content if choice.logprobs is not None else None
    for place in content or ():
        if place.token.strip("▁Ġ \n\t") or place is content[-1]:
            found = [(one.token, float(one.logprob)) for one in place.top_logprobs or ()]
            return [one for one in found if not math.isnan(one[1])] or None
    return None


def _answer_of(held) -> Answer:
    tops = held.get("tops")
    return Answer(
        held.get("text", ""), tops and [tuple(one) for one in tops], held.get("refused", "")
    )


def _most_tokens(messages) -> int:
    """More tokens than a conversation can have: a token is a byte at least, and turns have marks
    and perhaps a system turn of the server's own."""
    return 128 + sum(len(m["content"].encode("utf-8", "replace")) + 16 for m in messages)


def _whole(seed) -> int | None:
    """A seed as a whole number below 2³¹, which every server takes."""
    if seed is None:
        return None
    import numpy as np

    return int(np.random.SeedSequence(seed).generate_state(1)[0] >> 1)


def _retry_after(headers) -> float | None:
    """Seconds that a reply asks to wait; None where it does not say."""
    for name, unit in (("retry-after-ms", 1000), ("retry-after", 1)):
        try:
            seconds = float(headers.get(name, "nan")) / unit
        except ValueError:
            continue
        if math.isfinite(seconds):
            return max(seconds, 0.0)
    try:
        when = email.utils.parsedate_to_datetime(headers.get("retry-after"))
        return max(when.timestamp() - time.time(), 0.0)
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def _short(error) -> str:
    """What an HTTP error's body says, in a few words."""
    body = error.body if isinstance(error.body, dict) else {}
    said = body.get("message") or body.get("detail") or error.message
    return " ".join(str(said).split())[:160]


def _what(error, timeout) -> str:
    kind = type(error).__name__
    if kind == "APITimeoutError":
        return f"no answer within {timeout:g} seconds" if isinstance(timeout, int | float) else (
            "no answer in time"
        )
    if isinstance(error, _NotAnAnswer):
        return str(error)
    if isinstance(error, ValueError):
        return "the JSON that came is broken"
    return "the connection was cut"


def _nobody_there(error) -> str:
    """What to say where a connection was never made, so that nothing was asked; else nothing."""
    seen = error
    while seen is not None:
        if type(seen).__name__ in ("ConnectError", "ConnectTimeout") or isinstance(
            seen, ConnectionRefusedError
        ):
            return "nobody answers there"
        seen = seen.__cause__ or seen.__context__
    return ""


__all__ = [
    "Answer", "BudgetSpent", "Endpoint", "Messages", "NoLogprobs", "Unavailable", "address",
    "check", "connect", "host_of", "is_served",
]  # fmt: skip
