// s3_server.js DIRECTORY: an S3 server that verifies signatures, with the bucket "demo" and the keys S3RVER / S3RVER;
// prints its port.
const S3rver = require('@20minutes/s3rver');
const server = new S3rver({ address: '127.0.0.1', port: 0, directory: process.argv[2], silent: true, vhostBuckets: false,
	configureBuckets: [{ name: 'demo', configs: [] }] });
server.run((error, address) => {
	console.log(error ? String(error) : address.port);
});
