// HTTP out with Node's own client and amqplib: take, call, acknowledge; sixteen calls at once.
//
//   node delivery_node.js URL QUEUE SYSTEM
"use strict";
const http = require("http");
const amqp = require("amqplib");

const CONCURRENCY = 16;

async function main([url, source, system]) {
  const channel = await (await amqp.connect(url)).createChannel();
  const agent = new http.Agent({ keepAlive: true, maxSockets: CONCURRENCY });
  await channel.prefetch(2 * CONCURRENCY);
  await channel.consume(source, (message) => {
    const headers = {
      "Content-Type": "application/json",
      "Content-Length": message.content.length,
      "Idempotency-Key": message.properties.messageId,
    };
    const call = http.request(`${system}/picks`, { method: "POST", agent, headers }, (answer) => {
      answer.resume();
      answer.on("end", () => channel.ack(message));
    });
    call.end(message.content);
  });
}

main(process.argv.slice(2)).catch((error) => {
  console.error(String(error));
  process.exit(1);
});
