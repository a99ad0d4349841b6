/*
 * provider_faults.c: see provider_faults.h.
 */
#include "sandbox/provider_faults.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sandbox/json_text.h"

struct provider_faults
{
	struct provider_fault *first, **last;
	struct provider_fault *cleared; /* still answers that wait may look at them */
	unsigned seed;
};

struct provider_faults *
provider_faults_new(void)
{
	struct provider_faults *faults = calloc(1, sizeof(*faults));

	if (faults == NULL)
		abort();
	faults->last = &faults->first;
	faults->seed = 1;
	return faults;
}

static void
free_list(struct provider_fault *fault)
{
	while (fault != NULL)
	{
		struct provider_fault *next = fault->next;

		json_object_put(fault->spec);
		free(fault);
		fault = next;
	}
}

void
provider_faults_free(struct provider_faults *faults)
{
	if (faults == NULL)
		return;
	free_list(faults->first);
	free_list(faults->cleared);
	free(faults);
}

void
provider_faults_clear(struct provider_faults *faults)
{
	*faults->last = faults->cleared;
	faults->cleared = faults->first;
	faults->first = NULL;
	faults->last = &faults->first;
}

static unsigned
number(struct json_object *spec, const char *name, unsigned absent)
{
	struct json_object *value;

	if (!json_object_object_get_ex(spec, name, &value) ||
		!json_object_is_type(value, json_type_int) || json_object_get_int(value) < 0)
		return absent;
	return (unsigned) json_object_get_int(value);
}

static const char *
known_member(const char *name)
{
	static const char *const names[] = {"prefix", "path",		  "method",	  "skip",
										"times",  "percent",	  "status",	  "retry_after",
										"body",	  "content_type", "when",	  "slow_ms",
										"cut",	  "garbage",	  "redirect", "flags"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strcmp(names[i], name) == 0)
			return names[i];
	}
	return NULL;
}

static bool
read_cut(const char *text, enum fault_cut *cut)
{
	static const char *const names[] = {
		[CUT_NONE] = "", [CUT_BEFORE] = "before", [CUT_AFTER] = "after", [CUT_BODY] = "body"};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
	{
		if (strcmp(names[i], text) == 0)
		{
			*cut = (enum fault_cut) i;
			return true;
		}
	}
	return false;
}

bool
provider_faults_add(struct provider_faults *faults, struct json_object *spec, char *error,
					size_t size)
{
	struct provider_fault *fault;
	enum fault_cut cut;

	json_object_object_foreach(spec, name, value)
	{
		(void) value;
		if (known_member(name) == NULL)
		{
			snprintf(error, size, "a fault has no \"%s\"", name);
			return false;
		}
	}
	if (!read_cut(json_text_member(spec, "cut"), &cut))
	{
		snprintf(error, size, "\"cut\" is before, after or body");
		return false;
	}
	fault = calloc(1, sizeof(*fault));
	if (fault == NULL)
		abort();
	fault->spec = json_object_get(spec);
	fault->prefix = json_text_member(spec, "prefix");
	fault->path = json_text_member(spec, "path");
	fault->method = json_text_member(spec, "method");
	fault->body = json_text_member(spec, "body");
	fault->content_type = json_text_member(spec, "content_type");
	fault->redirect = json_text_member(spec, "redirect");
	fault->flags = json_text_child(spec, "flags", json_type_array);
	fault->skip = number(spec, "skip", 0);
	fault->times = number(spec, "times", 0);
	fault->percent = number(spec, "percent", 100);
	fault->status = number(spec, "status", 0);
	fault->slow_ms = number(spec, "slow_ms", 0);
	fault->retry_after = (int) number(spec, "retry_after", (unsigned) -1);
	fault->after = strcmp(json_text_member(spec, "when"), "after") == 0;
	fault->cut = cut;
	fault->garbage = json_object_get_boolean(json_object_object_get(spec, "garbage"));
	*faults->last = fault;
	faults->last = &fault->next;
	return true;
}

static bool
concerns(const struct provider_fault *fault, const char *prefix, const char *method,
		 const char *path)
{
	return !fault->spent && (fault->prefix[0] == '\0' || strcmp(fault->prefix, prefix) == 0) &&
		   (fault->method[0] == '\0' || strcmp(fault->method, method) == 0) &&
		   strstr(path, fault->path) != NULL;
}

const struct provider_fault *
provider_faults_strike(struct provider_faults *faults, const char *prefix, const char *method,
					   const char *path)
{
	for (struct provider_fault *fault = faults->first; fault != NULL; fault = fault->next)
	{
		if (!concerns(fault, prefix, method, path))
			continue;
		if (fault->skip > 0)
		{
			fault->skip--;
			continue;
		}
		if (fault->percent < 100 && (unsigned) rand_r(&faults->seed) % 100 >= fault->percent)
			continue;
		if (fault->times > 0 && --fault->times == 0)
			fault->spent = true;
		return fault;
	}
	return NULL;
}
