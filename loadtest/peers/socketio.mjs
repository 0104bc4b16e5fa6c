// Socket.IO: node socketio.mjs FOLDER PORT LENGTH, where FOLDER has node_modules.
import { createRequire } from "node:module";
import { createServer } from "node:http";
import { createInterface } from "node:readline";

const [folder, port, length] = process.argv.slice(2);
const { Server } = createRequire(`${folder}/`)("socket.io");
const http = createServer();
const server = new Server(http, { transports: ["websocket"], serveClient: false, pingInterval: 600_000 });
const event = `${"x".repeat(Number(length) - 1)}^`;
http.listen(Number(port), "127.0.0.1");

createInterface({ input: process.stdin }).on("line", (times) => {
  for (let n = 0; n < Number(times); n++) server.emit("event", event);
});
