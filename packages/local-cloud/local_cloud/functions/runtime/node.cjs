// Runs a Node.js handler as AWS's runtime does; the counterpart of python.py, which says how the pipes are spoken.
// The next invocation is read only when the last one was answered, without turning the event loop: a function is frozen meanwhile.
// https://docs.aws.amazon.com/lambda/latest/dg/nodejs-handler.html
"use strict";
const fs = require("fs");
const http = require("http");
const https = require("https");
const path = require("path");
const util = require("util");
const url = require("url");

const [ordersPath, answersPath] = process.argv.splice(2);
const orders = fs.openSync(ordersPath, "r");
const answers = fs.openSync(answersPath, "w");
const EVENT = "\0", END = "\0END ";
const LEVELS = { log: "INFO", info: "INFO", debug: "DEBUG", trace: "TRACE", warn: "WARN", error: "ERROR" };
let requestId = "undefined";
let pending = Buffer.alloc(0);
let waiting = null;  // what answers once the event loop is empty

function writeAll(descriptor, text) {
  const data = Buffer.from(text);
  for (let at = 0; at < data.length; ) {
    try {
      at += fs.writeSync(descriptor, data, at);
    } catch (fault) {
      if (fault.code !== "EAGAIN") throw fault;
    }
  }
}

const print = (text) => writeAll(1, EVENT + text.replace(/\n/g, "\r") + "\n");
const say = (answer) => writeAll(answers, JSON.stringify(answer) + "\n");

function readOrder() {
  const chunk = Buffer.alloc(65536);
  for (;;) {
    const end = pending.indexOf(10);
    if (end >= 0) {
      const line = pending.subarray(0, end).toString();
      pending = pending.subarray(end + 1);
      return JSON.parse(line);
    }
    const size = fs.readSync(orders, chunk);
    if (size === 0) process.exit(0);
    pending = Buffer.concat([pending, chunk.subarray(0, size)]);
  }
}

for (const [name, level] of Object.entries(LEVELS)) {
  console[name] = (...words) => print(`${new Date().toISOString()}\t${requestId}\t${level}\t${util.format(...words)}`);
}

// A custom resource answers to a URL of this cloud, which speaks http; many handlers call https.request whatever it says.
const cloud = new URL(process.env.AWS_ENDPOINT_URL);
const plainRequest = https.request;
https.request = function (target, ...rest) {
  const said = typeof target === "string" ? new URL(target) : target;
  const host = said && (said.hostname || said.host);
  if (host === cloud.hostname && (!said.port || Number(said.port) === 443)) {
    const options = { method: said.method, headers: said.headers, path: said.path || said.pathname + said.search };
    const more = typeof rest[0] === "object" ? rest.shift() : {};
    return http.request({ ...options, ...more, hostname: cloud.hostname, port: cloud.port, agent: undefined }, ...rest);
  }
  return plainRequest.call(https, target, ...rest);
};
require("module").syncBuiltinESMExports();

class Failed extends Error {
  constructor(name, message) {
    super(message);
    this.name = name;
    this.stack = `${name}: ${message}`;
  }
}

function described(fault) {
  if (!util.types.isNativeError(fault)) {
    return { errorType: typeof fault, errorMessage: String(fault), trace: [] };
  }
  return { errorType: fault.name, errorMessage: fault.message, trace: String(fault.stack).split("\n") };
}

function logged(title, fault) {
  const { errorType, errorMessage, trace } = described(fault);
  const more = util.types.isNativeError(fault) ? Object.fromEntries(Object.entries(fault).filter(([name]) => name !== "name")) : {};
  console.error(`${title} \t${JSON.stringify({ errorType, errorMessage, ...more, stack: trace })}`);
}

function isModule(file) {
  if (file.endsWith(".mjs")) return true;
  if (file.endsWith(".cjs")) return false;
  for (let folder = path.dirname(file); ; folder = path.dirname(folder)) {
    const described = path.join(folder, "package.json");
    if (fs.existsSync(described)) return JSON.parse(fs.readFileSync(described)).type === "module";
    if (folder === path.dirname(folder)) return false;
  }
}

async function findHandler(root, named) {
  const base = path.basename(named);
  const found = /^([^.]*)\.(.*)$/.exec(base);
  if (!found || named.includes("..")) throw new Failed("Runtime.MalformedHandlerName", "Bad handler");
  const stem = path.join(root, path.dirname(named), found[1]);
  const file = ["", ".js", ".mjs", ".cjs"].map((end) => stem + end).find((one) => fs.existsSync(one) && fs.statSync(one).isFile());
  let loaded;
  try {
    if (!file) throw Object.assign(new Error(`Cannot find module '${found[1]}'\nRequire stack:\n- ${__filename}`), { code: "MODULE_NOT_FOUND" });
    loaded = isModule(file) ? await import(url.pathToFileURL(file)) : require(file);
  } catch (fault) {
    if (fault instanceof SyntaxError) throw new Failed("Runtime.UserCodeSyntaxError", String(fault));
    if (["MODULE_NOT_FOUND", "ERR_MODULE_NOT_FOUND"].includes(fault.code)) throw new Failed("Runtime.ImportModuleError", String(fault));
    throw fault;
  }
  const handler = found[2].split(".").reduce((value, name) => value && value[name], loaded);
  const other = handler || found[2].split(".").reduce((value, name) => value && value[name], loaded.default);
  if (!other) throw new Failed("Runtime.HandlerNotFound", `${named} is undefined or not exported`);
  if (typeof other !== "function") throw new Failed("Runtime.HandlerNotFound", `${named} is not a function`);
  return other;
}

function answer(order, well, body, broken) {
  writeAll(1, `${END}${order.id}\n`);
  say({ kind: "answer", id: order.id, well, body, peak: process.resourceUsage().maxRSS, broken: Boolean(broken) });
}

function invoke(handler, order) {
  return new Promise((done) => {
    let answered = false;
    const finish = (fault, result) => {
      if (answered) return;
      answered = true;
      waiting = null;
      if (fault !== null && fault !== undefined) {
        logged("Invoke Error", fault);
        answer(order, false, JSON.stringify(described(fault)));
      } else {
        let text;
        try {
          text = JSON.stringify(result === undefined ? null : result);
          if (text === undefined) text = "null";
        } catch (fault) {
          logged("Invoke Error", fault);
          answer(order, false, JSON.stringify(described(fault)));
          return done();
        }
        answer(order, true, text);
      }
      done();
    };
    let waits = true;
    const callback = (fault, result) => {
      if (waits && (fault === null || fault === undefined)) waiting = () => finish(null, result);
      else finish(fault, result);
    };
    const context = {
      get callbackWaitsForEmptyEventLoop() { return waits; },
      set callbackWaitsForEmptyEventLoop(value) { waits = value; },
      functionVersion: process.env.AWS_LAMBDA_FUNCTION_VERSION,
      functionName: process.env.AWS_LAMBDA_FUNCTION_NAME,
      memoryLimitInMB: process.env.AWS_LAMBDA_FUNCTION_MEMORY_SIZE,
      logGroupName: process.env.AWS_LAMBDA_LOG_GROUP_NAME,
      logStreamName: process.env.AWS_LAMBDA_LOG_STREAM_NAME,
      clientContext: order.client || undefined,
      identity: undefined,
      invokedFunctionArn: order.arn,
      awsRequestId: order.id,
      getRemainingTimeInMillis: () => Math.max(0, order.deadline - Date.now()),
      done: callback,
      succeed: (result) => callback(null, result),
      fail: (fault) => callback(fault === undefined || fault === null ? "handled" : fault),
    };
    waiting = () => finish(null, null);  // a handler that never answers: null, once nothing is left to happen
    try {
      const result = handler(JSON.parse(order.event), context, callback);
      if (result && typeof result.then === "function") {
        result.then((value) => finish(null, value), (fault) => finish(fault ?? "undefined"));
      }
    } catch (fault) {
      finish(fault);
    }
  });
}

process.on("beforeExit", () => { if (waiting) waiting(); });
process.on("unhandledRejection", (reason) => {
  const fault = new Failed("Runtime.UnhandledPromiseRejection", String(reason));
  logged("Unhandled Promise Rejection", fault);
  say({ kind: "died", body: JSON.stringify(described(fault)) });
  process.exit(128);
});
process.on("uncaughtException", (fault) => {
  logged("Uncaught Exception", fault);
  say({ kind: "died", body: JSON.stringify(described(fault)) });
  process.exit(129);
});

(async () => {
  let handler = null, failed = null;
  try {
    handler = await findHandler(process.env.LAMBDA_TASK_ROOT, process.env._HANDLER);
  } catch (fault) {
    failed = fault;
    logged("Uncaught Exception", fault);
  }
  say({ kind: "ready" });
  const next = () => {
    const order = readOrder();
    requestId = order.id;
    process.env._X_AMZN_TRACE_ID = order.trace;
    if (failed) {
      answer(order, false, JSON.stringify(described(failed)), true);
      setImmediate(next);
    } else invoke(handler, order).then(() => setImmediate(next));
  };
  next();
})();
