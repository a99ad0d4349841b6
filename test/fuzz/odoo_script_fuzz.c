/* odoo_script: any script over any answers ends, each step once, and its result prints. The input is
 * a JSON array: the request, then the answers, used over and over. */
#include "core/odoo_script.h"

#include "core/json.h"
#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct json_object *input = json_parse((const char *) data, size, NULL);
	struct odoo_script *s;
	struct odoo_call call;
	struct va_error err = {""};
	size_t calls = 0;
	size_t count;

	if (!json_object_is_type(input, json_type_array) || json_object_array_length(input) == 0)
	{
		json_object_put(input);
		return 0;
	}
	count = json_object_array_length(input);
	s = odoo_script_new(json_object_array_get_idx(input, 0), &err);
	while (s != NULL && odoo_script_next(s, &call) == ODOO_NEXT_CALL)
	{
		struct odoo_answer answer = {0};
		struct odoo_request out;

		must(++calls <= ODOO_SCRIPT_MAX_STEPS && call.model != NULL && call.method != NULL);
		for (int t = 0; t < ODOO_TRANSPORTS; t++)
			if (odoo_request_print(
					t,
					&(struct odoo_login){
						.url = "http://x", .rest_path = "/a", .rest_header = "K", .secret = "s"},
					&call, &out, &err))
				odoo_request_free(&out);
		if (count > 1)
			answer.value =
				json_object_get(json_object_array_get_idx(input, 1 + calls % (count - 1)));
		if (json_object_is_type(answer.value, json_type_boolean))
		{
			odoo_answer_clear(&answer);
			answer.fault = ODOO_VALIDATION;
		}
		odoo_script_writes(s);
		odoo_script_answer(s, &answer);
		odoo_answer_clear(&answer);
	}
	if (s != NULL)
	{
		struct json_object *result = odoo_script_result(s);
		struct odoo_failure failure;

		must(json_object_to_json_string(result) != NULL);
		json_object_put(result);
		odoo_script_failure(s, &failure);
		must(failure.code != NULL && failure.text != NULL && failure.hint != NULL);
	}
	odoo_script_free(s);
	json_object_put(input);
	return 0;
}
