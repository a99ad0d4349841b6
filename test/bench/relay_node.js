/*
 * relay_node.js: the second baseline: the same work as relay_epoll.c, the way a thin relay is
 * usually written in Node.js, with the npm package ws.
 *
 *   node relay_node.js LISTEN_PORT ENGINE_PORT      (port 0: any; prints "listening PORT")
 *
 * Kept to what the work needs: tables for mu-law, no per-message compression, no framework. ws runs
 * as npm installs it, without its optional native add-ons.
 */
'use strict';

const { WebSocket, WebSocketServer } = require('ws');

const [listenPort, enginePort] = process.argv.slice(2).map(Number);

/* ITU-T G.711 mu-law; the code is stored inverted. */
const ulawToPcm = new Int16Array(256);
const pcmToUlaw = new Uint8Array(65536);

function expand(code) {
	const inverted = ~code & 0xff;
	const magnitude = ((((inverted & 0x0f) << 3) + 0x84) << ((inverted >> 4) & 7)) - 0x84;

	return inverted & 0x80 ? -magnitude : magnitude;
}

function compress(sample) {
	const sign = sample < 0 ? 0x80 : 0;
	const magnitude = Math.min(Math.abs(sample), 32635) + 0x84;
	let segment = 7;

	while (segment > 0 && !(magnitude & (0x80 << segment)))
		segment--;
	return ~(sign | (segment << 4) | ((magnitude >> (segment + 3)) & 0x0f)) & 0xff;
}

for (let i = 0; i < 256; i++)
	ulawToPcm[i] = expand(i);
for (let i = 0; i < 65536; i++)
	pcmToUlaw[i] = compress((i << 16) >> 16);

function decode(payload) {
	const ulaw = Buffer.from(payload, 'base64');
	const pcm = new Int16Array(ulaw.length);

	for (let i = 0; i < ulaw.length; i++)
		pcm[i] = ulawToPcm[ulaw[i]];
	return Buffer.from(pcm.buffer);
}

function encode(data) {
	const ulaw = Buffer.allocUnsafe(data.length >> 1);

	for (let i = 0; i < ulaw.length; i++)
		ulaw[i] = pcmToUlaw[data[2 * i] | (data[2 * i + 1] << 8)];
	return ulaw.toString('base64');
}

function bridge(twilio) {
	const engine = new WebSocket(`ws://127.0.0.1:${enginePort}/calls/0`, {
		perMessageDeflate: false
	});
	let streamSid = null;

	twilio._socket.setNoDelay(true);
	engine.on('open', () => engine._socket.setNoDelay(true));
	twilio.on('message', (data) => {
		const message = JSON.parse(data);

		if (message.event === 'start')
			streamSid = message.streamSid;
		else if (message.event === 'media' && engine.readyState === WebSocket.OPEN)
			engine.send(decode(message.media.payload), { binary: true });
	});
	engine.on('message', (data, binary) => {
		if (streamSid === null)
			return;
		if (binary)
			twilio.send(JSON.stringify({
				event: 'media', streamSid, media: { payload: encode(data) }
			}));
		else if (JSON.parse(data).type === 'playback_clear_buffer')
			twilio.send(JSON.stringify({ event: 'clear', streamSid }));
	});
	twilio.on('close', () => engine.close());
	engine.on('close', () => twilio.close());
	twilio.on('error', () => engine.terminate());
	engine.on('error', () => twilio.terminate());
}

const server = new WebSocketServer({
	host: '127.0.0.1', port: listenPort, backlog: 1024, perMessageDeflate: false
}, () => console.log(`listening ${server.address().port}`));

server.on('connection', bridge);
