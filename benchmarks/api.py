"""Requests a second to a model behind an API, at 1, 8 and 32 parallel requests.

The server stands in a process of its own on this machine and answers each request after 200 ms,
however many come at once, so the ideal is parallel / latency. *Ours* is `Endpoint.complete` with
its file of answers, its budget and its counting; *bare* the client (``openai``) alone in as many
threads, without any of these. Both in turn, several times.

    python benchmarks/api.py [--seconds 4] [--repeats 5] [--latency 0.2] [--parallel 1 8 32]
"""

from __future__ import annotations

import argparse
import asyncio
import json
import multiprocessing
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import median

import openai

from synthlib import endpoint, prompts, spending

REPLY = {
    "id": "x", "object": "chat.completion", "created": 0, "model": "test",
    "choices": [{"index": 0, "finish_reason": "stop",
                 "message": {"role": "assistant", "content": "A dog runs over the grass."}}],
    "usage": {"prompt_tokens": 80, "completion_tokens": 7, "total_tokens": 87},
}  # fmt: skip


def serve(latency, pipe):
    """Answer every request after `latency` seconds."""
    body = json.dumps(REPLY).encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"

    async def talk(reader, writer):
        try:
            while head_in := await reader.readuntil(b"\r\n\r\n"):
                size = next(
                    int(line.split(b":")[1]) for line in head_in.split(b"\r\n")
                    if line.lower().startswith(b"content-length")
                )  # fmt: skip
                await reader.readexactly(size)
                await asyncio.sleep(latency)
                writer.write(head.encode() + body)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def main():
        server = await asyncio.start_server(talk, "127.0.0.1", 0, backlog=256)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


def asks(start, count):
    form = prompts.Form("chat", endpoint.Messages())
    return [
        prompts.generation(prompts.ENTAILMENT["paper"][0], f"A red dog sleeps {i}.", form=form)
        for i in range(start, start + count)
    ]


def ours(address, asked, parallel, folder):
    answers = spending.Answers(Path(folder) / f"{time.time()}.jsonl", spending.Budget(1e9))
    model, _ = endpoint.connect("api:test", base_url=address, parallel=parallel, answers=answers)
    model.complete(asked[:1], max_new_tokens=20)  # connections are made, the library is warm
    return timed(lambda: model.complete(asked[1:], max_new_tokens=20))


def bare(address, asked, parallel, _):
    client = openai.OpenAI(api_key="none", base_url=address)

    def ask(prompt):
        return client.chat.completions.create(
            model="test", messages=json.loads(prompt), max_tokens=20, temperature=0.0
        )

    ask(asked[0])
    with ThreadPoolExecutor(parallel) as pool:
        return timed(lambda: list(pool.map(ask, asked[1:])))


def timed(work):
    wall, processor = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - processor


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=4, help="of each measurement, ideally")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--parallel", type=int, nargs="+", default=[1, 8, 32])
    options = parser.parse_args()
    receive, send = multiprocessing.Pipe(duplex=False)
    server = multiprocessing.get_context("spawn").Process(
        target=serve, args=(options.latency, send), daemon=True
    )
    server.start()
    address, done = f"http://127.0.0.1:{receive.recv()}/v1", 0
    titles = "requests | a second, median | of ideal, median | best | ms of processor a request"
    print(f"| parallel | way | {titles} |")
    print("|---:|---|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        for parallel in options.parallel:
            ideal = parallel / options.latency
            count = parallel * max(1, round(options.seconds / options.latency))
            found = {ours: [], bare: []}
            for _ in range(options.repeats):
                for way, times in found.items():
                    times.append(way(address, asks(done, count + 1), parallel, folder))
                    done += count + 1
            for way, times in found.items():
                wall, processor = (median(column) for column in zip(*times, strict=True))
                best = count / min(times)[0] / ideal
                print(
                    f"| {parallel} | {way.__name__} | {count:,} | {count / wall:.1f} "
                    f"| {count / wall / ideal:.2f} | {best:.2f} | {1000 * processor / count:.1f} |",
                    flush=True,
                )  # fmt: skip
    server.terminate()


if __name__ == "__main__":
    main()
