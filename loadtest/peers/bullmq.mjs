// BullMQ: node bullmq.mjs FOLDER STORE_PORT AT_ONCE, where FOLDER has node_modules.
// A line `add N` or `take N` on standard input; `done` when they are stored, or carried out and finished.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";

const [folder, port, atOnce] = process.argv.slice(2);
const { Queue, Worker } = createRequire(`${folder}/`)("bullmq");
const connection = { host: "127.0.0.1", port: Number(port) };
const queue = new Queue("bench", { connection });
const data = { service: "d0", cls: "standard" };

async function add(count) {
  for (let n = 0; n < count; n += Number(atOnce)) {
    await Promise.all(Array.from({ length: Number(atOnce) }, () => queue.add("ticket", data)));
  }
}

async function take(count) {
  let left = count;
  const worker = new Worker("bench", async () => {}, { connection, concurrency: Number(atOnce) });
  await new Promise((resolve) => worker.on("completed", () => --left === 0 && resolve()));
  await worker.close();
}

await queue.waitUntilReady();
console.log("ready");
for await (const line of createInterface({ input: process.stdin })) {
  const [order, count] = line.split(" ");
  await { add, take }[order](Number(count));
  console.log("done");
}
