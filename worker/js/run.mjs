// Runs a built bundle in the real runtime (workerd, through miniflare) on the loopback interface.
//
// The first line of standard input is a JSON object:
//   bundle   directory that holds index.js and its .wasm files
//   config   wrangler.toml as JSON: the bindings are written there and nowhere else
//   vars     plain values and secrets, laid over the [vars] of the configuration
//   storage  directory that keeps the Durable Objects between runs
//   port     TCP port, 0 for any free one
// Standard output holds JSON lines: first {"url","pid"} with the runtime's process id, then one
// {"level","message"} for each line that the Worker logs. Each further line of the input, a time in
// milliseconds, has the Worker's scheduled job run as if at that time, and {"ran"} say so; without being
// asked it runs every hour. The script ends, and the runtime with it,
// when standard input closes; when the runtime dies by itself the script ends with status 3.

import childProcess from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { createInterface } from "node:readline";

let runtime;
let stopping = false;
const spawn = childProcess.spawn;
childProcess.spawn = (...args) => {
  const child = spawn(...args);
  if (String(args[0]).includes("workerd")) {
    runtime = child;
    // Not "exit": what it said last is still to be read then.
    child.once("close", (code, signal) => {
      if (!stopping) leave(3, `The runtime ended by itself (${signal ?? `status ${code}`}).`);
    });
  }
  return child;
};
syncBuiltinESMExports();

// The storage survives a SIGKILL, and the runtime would wait for open connections at a SIGTERM.
function leave(status, message) {
  stopping = true;
  if (message) process.stderr.write(`${message}\n`);
  if (runtime?.exitCode === null && runtime.signalCode === null) {
    runtime.once("close", () => process.exit(status));
    runtime.kill("SIGKILL");
  } else {
    process.exit(status);
  }
}

function say(object) {
  process.stdout.write(`${JSON.stringify(object)}\n`);
}

// The end of the input is the end of all.
const lines = createInterface({ input: process.stdin });
lines.on("close", () => leave(0));
const firstLine = new Promise((resolve) => lines.once("line", resolve));

// What the parent reads has gone: nobody is left to run for.
process.stdout.on("error", () => leave(0));
for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(signal, () => leave(0));

const options = JSON.parse(await firstLine);
const { config } = options;

const { Miniflare, Log, LogLevel, convertV4MiniflareOptions } = await import("miniflare");

const sqlClasses = new Set((config.migrations ?? []).flatMap((m) => m.new_sqlite_classes ?? []));
const modules = readdirSync(options.bundle)
  .filter((name) => name.endsWith(".js") || name.endsWith(".wasm"))
  .sort((a, b) => (b === "index.js") - (a === "index.js"))
  .map((name) => {
    const path = join(options.bundle, name);
    return name.endsWith(".wasm")
      ? { type: "CompiledWasm", path, contents: readFileSync(path) }
      : { type: "ESModule", path, contents: readFileSync(path, "utf8") };
  });

const converted = convertV4MiniflareOptions({
  name: config.name,
  modules,
  modulesRoot: options.bundle,
  compatibilityDate: config.compatibility_date,
  compatibilityFlags: config.compatibility_flags ?? [],
  bindings: { ...config.vars, ...options.vars },
  durableObjects: Object.fromEntries(
    (config.durable_objects?.bindings ?? []).map(({ name, class_name }) => [
      name,
      { className: class_name, useSQLite: sqlClasses.has(class_name) },
    ]),
  ),
  r2Buckets: Object.fromEntries(
    (config.r2_buckets ?? []).map(({ binding, bucket_name }) => [binding, bucket_name]),
  ),
  ratelimits: Object.fromEntries(
    (config.ratelimits ?? []).map(({ name, namespace_id, simple }) => [
      name,
      { namespace_id, simple },
    ]),
  ),
  unsafeRegisterWorker: false,
  stripCfConnectingIp: false,
  host: "127.0.0.1",
  port: options.port ?? 0,
  cf: false,
  log: new Log(LogLevel.ERROR),
  handleStructuredLogs: ({ level, message }) => say({ level, message }),
  resourcePersistencePath: options.storage,
});
const miniflare = new Miniflare({
  ...converted,
  enableDevRegistry: false,
  telemetry: { enabled: false },
  logRequests: false,
});

async function runSchedule(time) {
  const [cron] = config.triggers?.crons ?? [];
  if (cron === undefined) return;
  const worker = await miniflare.getWorker();
  const { outcome } = await worker.scheduled({ cron, scheduledTime: new Date(time) });
  say({ ran: outcome });
}

try {
  const url = await miniflare.ready;
  lines.on("line", (time) => runSchedule(Number(time)));
  setInterval(() => runSchedule(Date.now()), 60 * 60 * 1000);
  say({ url: url.origin, pid: runtime.pid });
} catch (error) {
  leave(2, `The runtime did not start: ${error?.message ?? error}`);
}
