/*
 * twilio_signature.c: X-Twilio-Signature, HMAC-SHA1 over the URL and the form.
 *
 * What is signed does not depend on us but on how Twilio wrote down the URL it called: with the
 * port or without, with a slash at the end or without. So a few spellings are tried, those that
 * Twilio's own libraries and documentation name. All are spellings of one URL, ours: trying them
 * lets no other URL in.
 */
#include "core/twilio_signature.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "core/buf.h"

#define SHA1_BYTES 20
#define SHA256_BYTES 32

/* A URL in pieces; each points into it. */
struct url
{
	const char *scheme; /* with "://" */
	size_t scheme_len;
	const char *host; /* without user and password */
	size_t host_len;
	const char *port; /* with ":" ; empty when there is none */
	size_t port_len;
	const char *rest; /* path and query, without fragment */
	size_t rest_len;
	const char *standard_port; /* ":443", ":80", "" for an unknown scheme */
	bool is_websocket;
};

/* Two pieces of text in byte order, as memcmp and length. */
static int
compare_text(const char *a, size_t a_len, const char *b, size_t b_len)
{
	int order = memcmp(a, b, a_len < b_len ? a_len : b_len);

	if (order != 0)
		return order;
	return a_len < b_len ? -1 : a_len > b_len;
}

/* By name, then by value: qsort's comparison of pointers to fields. */
static int
compare_fields(const void *left, const void *right)
{
	const struct form_field *a = *(const struct form_field *const *) left;
	const struct form_field *b = *(const struct form_field *const *) right;
	int order = compare_text(a->name, a->name_len, b->name, b->name_len);

	return order != 0 ? order : compare_text(a->value, a->value_len, b->value, b->value_len);
}

/* Adds names and values in signing order; equal pairs count once. */
static void
add_form(struct buf *out, const struct form *form)
{
	const struct form_field *sorted[FORM_MAX_FIELDS];

	for (size_t i = 0; i < form->count; i++)
		sorted[i] = &form->fields[i];
	if (form->count > 1)
		qsort(sorted, form->count, sizeof(sorted[0]), compare_fields);
	for (size_t i = 0; i < form->count; i++)
	{
		if (i > 0 && compare_fields(&sorted[i - 1], &sorted[i]) == 0)
			continue;
		buf_add(out, sorted[i]->name, sorted[i]->name_len);
		buf_add(out, sorted[i]->value, sorted[i]->value_len);
	}
}

static size_t
form_bytes(const struct form *form)
{
	size_t bytes = 0;

	if (form != NULL)
		for (size_t i = 0; i < form->count; i++)
			bytes += form->fields[i].name_len + form->fields[i].value_len;
	return bytes;
}

/* The signature of a text. An empty token is no key: with it anybody could sign. */
static bool
sign_text(const char *token, const char *text, size_t len, char out[TWILIO_SIGNATURE_SIZE])
{
	unsigned char mac[EVP_MAX_MD_SIZE];
	unsigned mac_len = 0;

	if (token == NULL || token[0] == '\0')
		return false;
	if (HMAC(EVP_sha1(), token, (int) strlen(token), (const unsigned char *) text, len, mac,
			 &mac_len) == NULL ||
		mac_len != SHA1_BYTES)
		return false;
	out[base64_encode(mac, mac_len, out)] = '\0';
	return true;
}

/* The last c in text, or NULL. */
static const char *
find_last(const char *text, char c, size_t len)
{
	while (len > 0)
		if (text[--len] == c)
			return text + len;
	return NULL;
}

/* Finds the pieces of an absolute URL; false when it is none. */
static bool
split_url(const char *text, struct url *url)
{
	const char *colon = strstr(text, "://");

	memset(url, 0, sizeof(*url));
	if (colon == NULL || colon == text)
		return false;
	url->scheme = text;
	url->scheme_len = (size_t) (colon + 3 - text);

	const char *host = colon + 3;
	size_t authority_len = strcspn(host, "/?#");
	const char *end = host + authority_len;
	const char *at = find_last(host, '@', authority_len);

	if (at != NULL)
		host = at + 1;
	url->rest = end;
	url->rest_len = strcspn(end, "#");

	/* The port's colon is the last one, and behind the bracket of an IPv6 address. */
	const char *port = find_last(host, ':', (size_t) (end - host));

	if (port != NULL && memchr(port, ']', (size_t) (end - port)) != NULL)
		port = NULL;
	url->host = host;
	url->host_len = (size_t) ((port != NULL ? port : end) - host);
	url->port = port != NULL ? port : end;
	url->port_len = port != NULL ? (size_t) (end - port) : 0;

	url->is_websocket = strncmp(text, "ws://", 5) == 0 || strncmp(text, "wss://", 6) == 0;
	if (strncmp(text, "https://", 8) == 0 || strncmp(text, "wss://", 6) == 0)
		url->standard_port = ":443";
	else if (strncmp(text, "http://", 7) == 0 || strncmp(text, "ws://", 5) == 0)
		url->standard_port = ":80";
	else
		url->standard_port = "";
	return url->host_len > 0;
}

/* Enough for any spelling of the URL and the form behind it. */
static size_t
text_size(const char *url, const struct form *form)
{
	return strlen(url) + sizeof(":443/") + form_bytes(form) + 1;
}

/* Writes one spelling with the form behind it. */
static void
spell(struct buf *out, const struct url *url, const char *port, size_t port_len, bool slash,
	  const struct form *form)
{
	out->len = 0;
	buf_add(out, url->scheme, url->scheme_len);
	buf_add(out, url->host, url->host_len);
	buf_add(out, port, port_len);
	buf_add(out, url->rest, url->rest_len);
	if (slash)
		buf_char(out, '/');
	if (form != NULL)
		add_form(out, form);
}

/* Is signature that of the text under any of the tokens? */
static bool
matches(const char *const *tokens, size_t token_count, const struct buf *text,
		const char *signature)
{
	char wanted[TWILIO_SIGNATURE_SIZE];

	if (text->overflow)
		return false;
	for (size_t i = 0; i < token_count; i++)
		if (sign_text(tokens[i], text->data, text->len, wanted) &&
			CRYPTO_memcmp(wanted, signature, TWILIO_SIGNATURE_SIZE - 1) == 0)
			return true;
	return false;
}

bool
twilio_sign(const char *token, const char *url, const struct form *form,
			char out[TWILIO_SIGNATURE_SIZE])
{
	size_t size = text_size(url, form);
	char *memory = malloc(size);
	struct buf text;
	bool signed_well = false;

	if (memory == NULL)
		return false;
	buf_init(&text, memory, size);
	buf_str(&text, url);
	if (form != NULL)
		add_form(&text, form);
	if (!text.overflow)
		signed_well = sign_text(token, text.data, text.len, out);
	free(memory);
	return signed_well;
}

/* All spellings, each with and without the slash where that is allowed. */
static bool
verify_spellings(const char *const *tokens, size_t token_count, const struct url *url,
				 const struct form *form, struct buf *text, const char *signature)
{
	const char *ports[] = {url->port, "", url->standard_port};
	size_t lengths[] = {url->port_len, 0, strlen(url->standard_port)};
	bool may_add_slash = url->is_websocket && memchr(url->rest, '?', url->rest_len) == NULL;

	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++)
	{
		if (i == 1 && url->port_len == 0)
			continue; /* the same as the first */
		for (int slash = 0; slash <= (may_add_slash ? 1 : 0); slash++)
		{
			spell(text, url, ports[i], lengths[i], slash == 1, form);
			if (matches(tokens, token_count, text, signature))
				return true;
		}
	}
	return false;
}

bool
twilio_verify(const char *const *tokens, size_t token_count, const char *url,
			  const struct form *form, const char *signature)
{
	struct url pieces;
	struct buf text;
	bool found;

	if (signature == NULL || strlen(signature) != TWILIO_SIGNATURE_SIZE - 1 ||
		!split_url(url, &pieces))
		return false;

	size_t size = text_size(url, form);
	char *memory = malloc(size);

	if (memory == NULL)
		return false;
	buf_init(&text, memory, size);
	found = verify_spellings(tokens, token_count, &pieces, form, &text, signature);
	free(memory);
	return found;
}

/* The value of the first query parameter bodySHA256, when it has the right length. */
static const char *
body_hash(const char *url)
{
	static const char name[] = "bodySHA256=";
	const char *at = strchr(url, '?');

	while (at != NULL && *at != '#')
	{
		at++;
		if (strncmp(at, name, sizeof(name) - 1) == 0)
		{
			at += sizeof(name) - 1;
			return strcspn(at, "&#") == SHA256_BYTES * 2 ? at : NULL;
		}
		at = strpbrk(at, "&#");
	}
	return NULL;
}

bool
twilio_verify_json(const char *const *tokens, size_t token_count, const char *url, const char *body,
				   size_t body_len, const char *signature)
{
	static const char digits[] = "0123456789abcdef";
	const char *claimed = body_hash(url);
	unsigned char hash[EVP_MAX_MD_SIZE];
	unsigned hash_len = 0;
	char hex[SHA256_BYTES * 2];

	if (claimed == NULL || EVP_Digest(body, body_len, hash, &hash_len, EVP_sha256(), NULL) != 1 ||
		hash_len != SHA256_BYTES)
		return false;
	for (size_t i = 0; i < SHA256_BYTES; i++)
	{
		hex[i * 2] = digits[hash[i] >> 4];
		hex[i * 2 + 1] = digits[hash[i] & 15];
	}
	return CRYPTO_memcmp(hex, claimed, sizeof(hex)) == 0 &&
		   twilio_verify(tokens, token_count, url, NULL, signature);
}
