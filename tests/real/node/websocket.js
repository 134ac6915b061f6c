// `ws`: `server PORT` echoes; `client URL COUNT` sends messages of many sizes, text and binary, on
// several connections at once, and prints how many came back whole.
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
