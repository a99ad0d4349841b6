// What SendGrid's own library says of signatures: those of our stand-in, and some made here that go to the gateway.
//
// sendgrid_events.js make                     prints a key pair: {"public", "private"}
// sendgrid_events.js receive PUBLIC_KEY       prints a port; says of the one request that comes whether the library
//                                             takes it, and whether it takes it altered
// sendgrid_events.js send PRIVATE URL HOW     signs an event, checks it with the library, and posts it; HOW: good,
//                                             altered, late, resealed (parsed and printed again)
const crypto = require('crypto');
const http = require('http');
const { EventWebhook, EventWebhookHeader } = require('@sendgrid/eventwebhook');

const library = new EventWebhook();
const verify = (key, body, signature, timestamp) => {
  try {
    return library.verifySignature(library.convertPublicKeyToECDSA(key), body, signature, timestamp);
  } catch (error) {
    return false;
  }
};

function make() {
  const pair = crypto.generateKeyPairSync('ec', { namedCurve: 'prime256v1' });
  console.log(JSON.stringify({
    public: pair.publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    private: pair.privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64'),
  }));
}

function receive(key) {
  const server = http.createServer((request, response) => {
    const pieces = [];
    request.on('data', (piece) => pieces.push(piece));
    request.on('end', () => {
      const body = Buffer.concat(pieces).toString();
      const signature = request.headers[EventWebhookHeader.SIGNATURE().toLowerCase()];
      const timestamp = request.headers[EventWebhookHeader.TIMESTAMP().toLowerCase()];
      response.end();
      console.log([verify(key, body, signature, timestamp), verify(key, body.trimEnd(), signature, timestamp),
        verify(key, body.replace('open', 'opem'), signature, timestamp), verify(key, body, signature, `${timestamp}1`)].join(' '));
      server.close();
    });
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
}

async function send(privateKey, url, how) {
  const key = crypto.createPrivateKey({ key: Buffer.from(privateKey, 'base64'), format: 'der', type: 'pkcs8' });
  const publicKey = crypto.createPublicKey(key).export({ type: 'spki', format: 'der' }).toString('base64');
  const timestamp = String(Math.floor(Date.now() / 1000) - (how === 'late' ? 200000 : 0));
  let body = `[{"email":"ann@example.test","event":"processed","timestamp":1788100000,"sg_event_id":"peer-${how}",\r\n"sg_message_id":"m.f"}]\r\n`;
  const signature = crypto.sign('sha256', Buffer.from(timestamp + body), key).toString('base64');
  const taken = verify(publicKey, body, signature, timestamp);
  if (how === 'altered') body = body.replace('ann@', 'bob@');
  if (how === 'resealed') body = JSON.stringify(JSON.parse(body));
  const answer = await fetch(url, {
    method: 'POST',
    body,
    headers: {
      'Content-Type': 'application/json; charset=utf-8',
      [EventWebhookHeader.SIGNATURE()]: signature,
      [EventWebhookHeader.TIMESTAMP()]: timestamp,
    },
  });
  console.log(`${taken} ${verify(publicKey, body, signature, timestamp)} ${answer.status}`);
}

const [what, ...rest] = process.argv.slice(2);
({ make, receive, send })[what](...rest);
