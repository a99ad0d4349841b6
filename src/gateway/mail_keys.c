/*
 * mail_keys.c: see mail_keys.h.
 */
#include "gateway/mail_keys.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"

static int
by_tenant(const void *a, const void *b)
{
	return strcmp(((const struct mail_key *) a)->tenant, ((const struct mail_key *) b)->tenant);
}

static bool
copy(char *out, size_t size, struct json_object *from, const char *name)
{
	const char *text = json_text(from, name, "");

	snprintf(out, size, "%s", text);
	return strlen(text) < size;
}

static bool
read_keys(struct mail_keys *k, struct json_object *list, struct va_error *err)
{
	size_t count = json_object_is_type(list, json_type_array) ? json_object_array_length(list) : 0;

	k->keys = calloc(count > 0 ? count : 1, sizeof(struct mail_key));
	if (k->keys == NULL)
		return va_fail(err, "out of memory");
	for (; k->count < count; k->count++)
	{
		struct json_object *from = json_object_array_get_idx(list, k->count);
		struct mail_key *key = &k->keys[k->count];

		if (!copy(key->tenant, sizeof(key->tenant), from, "tenant") ||
			!copy(key->event_key, sizeof(key->event_key), from, "event_key") ||
			!copy(key->inbound_key, sizeof(key->inbound_key), from, "inbound_key") ||
			!copy(key->inbound_token, sizeof(key->inbound_token), from, "inbound_token"))
			return va_fail(err, "key number %zu is too long", k->count + 1);
	}
	qsort(k->keys, k->count, sizeof(struct mail_key), by_tenant);
	return true;
}

bool
mail_keys_load(struct mail_keys *k, const char *json, size_t len, struct va_error *err)
{
	struct mail_keys fresh = {0};
	struct json_object *document = json_parse(json, len, err);
	bool good = document != NULL && read_keys(&fresh, json_member(document, "email"), err);

	json_object_put(document);
	if (!good)
	{
		mail_keys_wipe(&fresh);
		return false;
	}
	mail_keys_wipe(k);
	*k = fresh;
	return true;
}

void
mail_keys_wipe(struct mail_keys *k)
{
	if (k->keys != NULL)
		OPENSSL_cleanse(k->keys, k->count * sizeof(struct mail_key));
	free(k->keys);
	k->keys = NULL;
	k->count = 0;
}

const struct mail_key *
mail_keys_find(const struct mail_keys *k, const char *tenant)
{
	struct mail_key wanted = {0};

	if (strlen(tenant) >= sizeof(wanted.tenant) || k->count == 0)
		return NULL;
	memcpy(wanted.tenant, tenant, strlen(tenant) + 1);
	return bsearch(&wanted, k->keys, k->count, sizeof(struct mail_key), by_tenant);
}
