// Node's own HTTP server: `PORT`. `/hints` sends Early Hints, `/trailers` trailers, `/stream` a body
// in pieces, `/echo` what it is sent, `/continue` decides on an expectation.
const http = require('node:http');

const server = http.createServer((request, response) => {
  if (request.url === '/hints') {
    response.writeEarlyHints({ link: '</style.css>; rel=preload' });
    response.end('hinted\n');
  } else if (request.url === '/trailers') {
    response.writeHead(200, { trailer: 'x-sum' });
    response.write('body\n');
    response.addTrailers({ 'x-sum': '42' });
    response.end();
  } else if (request.url === '/stream') {
    let left = 5;
    const next = () => {
      response.write(`${left}\n`);
      left -= 1;
      if (left > 0) setImmediate(next);
      else response.end();
    };
    next();
  } else {
    request.pipe(response);
  }
});
server.on('checkContinue', (request, response) => {
  if (request.url === '/refuse') {
    response.writeHead(413, { connection: 'close' });
    response.end('no\n');
  } else {
    response.writeContinue();
    request.pipe(response);
  }
});
server.listen(+process.argv[2], '127.0.0.1');
