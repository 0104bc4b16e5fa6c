// Node's `ws`: node ws.mjs FOLDER PORT LENGTH, where FOLDER has node_modules.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, port, length] = process.argv.slice(2);
const { WebSocketServer } = createRequire(`${folder}/`)("ws");
const server = new WebSocketServer({ host: "127.0.0.1", port: Number(port), perMessageDeflate: false });
const event = Buffer.from(`${"x".repeat(Number(length) - 1)}^`);

createInterface({ input: process.stdin }).on("line", (times) => {
  for (let n = 0; n < Number(times); n++) {
    for (const screen of server.clients) screen.send(event);
  }
});
