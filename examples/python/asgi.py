"""The same as an ASGI app, as FastAPI, Starlette and Django are served: any ASGI server will do.

    uvicorn asgi:app --uds /tmp/hookgate-example.sock

uvicorn removes a stale socket itself, and makes the new one writable for everybody on the machine:
keep it in a directory that only the app and hookgate can enter.
"""


async def app(scope, receive, send):
    if scope["type"] != "http":
        return  # no start-up work and no WebSockets

    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
    body = b""
    more = True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return  # no answer was sent, so the event comes again
        body += message.get("body", b"")
        more = message.get("more_body", False)

    if event_id := headers.get("hookgate-event-id"):
        print(
            event_id,
            headers.get("hookgate-source", "-"),
            headers.get("hookgate-event-type", "-"),
            f"attempt={headers.get('hookgate-attempt', '-')}",
            f"bytes={len(body)}",
            flush=True,
        )
    status = 200 if event_id else 400  # 400: not from hookgate
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", b"0")]})
    await send({"type": "http.response.body"})
