// Node's own HTTP server: PORT BACKEND DATABASE VARIANT. GET /w/ID makes the variant's calls and answers "ok".
'use strict';
const fs = require('fs');
const http = require('http');

const [port, backend, redisPort, variant] = process.argv.slice(2);
const TIMER = 5;
const BACKGROUND = 3;
const MIXED = ['direct', 'timer', 'file', 'fetch', 'batch'];
// `pool`: more requests than connections, so that most calls are sent when an earlier answer has freed one.
const agent = new http.Agent({ keepAlive: true, maxSockets: variant.startsWith('pool') ? 4 : Infinity });
const pause = (time) => new Promise((resolve) => setTimeout(resolve, time));

function call(id, number) {
  return new Promise((resolve, reject) => {
    const options = { host: '127.0.0.1', port: backend, path: `/b/${id}/${number}`, agent };
    http.get(options, (answer) => answer.resume().on('end', resolve).on('error', reject)).on('error', reject);
  });
}

async function fetched(id, number) {
  const answer = await fetch(`http://127.0.0.1:${backend}/b/${id}/${number}`);
  return answer.text();
}

const later = (promise) => promise.catch((error) => console.error(error));

let cache;
let batch = [];

// Makes the call with those of all requests that come until the loop's next turn.
function collected(id) {
  return new Promise((resolve, reject) => {
    batch.push(() => call(id, 1).then(resolve, reject));
    if (batch.length === 1) {
      setImmediate(() => batch.splice(0).forEach((make) => make()));
    }
  });
}

const variants = {
  direct: (id) => call(id, 1),
  pool: (id) => call(id, 1),
  background: (id) => call(id, 1),
  fetch: (id) => fetched(id, 1),
  sequential: async (id) => { await call(id, 1); await call(id, 2); },
  parallel: (id) => Promise.all([call(id, 1), call(id, 2)]),
  timer: async (id) => { await pause(TIMER); await call(id, 1); },
  file: async (id) => { await fs.promises.readFile('/etc/hostname'); await call(id, 1); },
  redis: (id) => cache.get(`b:${id}:1`),
  'pool-sequential': async (id) => { await call(id, 1); await call(id, 2); },
  batch: collected,
  mixed: (id) => variants[MIXED[Number(id.slice(1)) % MIXED.length]](id),
  // The response is sent long before the call.
  after: async (id) => { later(pause(TIMER).then(() => call(id, 1))); },
};

async function main() {
  if (variant === 'redis') {
    cache = await require('redis').createClient({ socket: { host: '127.0.0.1', port: Number(redisPort) } }).connect();
  }
  const work = variants[variant];
  const server = http.createServer(async (request, response) => {
    try {
      await work(request.url.slice('/w/'.length));
      response.end('ok');
    } catch (error) {
      response.statusCode = 500;
      response.end(String(error));
    }
  });
  server.listen(Number(port), '127.0.0.1', 1024);
  if (variant === 'background') {
    let number = 0;
    setInterval(() => later(call(`bg${number++}`, 1)), BACKGROUND);
  }
}

main();
