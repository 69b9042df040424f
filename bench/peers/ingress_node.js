// HTTP in with Node's own server and amqplib: validate, publish confirmed, answer 202.
//
//   node ingress_node.js URL QUEUE PORT
"use strict";
const http = require("http");
const { randomUUID } = require("crypto");
const amqp = require("amqplib");
const { check } = require("./common");

function headersOf(request) {
  return Object.fromEntries(Object.entries(request.headers).filter(([name]) => name.startsWith("x-header-")));
}

async function main([url, queue, port]) {
  const channel = await (await amqp.connect(url)).createConfirmChannel();
  const answer = (response, status, document) => {
    const body = JSON.stringify(document);
    response.writeHead(status, { "Content-Type": "application/json", "Content-Length": Buffer.byteLength(body) });
    response.end(body);
  };
  const take = (request, response, body) => {
    check("order", JSON.parse(body));
    const messageId = randomUUID();
    const properties = { persistent: true, headers: headersOf(request), messageId, contentType: "application/json" };
    channel.sendToQueue(queue, body, properties, (error) =>
      error ? answer(response, 503, {}) : answer(response, 202, { id: messageId, status: "accepted" }),
    );
  };
  const server = http.createServer((request, response) => {
    if (request.method === "GET") return answer(response, 200, {});
    const chunks = [];
    request.on("data", (chunk) => chunks.push(chunk));
    request.on("end", () => take(request, response, Buffer.concat(chunks)));
  });
  server.listen(Number(port), "127.0.0.1");
}

main(process.argv.slice(2)).catch((error) => {
  console.error(String(error));
  process.exit(1);
});
