/*
 * credentials.c: see credentials.h.
 */
#include "gateway/credentials.h"

#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "core/json.h"

static bool
copy_text(char *out, size_t size, struct json_object *text)
{
	if (!json_object_is_type(text, json_type_string))
		return false;

	size_t len = (size_t) json_object_get_string_len(text);

	if (len == 0 || len >= size)
		return false;
	memcpy(out, json_object_get_string(text), len + 1);
	return true;
}

static bool
read_account(struct account *account, struct json_object *from)
{
	struct json_object *tokens = json_member(from, "tokens");

	if (!copy_text(account->sid, sizeof(account->sid), json_member(from, "account_sid")) ||
		!json_object_is_type(tokens, json_type_array))
		return false;
	for (size_t i = 0; i < json_object_array_length(tokens); i++)
	{
		if (account->token_count == CREDENTIALS_TOKENS)
			return false;
		if (!copy_text(account->tokens[account->token_count], CREDENTIALS_TOKEN_SIZE,
					   json_object_array_get_idx(tokens, i)))
			return false;
		account->token_count++;
	}
	return true;
}

static int
by_sid(const void *a, const void *b)
{
	return strcmp(((const struct account *) a)->sid, ((const struct account *) b)->sid);
}

static bool
read_accounts(struct credentials *c, struct json_object *list, struct va_error *err)
{
	if (!json_object_is_type(list, json_type_array))
		return va_fail(err, "the database's configuration has no list of accounts");

	size_t count = json_object_array_length(list);

	if (count > CREDENTIALS_MAX_ACCOUNTS)
		return va_fail(err, "more than %d Twilio accounts", CREDENTIALS_MAX_ACCOUNTS);
	c->accounts = calloc(count > 0 ? count : 1, sizeof(struct account));
	if (c->accounts == NULL)
		return va_fail(err, "out of memory");
	for (size_t i = 0; i < count; i++)
	{
		c->count++;
		if (!read_account(&c->accounts[i], json_object_array_get_idx(list, i)))
			return va_fail(err, "account number %zu of the configuration is malformed", i + 1);
	}
	qsort(c->accounts, c->count, sizeof(struct account), by_sid);
	return true;
}

bool
credentials_load(struct credentials *c, const char *json, size_t len, struct va_error *err)
{
	struct credentials fresh = {0};
	struct json_object *document = json_parse(json, len, err);

	if (document == NULL)
		return false;

	bool good = read_accounts(&fresh, json_member(document, "accounts"), err);

	json_object_put(document);
	if (!good)
	{
		credentials_wipe(&fresh);
		return false;
	}
	credentials_wipe(c);
	*c = fresh;
	return true;
}

void
credentials_wipe(struct credentials *c)
{
	if (c->accounts != NULL)
		OPENSSL_cleanse(c->accounts, c->count * sizeof(struct account));
	free(c->accounts);
	c->accounts = NULL;
	c->count = 0;
}

const struct account *
credentials_find(const struct credentials *c, const char *account_sid)
{
	struct account key = {0};
	size_t len = strlen(account_sid);

	if (len >= sizeof(key.sid) || c->count == 0)
		return NULL;
	memcpy(key.sid, account_sid, len + 1);
	return bsearch(&key, c->accounts, c->count, sizeof(struct account), by_sid);
}

unsigned
credentials_tokens(const struct account *account, const char *list[CREDENTIALS_TOKENS])
{
	for (unsigned i = 0; i < account->token_count; i++)
		list[i] = account->tokens[i];
	return account->token_count;
}
