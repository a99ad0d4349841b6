/* engine_event: releasing twice, or nothing, is harmless; references of others survive. */
#include "core/engine_event.h"

#include "tap.h"

int
main(void)
{
	struct engine_event event = {0};
	struct json_object *arguments;

	plan(4);
	engine_event_release(&event);
	ok(event.document == NULL, "a zeroed event is released");

	event.document = json_object_new_object();
	json_object_object_add(event.document, "arguments", json_object_new_object());
	json_object_object_get_ex(event.document, "arguments", &event.arguments);
	arguments = json_object_get(event.arguments);
	engine_event_release(&event);
	ok(event.document == NULL && event.arguments == NULL, "its pointers are gone");
	engine_event_release(&event);
	ok(true, "released twice");
	is_int(json_object_put(arguments), 1, "the last reference to the arguments was ours");
	return done();
}
