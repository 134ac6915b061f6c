// socket.io: `server PORT NAME` is a chat room; `clients URL COUNT` enters it with as many clients,
// each by long polling first and then, upgraded, by WebSocket, and prints what they heard.
const http = require('node:http');

const [mode, where, arg] = process.argv.slice(2);

if (mode === 'server') {
  const { Server } = require('socket.io');
  const server = http.createServer((_, response) => response.end('ok'));
  const io = new Server(server);
  io.on('connection', (socket) => {
    socket.emit('welcome', arg);
    socket.on('say', (text, heard) => heard(`${arg}: ${text}`));
  });
  server.listen(+where, '127.0.0.1');
} else {
  const { io } = require('socket.io-client');
  const one = (_, n) => new Promise((resolve, reject) => {
    const socket = io(where, { forceNew: true, withCredentials: true, reconnection: false });
    const transports = [];
    let room;
    socket.on('connect_error', reject);
    socket.io.on('open', () => {
      const { engine } = socket.io;
      transports.push(engine.transport.name);
      engine.once('upgrade', () => {
        transports.push(engine.transport.name);
        socket.emit('say', `hello ${n}`, (said) => {
          socket.disconnect();
          resolve({ room, said, transports: transports.join(' then ') });
        });
      });
    });
    socket.on('welcome', (name) => { room = name; });
  });
  Promise.all(Array.from({ length: +arg }, one)).then((all) => {
    console.log(JSON.stringify(all));
    process.exit(0);
  });
}
