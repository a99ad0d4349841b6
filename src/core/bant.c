/*
 * bant.c: the lead's score.
 *
 * Two tables say it all: the parts with their default weights, and the words that mean yes and no.
 * The order of the additions is fixed and every step (product, sum, quotient, rounding) is
 * monotone in IEEE arithmetic, which is why the score is too, exactly and not only nearly.
 */
#include "core/bant.h"

#include <math.h>
#include <string.h>

#define DEFAULT_HOT 0.75
#define DEFAULT_WARM 0.45
#define NUMBER_LENGTH_MAX 64 /* no honest signal is written longer */

static const struct
{
	const char *name;
	double weight;
} parts[BANT_PARTS] = {
	[BANT_BUDGET] = {"budget_mentioned", 0.25},
	[BANT_AUTHORITY] = {"decision_maker", 0.20},
	[BANT_NEED] = {"clear_need", 0.25},
	[BANT_TIMELINE] = {"timeline_urgent", 0.20},
	[BANT_ENGAGEMENT] = {"engagement_score", 0.10},
};

static const char *const temperatures[BANT_TEMPERATURES] = {
	[BANT_COLD] = "cold",
	[BANT_WARM] = "warm",
	[BANT_HOT] = "hot",
};

static const char *const kinds[] = {
	[BANT_NULL] = "null",	  [BANT_BOOLEAN] = "a boolean", [BANT_NUMBER] = "a number",
	[BANT_TEXT] = "a string", [BANT_ARRAY] = "an array",	[BANT_OBJECT] = "an object",
};

static double
round9(double value)
{
	return round(value * 1e9) / 1e9;
}

static bool
same_text(const char *name, const char *text, size_t len)
{
	return strlen(name) == len && memcmp(name, text, len) == 0;
}

const char *
bant_part_name(enum bant_part part)
{
	return parts[part].name;
}

const char *
bant_temperature_name(enum bant_temperature temperature)
{
	return temperatures[temperature];
}

int
bant_part_find(const char *name, size_t len)
{
	for (int i = 0; i < BANT_PARTS; i++)
	{
		if (same_text(parts[i].name, name, len))
			return i;
	}
	return -1;
}

int
bant_temperature_find(const char *name, size_t len)
{
	for (int i = 0; i < BANT_TEMPERATURES; i++)
	{
		if (same_text(temperatures[i], name, len))
			return i;
	}
	return -1;
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

/* mantissa / 10^places. Powers of ten up to 1e22 are exact, so one division rounds once. */
static double
scale_down(uint64_t mantissa, int places)
{
	double value = (double) mantissa;
	double power = 1;

	if (places > 60) /* less than 1e-42: rounds to nothing */
		return 0;
	for (; places > 22; places--)
		value /= 10;
	for (; places > 0; places--)
		power *= 10;
	return value / power;
}

/* The digits of a number, with `places` of them after the point; excess digits are dropped. */
struct decimal
{
	uint64_t mantissa;
	int places;
	int digits; /* how many stood in the text */
};

static const char *
read_digits(const char *at, const char *end, bool fraction, struct decimal *d)
{
	for (; at < end && is_digit(*at); at++)
	{
		d->digits++;
		if (d->mantissa < UINT64_C(100000000000000000))
		{
			d->mantissa = d->mantissa * 10 + (uint64_t) (*at - '0');
			d->places += fraction;
		}
		else
			d->places -= !fraction;
	}
	return at;
}

/* The optional exponent; at is moved behind it. False when an 'e' has no digits. */
static bool
read_exponent(const char **at, const char *end, int *exponent)
{
	const char *p = *at;
	bool negative = false;
	int value = 0;

	*exponent = 0;
	if (p == end || (*p != 'e' && *p != 'E'))
		return true;
	p++;
	if (p < end && (*p == '+' || *p == '-'))
		negative = *p++ == '-';
	if (p == end || !is_digit(*p))
		return false;
	for (; p < end && is_digit(*p); p++)
	{
		if (value < 1000)
			value = value * 10 + (*p - '0');
	}
	*exponent = negative ? -value : value;
	*at = p;
	return true;
}

/* A decimal number, independent of the locale (strtod is not). False when it is none; a value above
 * 1 may be returned as any number above 1. */
static bool
read_number(const char *text, size_t len, double *number)
{
	const char *at = text;
	const char *end = text + len;
	struct decimal d = {0};
	bool negative = false;
	int exponent;

	if (len > NUMBER_LENGTH_MAX)
		return false;
	if (at < end && (*at == '+' || *at == '-'))
		negative = *at++ == '-';
	at = read_digits(at, end, false, &d);
	if (at < end && *at == '.')
		at = read_digits(at + 1, end, true, &d);
	if (d.digits == 0 || !read_exponent(&at, end, &exponent) || at != end)
		return false;
	d.places -= exponent;
	if (d.mantissa == 0)
		*number = 0;
	else if (d.places < 0)
		*number = 10;
	else
		*number = scale_down(d.mantissa, d.places);
	if (negative)
		*number = -*number;
	return true;
}

static bool
same_word(const char *word, const char *text, size_t len)
{
	if (strlen(word) != len)
		return false;
	for (size_t i = 0; i < len; i++)
	{
		char c = text[i];

		if (c >= 'A' && c <= 'Z')
			c = (char) (c - 'A' + 'a');
		if (c != word[i])
			return false;
	}
	return true;
}

static bool
is_space(char c)
{
	return c == ' ' || (c >= '\t' && c <= '\r');
}

static bool
set_number(enum bant_part part, double number, struct bant_signal *signal, struct va_error *err)
{
	if (isnan(number))
		return va_fail(err, "%s must be between 0 and 1, not NaN", parts[part].name);
	if (number < 0 || number > 1)
		return va_fail(err, "%s must be between 0 and 1, not %g", parts[part].name, number);
	signal->present = true;
	signal->value = number + 0.0; /* -0 becomes 0 */
	return true;
}

static bool
read_text(enum bant_part part, const char *text, size_t len, struct bant_signal *signal,
		  struct va_error *err)
{
	double number;

	while (len > 0 && is_space(text[len - 1]))
		len--;
	while (len > 0 && is_space(*text))
	{
		text++;
		len--;
	}
	if (len == 0)
		return true;
	if (same_word("true", text, len) || same_word("yes", text, len))
		return set_number(part, 1, signal, err);
	if (same_word("false", text, len) || same_word("no", text, len))
		return set_number(part, 0, signal, err);
	if (!read_number(text, len, &number) || number < 0 || number > 1)
		return va_fail(err, "%s must be between 0 and 1: the string is no such number",
					   parts[part].name);
	return set_number(part, number, signal, err);
}

bool
bant_signal_read(enum bant_part part, const struct bant_value *value, struct bant_signal *signal,
				 struct va_error *err)
{
	signal->present = false;
	signal->value = 0;
	switch (value->kind)
	{
		case BANT_NULL: return true;
		case BANT_BOOLEAN: return set_number(part, value->boolean ? 1 : 0, signal, err);
		case BANT_NUMBER: return set_number(part, value->number, signal, err);
		case BANT_TEXT: return read_text(part, value->text, value->len, signal, err);
		case BANT_ARRAY:
		case BANT_OBJECT: break;
	}
	return va_fail(err, "%s must be a number from 0 to 1, true, false or null, not %s",
				   parts[part].name, kinds[value->kind]);
}

void
bant_criteria_default(struct bant_criteria *criteria)
{
	for (int i = 0; i < BANT_PARTS; i++)
		criteria->weight[i] = parts[i].weight;
	criteria->hot = DEFAULT_HOT;
	criteria->warm = DEFAULT_WARM;
}

static bool
check_weight(enum bant_part part, double weight, struct va_error *err)
{
	if (isnan(weight) || weight < 0 || weight > BANT_WEIGHT_MAX)
		return va_fail(err, "the weight of %s must be between 0 and %g, not %g", parts[part].name,
					   BANT_WEIGHT_MAX, weight);
	return true;
}

static bool
check_threshold(const char *name, double threshold, double highest, struct va_error *err)
{
	if (highest == 0 && threshold != 0)
		return va_fail(err, "the threshold \"%s\" is always 0", name);
	if (isnan(threshold) || threshold < 0 || threshold > highest)
		return va_fail(err, "the threshold \"%s\" must be between 0 and %g, not %g", name, highest,
					   threshold);
	return true;
}

/* Where the threshold of that name is kept, its short name in *shown and its upper bound; NULL for
 * an unknown name. The cold threshold is no choice: it is 0 and lands in *nowhere. */
static double *
find_threshold(struct bant_criteria *criteria, const char *name, size_t len, double *nowhere,
			   const char **shown, double *highest)
{
	*highest = 1;
	*shown = "hot";
	if (same_text("hot", name, len) || same_text("hot_lead_threshold", name, len))
		return &criteria->hot;
	*shown = "warm";
	if (same_text("warm", name, len) || same_text("warm_lead_threshold", name, len))
		return &criteria->warm;
	*shown = "cold";
	*highest = 0;
	return same_text("cold", name, len) ? nowhere : NULL;
}

bool
bant_criteria_set(struct bant_criteria *criteria, const char *name, size_t len,
				  const struct bant_value *value, struct va_error *err)
{
	int part = bant_part_find(name, len);
	int shown_len = len > 40 ? 40 : (int) len;
	const char *shown;
	double nowhere;
	double highest;
	double *threshold = find_threshold(criteria, name, len, &nowhere, &shown, &highest);

	if (part < 0 && threshold == NULL)
		return va_fail(err, "unknown criterion \"%.*s\"", shown_len, name);
	if (value->kind == BANT_NULL)
		return true;
	if (value->kind != BANT_NUMBER)
		return va_fail(err, "%.*s must be a number, not %s", shown_len, name, kinds[value->kind]);
	if (part >= 0)
	{
		if (!check_weight((enum bant_part) part, value->number, err))
			return false;
		criteria->weight[part] = value->number;
		return true;
	}
	if (!check_threshold(shown, value->number, highest, err))
		return false;
	*threshold = value->number;
	return true;
}

bool
bant_criteria_check(const struct bant_criteria *criteria, struct va_error *err)
{
	double sum = 0;

	for (int i = 0; i < BANT_PARTS; i++)
	{
		if (!check_weight((enum bant_part) i, criteria->weight[i], err))
			return false;
		sum += criteria->weight[i];
	}
	if (sum < BANT_WEIGHT_SUM_MIN)
		return va_fail(err, "the weights must add up to at least %g, not %g", BANT_WEIGHT_SUM_MIN,
					   sum);
	if (!check_threshold("hot", criteria->hot, 1, err) ||
		!check_threshold("warm", criteria->warm, 1, err))
		return false;
	if (round9(criteria->hot) <= round9(criteria->warm))
		return va_fail(err, "the threshold \"hot\" (%g) must be above \"warm\" (%g)", criteria->hot,
					   criteria->warm);
	return true;
}

static enum bant_temperature
classify(double score, const struct bant_criteria *criteria)
{
	if (score >= round9(criteria->hot))
		return BANT_HOT;
	if (score >= round9(criteria->warm))
		return BANT_WARM;
	return BANT_COLD;
}

void
bant_score(const struct bant_signals *signals, const struct bant_criteria *criteria,
		   struct bant_result *result)
{
	double weights = 0;
	double sum = 0;

	for (int i = 0; i < BANT_PARTS; i++)
		weights += criteria->weight[i];
	for (int i = 0; i < BANT_PARTS; i++)
	{
		const struct bant_signal *signal = &signals->part[i];
		bool present = signal->present && !isnan(signal->value);
		double value = present ? fmin(fmax(signal->value, 0), 1) : 0;

		sum += value * criteria->weight[i];
		result->part[i].present = present;
		result->part[i].value = value;
		result->part[i].weight = round9(criteria->weight[i] / weights);
		result->part[i].contribution = round9(value * criteria->weight[i] / weights);
	}
	result->score = fmin(round9(sum / weights), 1);
	result->temperature = classify(result->score, criteria);
}

static double
upto(int64_t count, int64_t full)
{
	if (count <= 0)
		return 0;
	return count >= full ? 1 : (double) count / (double) full;
}

double
bant_engagement(const struct bant_activity *a)
{
	double voice =
		0.25 * upto(a->calls, 3) + 0.40 * upto(a->seconds, 600) + 0.35 * upto(a->turns, 20);
	double text = 0.50 * upto(a->messages, 5) + 0.50 * upto(a->replies, 3);
	double further = fmax(a->days_since_contact - 7, 0);

	if (isnan(a->days_since_contact))
		return 0;
	return fmin(fmax(round9((1 - (1 - voice) * (1 - text)) * (30 / (30 + further))), 0), 1);
}
