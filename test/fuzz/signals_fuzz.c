/*
 * signals_fuzz.c: a name and a text as a member of the qualification data. Free members never fail,
 * every signal is from 0 to 1, and the same member twice is the same as once.
 */
#include "core/signals.h"

#include "fuzz.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const names[] = {"budget",	"authority",		"need",			 "timeline",
										"decision", "budget_mentioned", "decision_maker"};
	struct signals once;
	struct signals twice;
	struct va_error err = {""};
	const char *name;
	char *text;

	if (size < 1)
		return 0;
	name = names[data[0] % (sizeof(names) / sizeof(names[0]))];
	text = fuzz_text(data + 1, size - 1);

	struct bant_value value = {BANT_TEXT, false, 0, text, size - 1};
	double urgency = signals_urgency(text, size - 1);
	bool own = bant_part_find(name, strlen(name)) >= 0;

	must(urgency == -1 || (urgency >= 0 && urgency <= 1));
	signals_init(&once);
	must(signals_member(&once, name, strlen(name), &value, &err) || (own && err.text[0] != '\0'));
	twice = once;
	must(signals_member(&twice, name, strlen(name), &value, &err) || own);
	/* Any text may also be a name. */
	must(signals_member(&twice, text, size - 1, &value, &err) ||
		 bant_part_find(text, size - 1) >= 0);
	for (int i = 0; i < BANT_PARTS; i++)
	{
		must(once.bant.part[i].value >= 0 && once.bant.part[i].value <= 1);
		must(once.bant.part[i].present == (once.source[i] != NULL));
		must(!once.bant.part[i].present || twice.bant.part[i].present);
	}
	free(text);
	return 0;
}
