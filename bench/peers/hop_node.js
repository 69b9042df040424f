// A hop with amqplib: many messages at once, each confirmed before it is acknowledged.
//
//   node hop_node.js URL QUEUE-IN QUEUE-OUT MESSAGES WARM [jsonata]
//
// The mapping is written by hand in JavaScript, or in JSONata as that of the bus is.
"use strict";
const amqp = require("amqplib");
const { check, mapByHand, expression, Clock, PREFETCH } = require("./common");

async function main([url, source, target, total, warm, language]) {
  const clock = new Clock(Number(total), Number(warm));
  const [incoming, outgoing] = [await amqp.connect(url), await amqp.connect(url)];
  const taking = await incoming.createChannel();
  const giving = await outgoing.createConfirmChannel();
  await taking.prefetch(PREFETCH);
  const finish = async () => {
    clock.report();
    await incoming.close();
    await outgoing.close();
  };
  const pass = (message, pick) => {
    const { headers, messageId, contentType } = message.properties;
    const body = Buffer.from(JSON.stringify(check("pick", pick)));
    giving.sendToQueue(target, body, { persistent: true, headers, messageId, contentType }, (error) => {
      if (error) throw error;
      taking.ack(message);
      if (clock.tick()) finish();
    });
  };
  const byHand = (message) => pass(message, mapByHand(check("order", JSON.parse(message.content))));
  const byJsonata = async (message) =>
    pass(message, await expression.evaluate(check("order", JSON.parse(message.content))));
  await taking.consume(source, language === "jsonata" ? byJsonata : byHand);
}

main(process.argv.slice(2)).catch((error) => {
  console.error(String(error));
  process.exit(1);
});
