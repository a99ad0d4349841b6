// twilio_peer.js: Twilio's own library at both ends of what we say and hear.
//
//	send TOKEN URL PARAMS [ALTER]  posts PARAMS (JSON), signed by the library; ALTER (JSON) is merged in after
//	                               the signing. Prints the status
//	expected DOCUMENT              prints the TwiML that the library makes of DOCUMENT (JSON, see below)
//	receive TOKEN                  prints a port, then for each request "true" or "false": does the library take
//	                               its signature, and does it refuse it altered?
//	rest URL SID TOKEN             uses the library's REST client on the stand-in; prints what it got
const twilio = require('twilio');
const http = require('http');
const [command, ...args] = process.argv.slice(2);

async function send(token, url, params, alter) {
	const all = JSON.parse(params);
	const signature = twilio.getExpectedTwilioSignature(token, url, all);
	const answer = await fetch(url, {
		method: 'POST',
		headers: { 'X-Twilio-Signature': signature },
		body: new URLSearchParams(Object.assign(all, JSON.parse(alter || '{}'))),
	});
	console.log(answer.status);
}

function expected(text) {
	const say = JSON.parse(text);
	const response = new twilio.twiml.VoiceResponse();
	const stream = response.connect().stream(say.stream);
	for (const parameter of say.parameters) stream.parameter(parameter);
	response.redirect({ method: 'POST' }, say.redirect);
	console.log(response.toString());
}

function receive(token) {
	const server = http.createServer((request, response) => {
		let body = '';
		request.on('data', (piece) => (body += piece));
		request.on('end', () => {
			const url = `http://${request.headers.host}${request.url}`;
			const params = Object.fromEntries(new URLSearchParams(body));
			const signature = request.headers['x-twilio-signature'];
			const good = twilio.validateRequest(token, signature, url, params);
			params.MessageStatus = 'read';
			const altered = twilio.validateRequest(token, signature, url, params);
			console.log(`${good} ${altered}`);
			response.writeHead(204).end();
		});
	});
	server.listen(0, '127.0.0.1', () => console.log(server.address().port));
}

// The library's client, with every request sent to the stand-in instead.
async function rest(base, sid, token) {
	const client = twilio(sid, token, {
		httpClient: {
			async request(options) {
				const uri = new URL(options.uri);
				const target = new URL(base + uri.pathname + uri.search);
				for (const [name, value] of Object.entries(options.params || {})) target.searchParams.append(name, value);
				const body = new URLSearchParams();
				for (const [name, value] of Object.entries(options.data || {}))
					for (const one of [].concat(value)) body.append(name, one);
				const answer = await fetch(target, {
					method: options.method,
					headers: { Authorization: 'Basic ' + Buffer.from(`${options.username}:${options.password}`).toString('base64') },
					body: options.method === 'post' || options.method === 'POST' ? body : undefined,
				});
				const text = await answer.text();
				return { statusCode: answer.status, body: text === '' ? {} : JSON.parse(text) };
			},
		},
	});
	const message = await client.messages.create({ to: '+15550900001', from: '+15550200001', body: 'peer' });
	const call = await client.calls.create({ to: '+15550900002', from: '+15550200001', url: 'http://127.0.0.1:9/none' });
	const listed = await client.messages.list({ to: '+15550900001', limit: 5 });
	let error = 'none';
	try {
		await client.messages.create({ to: '+15005550001', from: '+15550200001', body: 'x' });
	} catch (e) {
		error = `${e.status} ${e.code}`;
	}
	console.log(`${message.sid.slice(0, 2)} ${message.status} ${call.sid.slice(0, 2)} ${call.status} ${call.direction} ` +
		`${listed.length} ${listed[0].sid === message.sid} ${listed[0].dateCreated instanceof Date} ${error}`);
}

Promise.resolve({ send, expected, receive, rest }[command](...args)).catch((e) => {
	console.error(e);
	process.exit(1);
});
