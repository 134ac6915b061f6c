// `ws`: `server PORT` echoes; `client URL COUNT` sends messages of many sizes, text and binary, on
// several connections at once, and prints how many came back whole; `hold URL NAME` asks NAME for one by
// TLS and sends a number again and again, and prints those that came back.
const assert = require('node:assert');
const crypto = require('node:crypto');
const { WebSocket, WebSocketServer } = require('ws');

const [mode, where, count] = process.argv.slice(2);

if (mode === 'server') {
  const server = new WebSocketServer({ host: '127.0.0.1', port: +where, perMessageDeflate: true });
  server.on('connection', (socket) => {
    socket.on('message', (data, binary) => socket.send(data, { binary }));
    socket.on('error', () => {});
  });
} else if (mode === 'hold') {
  const socket = new WebSocket(where, { servername: count });
  let sent = 0;
  const next = () => socket.send(`${sent += 1}`);
  socket.on('open', next);
  socket.on('message', (data) => {
    assert.strictEqual(data.toString(), `${sent}`);
    console.log(sent);
    setTimeout(next, 10);
  });
  socket.on('close', (code) => { throw new Error(`closed with ${code}`); });
} else {
  const one = () => new Promise((resolve, reject) => {
    const socket = new WebSocket(where, { perMessageDeflate: true });
    const sizes = [0, 1, 125, 126, 65535, 65536, 1 << 20];
    const sent = sizes.map((n) => crypto.randomBytes(n));
    let at = 0;
    let pongs = 0;
    socket.on('open', () => {
      socket.ping('are you there');
      sent.forEach((data) => socket.send(data));
    });
    socket.on('pong', () => { pongs += 1; });
    socket.on('message', (data) => {
      assert.ok(data.equals(sent[at]), `message ${at}`);
      at += 1;
      if (at === sent.length) socket.close(1000, 'done');
    });
    socket.on('close', (code) => {
      assert.deepStrictEqual([code, at, pongs], [1000, sent.length, 1]);
      resolve(at);
    });
    socket.on('error', reject);
  });
  Promise.all(Array.from({ length: +count }, one))
    .then((all) => console.log(`whole ${all.reduce((a, b) => a + b, 0)}`));
}
