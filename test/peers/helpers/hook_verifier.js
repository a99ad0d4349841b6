// hook_verifier.js SECRET: takes webhooks and verifies them with the library "standardwebhooks"; prints its port, then a
// line for each: "ID TYPE verified altered late", where the last three say whether it passes as it came, with another
// body, and ten minutes later.
const http = require('http');
const { Webhook } = require('standardwebhooks');
const webhook = new Webhook(process.argv[2]);

function passes(body, headers, now) {
	const clock = Date.now;
	Date.now = () => now;
	try {
		webhook.verify(body, headers);
		return true;
	} catch (error) {
		return false;
	} finally {
		Date.now = clock;
	}
}

const server = http.createServer((request, response) => {
	const pieces = [];
	request.on('data', (piece) => pieces.push(piece));
	request.on('end', () => {
		const body = Buffer.concat(pieces).toString();
		const now = Date.now();
		const verified = passes(body, request.headers, now);
		console.log(request.headers['webhook-id'], JSON.parse(body).type, verified, passes(body + ' ', request.headers, now),
			passes(body, request.headers, now + 600000));
		response.writeHead(verified ? 204 : 401);
		response.end();
	});
});
server.listen(0, '127.0.0.1', () => console.log(server.address().port));
