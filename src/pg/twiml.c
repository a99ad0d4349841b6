/*
 * twiml.c: va_twiml(jsonb), which turns an array of verbs into a TwiML document.
 *
 * A verb is {"verb": "Say", "attributes": {"language": "en-US"}, "text": "...", "children": [...]};
 * only "verb" is required. The database decides on calls in SQL, where text glued together would
 * sooner or later be XML that a caller's name has broken; here core/twiml escapes everything.
 */
#include "postgres.h"

#include "fmgr.h"
#include "miscadmin.h"
#include "utils/builtins.h"
#include "utils/jsonb.h"
#include "utils/numeric.h"

#include "core/twiml.h"
#include "pg/errcodes.h"

PG_FUNCTION_INFO_V1(va_twiml);

static void write_verbs(struct twiml *t, JsonbContainer *verbs);

static __attribute__((noreturn)) void
refuse(const char *what)
{
	ereport(ERROR, (errcode(ERRCODE_VA_TWIML), errmsg("invalid TwiML: %s", what)));
	pg_unreachable();
}

/* A scalar as text; NULL for null. */
static char *
scalar_text(const JsonbValue *value)
{
	switch (value->type)
	{
		case jbvNull: return NULL;
		case jbvString: return pnstrdup(value->val.string.val, value->val.string.len);
		case jbvBool: return pstrdup(value->val.boolean ? "true" : "false");
		case jbvNumeric: return numeric_normalize(value->val.numeric);
		default: refuse("text and attributes are strings, numbers or booleans");
	}
}

static JsonbValue *
member(JsonbContainer *object, const char *key)
{
	return getKeyJsonValueFromContainer(object, key, strlen(key), NULL);
}

/* The container of a member that must be an array or an object; NULL when absent or null. */
static JsonbContainer *
container_member(JsonbContainer *object, const char *key, bool is_array)
{
	JsonbValue *value = member(object, key);

	if (value == NULL || value->type == jbvNull)
		return NULL;
	if (value->type != jbvBinary || (is_array ? !JsonContainerIsArray(value->val.binary.data)
											  : !JsonContainerIsObject(value->val.binary.data)))
		refuse(is_array ? "\"children\" must be an array" : "\"attributes\" must be an object");
	return value->val.binary.data;
}

static void
write_attributes(struct twiml *t, JsonbContainer *attributes)
{
	JsonbIterator *it = JsonbIteratorInit(attributes);
	JsonbIteratorToken token;
	JsonbValue value;
	char *name = NULL;

	while ((token = JsonbIteratorNext(&it, &value, true)) != WJB_DONE)
	{
		char *text;

		if (token == WJB_KEY)
			name = pnstrdup(value.val.string.val, value.val.string.len);
		else if (token == WJB_VALUE && (text = scalar_text(&value)) != NULL)
			twiml_attribute(t, name, text);
	}
}

static void
write_verb(struct twiml *t, JsonbContainer *verb)
{
	JsonbValue *name = member(verb, "verb");
	JsonbValue *text = member(verb, "text");
	JsonbContainer *attributes = container_member(verb, "attributes", false);
	JsonbContainer *children = container_member(verb, "children", true);
	char *content;

	if (name == NULL || name->type != jbvString)
		refuse("every element needs a \"verb\"");
	/* The writer keeps the pointer until the element is closed: the copy lives in this call's memory. */
	twiml_open(t, scalar_text(name));
	if (attributes != NULL)
		write_attributes(t, attributes);
	if (text != NULL && (content = scalar_text(text)) != NULL)
		twiml_text(t, content);
	if (children != NULL)
		write_verbs(t, children);
	twiml_close(t);
}

static void
write_verbs(struct twiml *t, JsonbContainer *verbs)
{
	uint32 count = JsonContainerSize(verbs);
	uint32 i;

	check_stack_depth();
	for (i = 0; i < count; i++)
	{
		JsonbValue *value = getIthJsonbValueFromContainer(verbs, i);

		if (value->type != jbvBinary || !JsonContainerIsObject(value->val.binary.data))
			refuse("every verb must be an object");
		write_verb(t, value->val.binary.data);
	}
}

Datum
va_twiml(PG_FUNCTION_ARGS)
{
	Jsonb *verbs = PG_GETARG_JSONB_P(0);
	struct buf out;
	struct twiml t;

	if (!JB_ROOT_IS_ARRAY(verbs) || JB_ROOT_IS_SCALAR(verbs))
		refuse("the argument must be an array of verbs");
	buf_init(&out, palloc(TWIML_MAX_BYTES + 1), TWIML_MAX_BYTES + 1);
	twiml_begin(&t, &out);
	write_verbs(&t, &verbs->root);
	if (!twiml_end(&t))
		refuse(t.error.text);
	PG_RETURN_TEXT_P(cstring_to_text_with_len(out.data, out.len));
}
