// An app behind hookgate, with nothing but Node's standard library.
//
//   node app.mjs [SOCKET]
//
// hookgate has verified the signature and stored the event before it comes here. Any 2xx settles the
// event; everything else brings it back later, with the same Hookgate-Event-Id.

import { chmodSync, lstatSync, rmSync } from "node:fs";
import { createServer } from "node:http";

const socket = process.argv[2] ?? process.env.APP_SOCKET ?? "/tmp/hookgate-example.sock";

const server = createServer(async (request, response) => {
  const chunks = [];
  try {
    for await (const chunk of request) chunks.push(chunk);
  } catch {
    return; // cut off: no answer was sent, so the event comes again
  }
  const body = Buffer.concat(chunks);
  const header = (name) => request.headers[`hookgate-${name}`] ?? "-";

  if (header("event-id") === "-") {
    response.writeHead(400).end(); // not from hookgate
    return;
  }
  console.log(
    `${header("event-id")} ${header("source")} ${header("event-type")}` +
      ` attempt=${header("attempt")} bytes=${body.length}`,
  );
  response.writeHead(200).end();
});

// A socket file outlives its process when that is killed, and Node does not bind over it.
if (lstatSync(socket, { throwIfNoEntry: false })?.isSocket()) rmSync(socket);

server.listen(socket, () => {
  chmodSync(socket, 0o660); // hookgate runs as the same user or in the same group
  console.log(`listening on ${socket}`);
});

for (const signal of ["SIGTERM", "SIGINT"]) {
  process.on(signal, () => {
    server.close(); // finishes running requests and removes the socket
    server.closeIdleConnections();
  });
}
