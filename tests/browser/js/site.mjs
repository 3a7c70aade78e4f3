// The subscriber's page and service worker, on http://localhost, which browsers take for secure; and
// what the service worker tells.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";

const FILES = { "/": ["index.html", "text/html"], "/worker.js": ["worker.js", "text/javascript"] };

export async function site(told) {
  const server = createServer(async (request, response) => {
    const [path] = request.url.split("?");
    if (request.method === "POST" && path === "/told") {
      told(JSON.parse(Buffer.concat(await request.toArray())));
      response.writeHead(204).end();
    } else if (path in FILES) {
      const [name, type] = FILES[path];
      const content = await readFile(new URL(`../site/${name}`, import.meta.url));
      response.writeHead(200, { "content-type": type }).end(content);
    } else {
      response.writeHead(404).end();
    }
  });
  await new Promise((resolve) => server.listen(0, "localhost", resolve));
  return `http://localhost:${server.address().port}/`;
}
