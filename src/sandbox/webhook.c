/*
 * webhook.c: form encoding, signing and URL rules of Twilio's requests.
 */
#include "sandbox/webhook.h"

#include <ctype.h>
#include <openssl/hmac.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/codec.h"

void
webhook_add(struct webhook_form *form, const char *name, const char *value)
{
	struct webhook_parameter *p = &form->items[form->count];

	if (form->count == WEBHOOK_MAX_PARAMETERS)
		abort();
	p->name = strdup(name);
	p->value = strdup(value);
	if (!p->name || !p->value)
		abort();
	form->count++;
}

void
webhook_add_number(struct webhook_form *form, const char *name, long long value)
{
	char text[24];

	snprintf(text, sizeof(text), "%lld", value);
	webhook_add(form, name, text);
}

void
webhook_form_free(struct webhook_form *form)
{
	for (size_t i = 0; i < form->count; i++)
	{
		free(form->items[i].name);
		free(form->items[i].value);
	}
	form->count = 0;
}

static size_t
put_encoded(char *out, const char *text)
{
	size_t at = 0;

	for (; *text; text++)
	{
		unsigned char c = (unsigned char) *text;

		if (isalnum(c) || c == '-' || c == '_' || c == '.' || c == '~')
			out[at++] = (char) c;
		else if (c == ' ')
			out[at++] = '+';
		else
			at += (size_t) snprintf(out + at, 4, "%%%02X", c);
	}
	return at;
}

char *
webhook_encode(const struct webhook_form *form)
{
	size_t room = 1, at = 0;
	char *out;

	for (size_t i = 0; i < form->count; i++)
		room += 3 * (strlen(form->items[i].name) + strlen(form->items[i].value)) + 2;
	out = malloc(room + 4);
	if (!out)
		abort();
	for (size_t i = 0; i < form->count; i++)
	{
		if (i > 0)
			out[at++] = '&';
		at += put_encoded(out + at, form->items[i].name);
		out[at++] = '=';
		at += put_encoded(out + at, form->items[i].value);
	}
	out[at] = '\0';
	return out;
}

/* One name or value, to be freed; NULL when it is malformed. */
static char *
decode(const char *text, size_t len)
{
	char *out = malloc(len + 1);
	size_t at = 0;

	if (!out)
		abort();
	for (size_t i = 0; i < len; i++)
	{
		char hex[3] = {0};

		if (text[i] != '%')
		{
			out[at++] = text[i] == '+' ? ' ' : text[i];
			continue;
		}
		if (i + 2 >= len || !isxdigit((unsigned char) text[i + 1]) ||
			!isxdigit((unsigned char) text[i + 2]) || strncmp(text + i, "%00", 3) == 0)
		{
			free(out);
			return NULL;
		}
		memcpy(hex, text + i + 1, 2);
		out[at++] = (char) strtoul(hex, NULL, 16);
		i += 2;
	}
	out[at] = '\0';
	return out;
}

bool
webhook_decode(const char *text, size_t len, struct webhook_form *out)
{
	const char *end = text + len;

	memset(out, 0, sizeof(*out));
	while (text < end)
	{
		size_t field = (size_t) (end - text);
		const char *amp = memchr(text, '&', field);
		const char *equals;
		struct webhook_parameter *p = &out->items[out->count];

		field = amp ? (size_t) (amp - text) : field;
		equals = memchr(text, '=', field);
		if (out->count == WEBHOOK_MAX_PARAMETERS)
			break;
		p->name = decode(text, equals ? (size_t) (equals - text) : field);
		p->value =
			equals ? decode(equals + 1, (size_t) (text + field - equals - 1)) : decode("", 0);
		out->count++;
		if (!p->name || !p->value)
			break;
		text += field + 1;
	}
	if (text < end)
		webhook_form_free(out);
	return text >= end;
}

const char *
webhook_value(const struct webhook_form *form, const char *name)
{
	for (size_t i = 0; i < form->count; i++)
		if (strcmp(form->items[i].name, name) == 0)
			return form->items[i].value;
	return "";
}

static int
by_name_and_value(const void *a, const void *b)
{
	const struct webhook_parameter *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : strcmp(x->value, y->value);
}

void
webhook_sign(const char *token, const char *url, const struct webhook_form *form,
			 char signature[WEBHOOK_SIGNATURE_SIZE])
{
	struct webhook_parameter sorted[WEBHOOK_MAX_PARAMETERS];
	size_t count = form ? form->count : 0;
	unsigned char digest[EVP_MAX_MD_SIZE];
	unsigned digest_len = 0;
	char *text = NULL;
	size_t size = 0;
	FILE *f = open_memstream(&text, &size);

	if (!f)
		abort();
	fputs(url, f);
	if (count)
		memcpy(sorted, form->items, count * sizeof(sorted[0]));
	qsort(sorted, count, sizeof(sorted[0]), by_name_and_value);
	for (size_t i = 0; i < count; i++)
	{
		bool again = i > 0 && strcmp(sorted[i].name, sorted[i - 1].name) == 0;

		/* A repeated name is signed with each of its different values. */
		if (again && strcmp(sorted[i].value, sorted[i - 1].value) == 0)
			continue;
		fputs(sorted[i].name, f);
		fputs(sorted[i].value, f);
	}
	fclose(f);
	HMAC(EVP_sha1(), token, (int) strlen(token), (const unsigned char *) text, size, digest,
		 &digest_len);
	codec_base64_encode(signature, WEBHOOK_SIGNATURE_SIZE, digest, digest_len);
	free(text);
}

static bool
take_policy(const char *list, size_t len, struct webhook_overrides *o)
{
	o->on_connect = o->on_read = o->on_4xx = o->on_5xx = false;
	for (size_t at = 0; at < len;)
	{
		size_t word = 0;
		const char *w = list + at;

		while (at + word < len && w[word] != ',')
			word++;
		if (word == 2 && memcmp(w, "ct", 2) == 0)
			o->on_connect = true;
		else if (word == 2 && memcmp(w, "rt", 2) == 0)
			o->on_read = true;
		else if (word == 3 && memcmp(w, "4xx", 3) == 0)
			o->on_4xx = true;
		else if (word == 3 && memcmp(w, "5xx", 3) == 0)
			o->on_5xx = true;
		else if (word == 3 && memcmp(w, "all", 3) == 0)
			o->on_connect = o->on_read = o->on_4xx = o->on_5xx = true;
		else
			return false;
		at += word + 1;
	}
	return true;
}

static bool
take_number(const char *text, size_t len, unsigned least, unsigned most, unsigned *out)
{
	unsigned v = 0;

	if (len == 0 || len > 6)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		if (!isdigit((unsigned char) text[i]))
			return false;
		v = v * 10 + (unsigned) (text[i] - '0');
	}
	*out = v;
	return v >= least && v <= most;
}

bool
webhook_split_fragment(char *url, struct webhook_overrides *out)
{
	const struct webhook_overrides defaults = {5000, 15000, 15000, 1, true, false, false, false};
	char *at = strchr(url, '#');

	*out = defaults;
	if (!at)
		return true;
	*at++ = '\0';
	while (*at)
	{
		size_t len = strcspn(at, "&");
		const char *v = at + 3;
		bool ok = false;

		if (len >= 3 && strncmp(at, "ct=", 3) == 0)
			ok = take_number(v, len - 3, 100, 10000, &out->connect_ms);
		else if (len >= 3 && strncmp(at, "rt=", 3) == 0)
			ok = take_number(v, len - 3, 100, 15000, &out->read_ms);
		else if (len >= 3 && strncmp(at, "tt=", 3) == 0)
			ok = take_number(v, len - 3, 100, 15000, &out->total_ms);
		else if (len >= 3 && strncmp(at, "rc=", 3) == 0)
			ok = take_number(v, len - 3, 0, 5, &out->retries);
		else if (len >= 3 && strncmp(at, "rp=", 3) == 0)
			ok = take_policy(v, len - 3, out);
		else if (strncmp(at, "sni=", 4) == 0 || strncmp(at, "e=", 2) == 0)
			ok = true;
		if (!ok)
			return false;
		at += len + (at[len] == '&');
	}
	return true;
}

bool
webhook_resolve(const char *base, const char *url, char *out, size_t size)
{
	const char *host = strstr(base, "://");
	size_t origin, path;
	int n;

	if (strstr(url, "://"))
		n = snprintf(out, size, "%s", url);
	else if (!host)
		return false;
	else
	{
		origin = (size_t) (host - base) + 3 + strcspn(host + 3, "/?#");
		path = origin + strcspn(base + origin, "?#");
		while (path > origin && base[path - 1] != '/')
			path--;
		if (url[0] == '/' || path == origin)
			n = snprintf(out, size, "%.*s%s%s", (int) origin, base, url[0] == '/' ? "" : "/", url);
		else
			n = snprintf(out, size, "%.*s%s", (int) path, base, url);
	}
	return n >= 0 && (size_t) n < size;
}
