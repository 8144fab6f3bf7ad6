// HTTP/2 without TLS, as Node speaks it.
//
// http2.js PORT               a server: /200 and the like answer with that status, /late never
// http2.js PORT many COUNT    asks it so often at once, on one connection; gives up one request more
// http2.js PORT twice FILE    asks once, waits for FILE, and asks again on the same connection
const http2 = require('http2');
const fs = require('fs');

const [port, what, argument] = process.argv.slice(2);

function serve() {
  http2.createServer().on('stream', (stream, headers) => {
    stream.on('error', () => {});
    const status = Number(headers[':path'].split('/')[1]);
    if (status) {
      stream.respond({ ':status': status });
      stream.end('x'.repeat(20000));
    }
  }).listen(port, '127.0.0.1');
}

function ask(session, path) {
  return new Promise((resolve, reject) => {
    const request = session.request({ ':path': path, cookie: 'secret=1' });
    request.on('error', reject).on('end', resolve).resume();
  });
}

async function main() {
  if (!what) return serve();
  const session = http2.connect(`http://127.0.0.1:${port}`);
  if (what === 'many') {
    const late = session.request({ ':path': '/late' });
    late.on('error', () => {});
    await Promise.all(Array.from({ length: Number(argument) }, (_, i) => ask(session, `/${i % 3 === 2 ? 404 : 200}/${i}`)));
    late.close(http2.constants.NGHTTP2_CANCEL);
    await new Promise((resolve) => late.on('close', resolve));
  } else {
    await ask(session, '/200/before');
    fs.writeFileSync(`${argument}.asked`, '');
    while (!fs.existsSync(argument)) await new Promise((resolve) => setTimeout(resolve, 20));
    await ask(session, '/200/after');
  }
  session.close();
}

main();
