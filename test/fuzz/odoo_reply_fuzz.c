/* odoo_reply: whatever comes back is read over each transport; what is read as a value prints, and
 * what XML-RPC prints it reads again as the same. */
#include "core/odoo.h"

#include "core/json.h"
#include "core/odoo_private.h"
#include "core/utf8.h"
#include "fuzz.h"

/* A value through our own writer, dressed as an answer, and back. */
static void
round_trip(struct json_object *value)
{
	static const char head[] = "<?xml version=\"1.0\"?><methodCall><methodName>m</methodName>";
	static const char tail[] = "</methodCall>";
	struct json_object *params = json_object_new_array();
	struct json_object *again = NULL;
	struct va_error err = {""};
	size_t len;
	char *call;
	char *reply;

	json_object_array_add(params, json_object_get(value));
	call = odoo_xml_print("m", params, &len, &err);
	json_object_put(params);
	if (call == NULL)
	{
		must(err.text[0] != '\0');
		return;
	}
	reply = malloc(len + 64);
	must(reply != NULL && len > sizeof(head) + sizeof(tail));
	len = (size_t) snprintf(reply, len + 64, "<methodResponse>%.*s</methodResponse>",
							(int) (len - (sizeof(head) - 1) - (sizeof(tail) - 1)),
							call + sizeof(head) - 1);
	must(odoo_xml_read(reply, len, &again, &err) == ODOO_XML_VALUE);
	must(json_object_equal(value, again) == 1);
	json_object_put(again);
	free(reply);
	free(call);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const int statuses[] = {200, 404, 500, 422};
	struct odoo_answer answer;

	if (size < 1)
		return 0;
	odoo_reply_read(data[0] % ODOO_TRANSPORTS, statuses[data[0] / ODOO_TRANSPORTS % 4],
					(const char *) data + 1, size - 1, &answer);
	must(answer.fault < ODOO_FAULTS);
	must(answer.fault == ODOO_OK || answer.value == NULL);
	must(strlen(answer.text) < sizeof(answer.text) && utf8_valid(answer.text, strlen(answer.text)));
	must(strchr(answer.text, '\n') == NULL);
	if (answer.value != NULL && data[0] % ODOO_TRANSPORTS == ODOO_XMLRPC)
		round_trip(answer.value);
	odoo_answer_clear(&answer);
	return 0;
}
