"""A server of chat completions that fails as it is told, and keeps its own books.

What it answers depends on what it is asked, and whether it fails on what it is asked, how often it
has been asked that, and a seed: never on time.
"""

import hashlib
import json
import math
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from random import Random

FAILURES = ("429", "500", "cut", "half", "json", "html", "slow")


def content_of(body):
    """What decides an answer, as text."""
    return json.dumps({k: v for k, v in body.items() if "max" not in k}, sort_keys=True)


def digest(text):
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def rewritten(body):
    """A sentence of the last message's words, another for each request."""
    asked = body["messages"][-1]["content"]
    words = asked.rpartition("\n")[2].split()[1:] or ["word"]
    Random(digest(content_of(body))).shuffle(words)
    return " ".join([*words, "dog"])


def scores_of(body):
    """Top tokens of a score: four whole points by what is asked, and a word."""
    rng = Random(digest(body["messages"][-1]["content"]))
    first = rng.choice("1234")
    p = [0.6, 0.2, 0.1, 0.05]
    others = [" 0", "5", "Score", "4.5"]
    return [(first, p[0]), *zip(others, p[1:] + [0.01], strict=True)]


class Books:
    """What a server has seen: by the content of a request, how often …"""

    def __init__(self):
        self.asked, self.paid, self.lost = Counter(), Counter(), Counter()
        self.tokens, self.failed = [0, 0], Counter()
        self.keys, self.bodies, self.now, self.most = set(), {}, 0, 0
        self.lock = threading.Lock()


class Server:
    """To be used in a with-statement.

    Parameters
    ----------
    fail : dict of str to float
        Of `FAILURES`, their probabilities.
    latency : float
        Seconds.
    text : function of the request's body -> text
    tops : function of the body -> list of (token, probability), or None
        None: the server gives no log-probabilities.
    status : function of the body -> (HTTP status, body as dict, headers as dict), optional
        An error for what it is true of.
    usage : bool
        Whether it says how many tokens were used.
    """

    def __init__(self, fail=None, *, latency=0.0, slow=2.0, seed=0, text=rewritten,
                 tops=scores_of, status=None, usage=True):  # fmt: skip
        self.fail, self.latency, self.slow, self.seed = fail or {}, latency, slow, seed
        self.text, self.tops, self.status, self.usage = text, tops, status, usage
        self.books = Books()

    def __enter__(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self):
                server.answer(self)

            def log_message(self, *_):
                pass

        class Http(ThreadingHTTPServer):
            request_queue_size = 256
            daemon_threads = True

            def handle_error(self, *_):  # a client that went away
                pass

        self.http = Http(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}/v1"
        threading.Thread(target=self.http.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_):
        self.http.shutdown()
        self.http.server_close()

    def answer(self, handler):
        body = json.loads(handler.rfile.read(int(handler.headers["Content-Length"])))
        content, books = content_of(body), self.books
        with books.lock:
            books.keys.add(handler.headers["Authorization"])
            books.asked[content] += 1
            books.bodies[content] = body
            attempt = books.asked[content]
            books.now += 1
            books.most = max(books.most, books.now)
        try:
            time.sleep(self.latency)
            self.reply(handler, body, content, attempt)
        finally:
            with books.lock:
                books.now -= 1

    def reply(self, handler, body, content, attempt):
        wrong = self.status and self.status(body)
        if wrong:
            return self._send(handler, *wrong)
        rng = Random(f"{self.seed} {content} {attempt}")
        kind = rng.choices(
            [*self.fail, ""], [*self.fail.values(), 1 - sum(self.fail.values())]
        )[0]
        with self.books.lock:
            self.books.failed[kind] += bool(kind)
        if kind == "429":
            return self._send(handler, 429, {"error": {"message": "slow down"}},
                              {"Retry-After": "0.02"})  # fmt: skip
        if kind == "500":
            return self._send(handler, 500, {"error": {"message": "oops"}}, {})
        if kind == "cut":
            handler.close_connection = True
            return handler.connection.close()
        if kind == "html":
            return self.raw(handler, 200, b"<html><body>Bad gateway</body></html>", "text/html")
        reply, used = self._completion(body)
        raw = json.dumps(reply).encode()
        if kind == "json":
            return self.raw(handler, 200, raw[: len(raw) // 2], "application/json")
        if kind in ("half", "slow"):  # the work is done, and the answer does not arrive
            with self.books.lock:
                self.books.lost[content] += 1
            if kind == "half":
                self.raw(handler, 200, raw, "application/json", cut=len(raw) // 2)
                handler.close_connection = True
                return handler.connection.close()
            time.sleep(self.slow)
            handler.close_connection = True
            return None
        with self.books.lock:
            self.books.paid[content] += 1
            self.books.tokens = [a + b for a, b in zip(self.books.tokens, used, strict=True)]
        return self.raw(handler, 200, raw, "application/json")

    def _completion(self, body):
        text = self.text(body)
        choice = {"index": 0, "finish_reason": "stop",
                  "message": {"role": "assistant", "content": text}}  # fmt: skip
        if body.get("logprobs") and self.tops:
            tops = [{"token": t, "logprob": math.log(p), "bytes": None} for t, p in self.tops(body)]
            first = dict(tops[0], top_logprobs=tops[: body["top_logprobs"]])
            choice["logprobs"] = {"content": [first], "refusal": None}
            choice["message"]["content"] = tops[0]["token"]
        used = (sum(len(m["content"]) // 4 for m in body["messages"]), len(text.split()))
        reply = {"id": "x", "object": "chat.completion", "created": 0, "model": body["model"],
                 "choices": [choice]}  # fmt: skip
        if self.usage:
            reply["usage"] = {"prompt_tokens": used[0], "completion_tokens": used[1],
                              "total_tokens": sum(used)}  # fmt: skip
        return reply, used

    def _send(self, handler, status, body, headers=None):
        self.raw(handler, status, json.dumps(body).encode(), "application/json", headers)

    def raw(self, handler, status, raw, kind, headers=None, cut=None):
        lines = [f"HTTP/1.1 {status} X", f"Content-Type: {kind}", f"Content-Length: {len(raw)}"]
        lines += [f"{k}: {v}" for k, v in (headers or {}).items()]
        handler.wfile.write("\r\n".join([*lines, "", ""]).encode() + raw[:cut])
        handler.wfile.flush()
