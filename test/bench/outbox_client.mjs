// outbox_client.mjs: the sides of the outbox's benchmark that are not ours: a service that notes when a
// request arrives, a client that adds effects one by one, and the two baselines. Prints one flat JSON object.
//
//   node outbox_client.mjs latency COUNT GAP_MS         COMMIT answered → request there, effects of tenant $BENCH_TENANT
//   node outbox_client.mjs loop COUNT URL               one connection: take a row, send, delete, again
//   node outbox_client.mjs graphile COUNT URL           graphile-worker, its own table, 50 at once
import http from 'node:http';
import { createRequire } from 'node:module';
const require = createRequire(process.env.NODE_PATH + '/');
const pg = require('pg');

const now = () => Number(process.hrtime.bigint() / 1000n); // microseconds
const agent = new http.Agent({ keepAlive: true, maxSockets: 50 });

function post(url, key) {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method: 'POST', agent, headers: { 'X-Attempt-Key': key, 'Content-Type': 'application/json' } }, (reply) => {
      reply.resume();
      reply.on('end', () => (reply.statusCode === 201 ? resolve() : reject(new Error('status ' + reply.statusCode))));
    });
    request.on('error', reject);
    request.end('{"text": "hello"}');
  });
}

async function client() {
  const c = new pg.Client();
  await c.connect();
  return c;
}

// The service of the probes: each arrives once, and is awaited before the next is added.
async function latency(count, gap) {
  const waiting = new Map();
  const server = http.createServer((request, reply) => {
    const at = now();
    request.resume();
    request.on('end', () => {
      reply.writeHead(201, { 'Content-Type': 'application/json' });
      reply.end('{"id": "x", "count": 1}');
      const key = request.headers['x-attempt-key'];
      waiting.get(key)?.(at);
      waiting.delete(key);
    });
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const c = await client();
  await c.query("UPDATE tenants SET settings = settings || jsonb_build_object('sink_url', $1::text) WHERE id = $2",
    [`http://127.0.0.1:${server.address().port}`, process.env.BENCH_TENANT]);
  const run = process.pid + '-' + Date.now();
  const times = [];
  for (let i = 0; i < count; i++) {
    const key = `probe-${run}-${i}`;
    const there = new Promise((resolve) => waiting.set(key, resolve));
    await c.query('BEGIN');
    await c.query("SELECT va_outbox_add($1, 'sink.post', $2, lane => 'live')", [process.env.BENCH_TENANT, key]);
    await c.query('COMMIT');
    const committed = now();
    times.push(Math.max((await there) - committed, 0));
    await new Promise((resolve) => setTimeout(resolve, gap));
  }
  times.splice(0, Math.floor(count / 10)); // warming up
  times.sort((a, b) => a - b);
  const at = (p) => times[Math.min(times.length - 1, Math.floor(times.length * p))];
  server.close();
  server.closeAllConnections();
  await c.end();
  return { probes: times.length, p50_us: at(0.5), p99_us: at(0.99), max_us: times[times.length - 1] };
}

// What is written by hand on a Friday: correct, and one thing at a time.
async function loop(count, url) {
  const c = await client();
  await c.query('CREATE TABLE IF NOT EXISTS bench_queue (id bigint PRIMARY KEY, payload jsonb)');
  await c.query("INSERT INTO bench_queue SELECT n, '{}' FROM generate_series(1, $1::int) n", [count]);
  const start = now();
  for (;;) {
    await c.query('BEGIN');
    const { rows } = await c.query('SELECT id FROM bench_queue ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED');
    if (rows.length === 0) break;
    await post(url, 'loop-' + rows[0].id);
    await c.query('DELETE FROM bench_queue WHERE id = $1', [rows[0].id]);
    await c.query('COMMIT');
  }
  const us = now() - start;
  await c.query('COMMIT');
  await c.end();
  return { effects: count, per_second: Math.round((count * 1e6) / us) };
}

async function graphile(count, url) {
  const { run, runMigrations } = require('graphile-worker');
  const pool = new pg.Pool({ max: 20 });
  pool.on('error', () => {});
  pool.on('connect', (c) => c.on('error', () => {}));
  await runMigrations({ pgPool: pool });
  await pool.query("SELECT graphile_worker.add_job('effect', json_build_object('n', n)) FROM generate_series(1, $1::int) n", [count]);
  let done = 0, start, finish;
  const finished = new Promise((resolve) => (finish = resolve));
  const runner = await run({
    pgPool: pool, concurrency: 50, noHandleSignals: true, pollInterval: 1000,
    taskList: { effect: async ({ n }) => {
      start ??= now();
      await post(url, 'graphile-' + n);
      if (++done === count) finish(now());
    } },
    logger: new (require('graphile-worker').Logger)(() => () => {}),
  });
  const us = (await finished) - start;
  await runner.stop();
  await pool.end();
  return { effects: count, per_second: Math.round((count * 1e6) / us) };
}

const [what, count, rest] = process.argv.slice(2);
const result = await { latency, loop, graphile }[what](Number(count), what === 'latency' ? Number(rest) : rest);
agent.destroy();
console.log(JSON.stringify(result));
