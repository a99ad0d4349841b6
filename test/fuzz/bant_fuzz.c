/*
 * bant_fuzz.c: texts as signals. Whatever is taken must be a number from 0 to 1, the same when the
 * text is put between spaces, and the one that strtod reads where strtod reads one too.
 */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/bant.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
must(bool condition)
{
	if (!condition)
		abort();
}

static bool
read_signal(const char *text, size_t len, struct bant_signal *signal)
{
	struct bant_value value = {BANT_TEXT, false, 0, text, len};
	struct va_error err = {""};
	bool good = bant_signal_read(BANT_BUDGET, &value, signal, &err);

	must(good || (strncmp(err.text, "budget_mentioned ", 17) == 0 && !signal->present));
	must(good || strlen(err.text) < VA_ERROR_SIZE);
	return good;
}

/* strtod also knows hexadecimal, infinity and NaN: these are not ours. */
static void
compare_with_strtod(const char *text, double value)
{
	char *end;
	double other;

	if (strpbrk(text, "0123456789") == NULL)
		return;
	other = strtod(text, &end);
	must(end[strspn(end, " \t\n\v\f\r")] == '\0' && fabs(other - value) <= 1e-15);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char copy[202];
	struct bant_signal signal;
	struct bant_signal spaced;
	struct bant_criteria criteria;
	struct bant_value one = {BANT_NUMBER, false, 1, NULL, 0};
	struct va_error err;
	bool good;

	if (size > 200)
		return 0;
	copy[0] = ' ';
	memcpy(copy + 1, data, size);
	copy[size + 1] = '\0';
	good = read_signal((const char *) data, size, &signal);
	must(read_signal(copy, size + 1, &spaced) == good && spaced.present == signal.present &&
		 spaced.value == signal.value);
	must(signal.value >= 0 && signal.value <= 1);
	if (good && signal.present && strlen(copy) == size + 1)
		compare_with_strtod(copy, signal.value);
	bant_criteria_default(&criteria);
	if (!bant_criteria_set(&criteria, (const char *) data, size, &one, &err))
		must(err.text[0] != '\0');
	return 0;
}
