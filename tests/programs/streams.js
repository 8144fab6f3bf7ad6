// A server of events and of WebSockets, and a client of both. `streams.js PORT` serves; `streams.js PORT ask` asks.
'use strict';
const http = require('http');
const WebSocket = require('ws');

const port = Number(process.argv[2]);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

function serve() {
  const server = http.createServer(async (request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.flushHeaders();
    for (let id = 1; id <= 3; id++) {
      await pause(50);
      response.write(`id: ${id}\ndata: hello\n\n`);
    }
    response.end();
  });
  const sockets = new WebSocket.Server({ server, path: '/chat' });
  sockets.on('connection', (socket) => socket.on('message', (text) => socket.send(`${text}`)));
  server.listen(port, '127.0.0.1');
}

async function ask() {
  await new Promise((done) => http.get({ port, host: '127.0.0.1', path: '/events' }, (answer) => answer.resume().on('end', done)));
  const socket = new WebSocket(`ws://127.0.0.1:${port}/chat`);
  await new Promise((done) => {
    let left = 3;
    socket.on('open', () => socket.send('hello'));
    socket.on('message', () => (--left > 0 ? socket.send('again') : socket.close()));
    socket.on('close', done);
  });
  // A path that nobody upgrades.
  const refused = new WebSocket(`ws://127.0.0.1:${port}/other`);
  await new Promise((done) => refused.on('error', done));
  process.exit(0);
}

if (process.argv[3] === 'ask') ask();
else serve();
