"""An app behind hookgate, with nothing but the standard library.

    python3 app.py [SOCKET [DATABASE]]

hookgate has verified the signature and stored the event before it comes here, so the app does two
things: its work, and an answer. Any 2xx settles the event; everything else brings it back later.

An event can come more than once (the answer got lost, the app died half way, somebody replayed it),
always with the same Hookgate-Event-Id. So the id is noted in the transaction that does the work:
both happen or neither does.
"""

import asyncio
import os
import signal
import sqlite3
import stat
import sys

DEFAULT_SOCKET = "/tmp/hookgate-example.sock"


def handle(database, headers, body):
    """Does the work once per event. Returns whether it was done just now."""
    with database:  # one transaction
        new = database.execute(
            "INSERT OR IGNORE INTO handled (event_id) VALUES (?)", (headers["hookgate-event-id"],)
        ).rowcount
        if new:
            pass  # your work goes here, in the same transaction
    return bool(new)


async def serve_connection(database, reader, writer):
    """Answers requests until hookgate closes the connection."""
    try:
        while request := await read_request(reader):
            headers, body = request
            if "hookgate-event-id" not in headers:
                status = "400 Bad Request"  # not from hookgate
            else:
                done = handle(database, headers, body)
                print(
                    headers["hookgate-event-id"],
                    headers.get("hookgate-source", "-"),
                    headers.get("hookgate-event-type", "-"),
                    f"attempt={headers.get('hookgate-attempt', '-')}",
                    f"bytes={len(body)}",
                    "handled" if done else "already handled",
                    flush=True,
                )
                status = "200 OK"
            close = headers.get("connection", "").lower() == "close"
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n"
                f"Connection: {'close' if close else 'keep-alive'}\r\n\r\n".encode()
            )
            await writer.drain()
            if close:
                break
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # no answer was sent, so the event comes again
    finally:
        writer.close()


async def read_request(reader):
    """Headers (lower-case names) and body of the next request, or None at the end of the connection.

    Enough for hookgate, which is the only one that reaches the socket and always sends a length.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    headers = {}
    for line in head.decode("latin-1").split("\r\n")[1:-2]:
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return headers, await reader.readexactly(int(headers.get("content-length", 0)))


def remove_socket(path):
    """A socket file outlives its process when that is killed; a new one cannot be bound over it."""
    if os.path.exists(path) and stat.S_ISSOCK(os.stat(path).st_mode):
        os.unlink(path)


async def main(socket=DEFAULT_SOCKET, database_file="handled.sqlite3"):
    database = sqlite3.connect(database_file)
    database.execute("CREATE TABLE IF NOT EXISTS handled (event_id TEXT PRIMARY KEY)")

    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)

    remove_socket(socket)
    server = await asyncio.start_unix_server(
        lambda reader, writer: serve_connection(database, reader, writer), socket, limit=1 << 17
    )
    os.chmod(socket, 0o660)  # hookgate runs as the same user or in the same group
    print(f"listening on {socket}", flush=True)
    await stop.wait()
    server.close()
    remove_socket(socket)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or [os.environ.get("APP_SOCKET", DEFAULT_SOCKET)]))
