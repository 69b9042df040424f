// What the peers in JavaScript share: the contracts compiled, the mapping, and a clock that starts behind the first
// messages. Modules are found through NODE_PATH.
"use strict";
const fs = require("fs");
const path = require("path");
const Ajv = require("ajv/dist/2020");
const jsonata = require("jsonata");

const ajv = new Ajv({ strict: false });
const contract = (name) =>
  ajv.compile(JSON.parse(fs.readFileSync(path.join(__dirname, "..", "bus", "contracts", name, "v1.json"))));
const checks = { order: contract("order"), pick: contract("pick") };

function check(name, document) {
  if (!checks[name](document)) throw new Error(`${name}: ${ajv.errorsText(checks[name].errors)}`);
  return document;
}

function mapByHand(order) {
  let weight = 0;
  for (const line of order.lines) weight += line.weight;
  return {
    order: "SO-" + order.id,
    customer: order.customer.number,
    country: order.customer.country,
    express: order.priority === "high",
    weight,
    count: order.lines.length,
    note: order.remark ?? "",
  };
}

const expression = jsonata(`{
  "order": "SO-" & id,
  "customer": customer.number,
  "country": customer.country,
  "express": priority = "high",
  "weight": $sum(lines.weight),
  "count": $count(lines),
  "note": $exists(remark) ? remark : ""
}`);

class Clock {
  constructor(total, warm) {
    Object.assign(this, { total, warm, done: 0, began: 0, used: 0 });
  }

  now() {
    return Number(process.hrtime.bigint()) / 1e9;
  }

  cpu() {
    const usage = process.cpuUsage();
    return (usage.user + usage.system) / 1e6;
  }

  // One more; true with the last.
  tick() {
    this.done += 1;
    if (this.done === this.warm) {
      this.began = this.now();
      this.used = this.cpu();
    }
    return this.done === this.total;
  }

  report() {
    const messages = this.total - this.warm;
    console.log(JSON.stringify({ began: this.began, ended: this.now(), cpu: this.cpu() - this.used, messages }));
  }
}

module.exports = { check, mapByHand, expression, Clock, PREFETCH: 1200 };
