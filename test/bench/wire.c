/*
 * wire.c: WebSocket framing, base64, mu-law, HTTP heads and sockets for the benchmark's programs.
 *
 * Plain and small: what costs something here is charged to the bare relay (the baseline) or to the
 * generator (which must not become the bottleneck), so the loops per sample are table look-ups and
 * nothing allocates.
 */
#define _GNU_SOURCE
#include "wire.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define WS_MAX_PAYLOAD 65536
#define WS_GUID "258EAFA5-E914-47DA-95CA-C5AB0DC85B11" /* RFC 6455, 1.3 */

int16_t ulaw_to_pcm[256];
uint8_t pcm_to_ulaw[65536];

static const char b64_alphabet[] =
	"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
#define B64_FOREIGN 0xFF000000u /* above the 24 bits of a group */
static uint32_t b64_bits[4][256]; /* value of a character at each place of a group */

uint64_t
clock_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t) ts.tv_sec * 1000000000 + (uint64_t) ts.tv_nsec;
}

/* ITU-T G.711: the code is stored inverted; segment and step give the magnitude. */
static int16_t
ulaw_expand(uint8_t code)
{
	int inverted = ~code & 0xFF;
	int magnitude = ((((inverted & 0x0F) << 3) + 0x84) << ((inverted >> 4) & 7)) - 0x84;

	return (int16_t) ((inverted & 0x80) ? -magnitude : magnitude);
}

static uint8_t
ulaw_compress(int sample)
{
	int sign = sample < 0 ? 0x80 : 0;
	int magnitude = sample < 0 ? -sample : sample;
	int segment = 7;

	if (magnitude > 32635)
		magnitude = 32635;
	magnitude += 0x84;
	while (segment > 0 && !(magnitude & (0x80 << segment)))
		segment--;
	return (uint8_t) ~(sign | (segment << 4) | ((magnitude >> (segment + 3)) & 0x0F));
}

void
wire_init(void)
{
	for (int i = 0; i < 256; i++)
		ulaw_to_pcm[i] = ulaw_expand((uint8_t) i);
	for (int i = 0; i < 65536; i++)
		pcm_to_ulaw[i] = ulaw_compress((int16_t) i);
	for (int place = 0; place < 4; place++)
	{
		for (int i = 0; i < 256; i++)
			b64_bits[place][i] = B64_FOREIGN;
		for (uint32_t i = 0; i < 64; i++)
			b64_bits[place][(uint8_t) b64_alphabet[i]] = i << (18 - 6 * place);
	}
}

size_t
b64_encode(const uint8_t *data, size_t len, char *out)
{
	char *o = out;
	size_t i = 0;

	for (; i + 2 < len; i += 3)
	{
		uint32_t v = (uint32_t) data[i] << 16 | (uint32_t) data[i + 1] << 8 | data[i + 2];

		*o++ = b64_alphabet[v >> 18];
		*o++ = b64_alphabet[v >> 12 & 63];
		*o++ = b64_alphabet[v >> 6 & 63];
		*o++ = b64_alphabet[v & 63];
	}
	if (i < len)
	{
		uint32_t v = (uint32_t) data[i] << 16 | (i + 1 < len ? (uint32_t) data[i + 1] << 8 : 0);

		*o++ = b64_alphabet[v >> 18];
		*o++ = b64_alphabet[v >> 12 & 63];
		*o++ = i + 1 < len ? b64_alphabet[v >> 6 & 63] : '=';
		*o++ = '=';
	}
	return (size_t) (o - out);
}

ssize_t
b64_decode(const char *text, size_t len, uint8_t *out, size_t size)
{
	const uint8_t *in = (const uint8_t *) text;
	size_t n = 0;

	if (len % 4 != 0 || size < len / 4 * 3)
		return -1;
	for (size_t i = 0; i < len; i += 4)
	{
		int padding = 0;
		uint32_t v;

		if (i + 4 == len && in[i + 3] == '=')
			padding = in[i + 2] == '=' ? 2 : 1;
		v = b64_bits[0][in[i]] | b64_bits[1][in[i + 1]] |
			(padding > 1 ? 0 : b64_bits[2][in[i + 2]]) | (padding ? 0 : b64_bits[3][in[i + 3]]);
		if (v & B64_FOREIGN)
			return -1;
		out[n] = (uint8_t) (v >> 16);
		out[n + 1] = (uint8_t) (v >> 8);
		out[n + 2] = (uint8_t) v;
		n += 3 - (size_t) padding;
	}
	return (ssize_t) n;
}

size_t
ws_header(uint8_t *out, unsigned opcode, size_t len, const uint8_t *mask)
{
	size_t n = 2;

	out[0] = (uint8_t) (0x80 | opcode);
	if (len < 126)
		out[1] = (uint8_t) len;
	else
	{
		out[1] = 126;
		out[2] = (uint8_t) (len >> 8);
		out[3] = (uint8_t) len;
		n = 4;
	}
	if (mask)
	{
		out[1] |= 0x80;
		memcpy(out + n, mask, 4);
		n += 4;
	}
	return n;
}

void
ws_mask(uint8_t *data, size_t len, const uint8_t *mask)
{
	uint64_t wide;
	uint32_t key;
	size_t i = 0;

	memcpy(&key, mask, 4);
	for (; i + 8 <= len; i += 8)
	{
		memcpy(&wide, data + i, 8);
		wide ^= (uint64_t) key << 32 | key;
		memcpy(data + i, &wide, 8);
	}
	for (; i < len; i++)
		data[i] ^= mask[i & 3];
}

ssize_t
ws_parse(uint8_t *buffer, size_t len, struct ws_frame *frame)
{
	size_t header = 2;
	size_t payload;
	bool masked;

	if (len < 2)
		return 0;
	masked = buffer[1] & 0x80;
	payload = buffer[1] & 0x7F;
	if (!(buffer[0] & 0x80) || (buffer[0] & 0x0F) == 0 || payload == 127)
		return -1;
	if (payload == 126)
	{
		if (len < 4)
			return 0;
		payload = (size_t) buffer[2] << 8 | buffer[3];
		header = 4;
	}
	if (len < header + (masked ? 4 : 0) + payload)
		return 0;
	frame->opcode = buffer[0] & 0x0F;
	frame->data = buffer + header + (masked ? 4 : 0);
	frame->len = payload;
	if (masked)
		ws_mask(frame->data, payload, buffer + header);
	return frame->data + payload - buffer;
}

void
ws_accept_key(const char *key, size_t len, char out[29])
{
	uint8_t digest[SHA_DIGEST_LENGTH];
	char text[128];
	int n = snprintf(text, sizeof(text), "%.*s%s", (int) (len > 64 ? 64 : len), key, WS_GUID);

	SHA1((const uint8_t *) text, (size_t) n, digest);
	out[b64_encode(digest, sizeof(digest), out)] = '\0';
}

void
twilio_sign(const char *token, const char *text, char out[29])
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned len = 0;

	HMAC(EVP_sha1(), token, (int) strlen(token), (const uint8_t *) text, strlen(text), digest,
		 &len);
	out[b64_encode(digest, len, out)] = '\0';
}

bool
url_parse(const char *text, size_t len, struct url *out)
{
	const char *host = memmem(text, len, "://", 3);
	const char *end = text + len;
	const char *path, *colon;
	size_t host_len;

	if (host == NULL)
		return false;
	host += 3;
	path = memchr(host, '/', (size_t) (end - host));
	if (path == NULL)
		path = end;
	colon = memchr(host, ':', (size_t) (path - host));
	host_len = (size_t) ((colon ? colon : path) - host);
	if (host_len == 0 || host_len >= sizeof(out->host) ||
		(size_t) (end - path) + 1 >= sizeof(out->path))
		return false;
	memcpy(out->host, host, host_len);
	out->host[host_len] = '\0';
	out->port = colon ? (uint16_t) strtoul(colon + 1, NULL, 10) : 80;
	snprintf(out->path, sizeof(out->path), "%s%.*s", path < end ? "" : "/", (int) (end - path),
			 path);
	return out->port != 0;
}

const char *
http_header(const char *head, size_t head_len, const char *name, size_t *value_len)
{
	const char *line = head;
	const char *end = head + head_len;
	size_t name_len = strlen(name);

	while (line < end)
	{
		const char *next = memchr(line, '\n', (size_t) (end - line));
		size_t line_len = next ? (size_t) (next - line) : (size_t) (end - line);

		if (line_len > name_len && line[name_len] == ':' && strncasecmp(line, name, name_len) == 0)
		{
			const char *value = line + name_len + 1;
			const char *stop = line + line_len;

			while (value < stop && *value == ' ')
				value++;
			while (stop > value && (stop[-1] == '\r' || stop[-1] == ' '))
				stop--;
			*value_len = (size_t) (stop - value);
			return value;
		}
		line += line_len + 1;
	}
	return NULL;
}

size_t
http_head_length(const char *text, size_t len)
{
	const char *end = memmem(text, len, "\r\n\r\n", 4);

	return end ? (size_t) (end - text) + 4 : 0;
}

static void
set_no_delay(int fd)
{
	int one = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
}

static int
tcp_failed(int fd, const char *what)
{
	fprintf(stderr, "%s: %s\n", what, strerror(errno));
	if (fd >= 0)
		close(fd);
	return -1;
}

int
tcp_listen(uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int one = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (fd < 0)
		return tcp_failed(fd, "socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 1024) < 0)
		return tcp_failed(fd, "listen");
	return fd;
}

uint16_t
tcp_port(int fd)
{
	struct sockaddr_in address;
	socklen_t len = sizeof(address);

	if (getsockname(fd, (struct sockaddr *) &address, &len) < 0)
		return 0;
	return ntohs(address.sin_port);
}

int
tcp_accept(int listener)
{
	int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

	if (fd >= 0)
		set_no_delay(fd);
	return fd;
}

int
tcp_connect(const char *host, uint16_t port)
{
	struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		return tcp_failed(fd, "socket");
	set_no_delay(fd);
	if (inet_pton(AF_INET, host, &address.sin_addr) != 1)
		address.sin_addr.s_addr = htonl(INADDR_LOOPBACK); /* localhost: all is on this machine */
	if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0 && errno != EINPROGRESS)
		return tcp_failed(fd, "connect");
	return fd;
}

void
raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
	{
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}
