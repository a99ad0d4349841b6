/*
 * bant_test.c: the score: the product's figures, reading of loose values, and the properties that
 * hold for every input.
 */
#include "core/bant.h"

#include <math.h>

#include "tap.h"

static struct bant_signals
signals_of(const double values[BANT_PARTS])
{
	struct bant_signals signals;

	for (int i = 0; i < BANT_PARTS; i++)
	{
		signals.part[i].present = values[i] >= 0;
		signals.part[i].value = values[i] >= 0 ? values[i] : 0;
	}
	return signals;
}

static struct bant_result
score_of(const double values[BANT_PARTS], const struct bant_criteria *criteria)
{
	struct bant_signals signals = signals_of(values);
	struct bant_criteria standard;
	struct bant_result result;

	bant_criteria_default(&standard);
	bant_score(&signals, criteria != NULL ? criteria : &standard, &result);
	return result;
}

static void
default_figures(void)
{
	static const char *const names[BANT_PARTS] = {
		"budget_mentioned", "decision_maker", "clear_need", "timeline_urgent", "engagement_score"};
	static const double weights[BANT_PARTS] = {0.25, 0.20, 0.25, 0.20, 0.10};
	struct bant_criteria criteria;
	struct va_error err;

	bant_criteria_default(&criteria);
	for (int i = 0; i < BANT_PARTS; i++)
	{
		ok(criteria.weight[i] == weights[i], "the weight of %s is %g", names[i], weights[i]);
		is_str(bant_part_name((enum bant_part) i), names[i], "part %d is %s", i, names[i]);
		is_int(bant_part_find(names[i], strlen(names[i])), i, "%s is found", names[i]);
	}
	ok(criteria.hot == 0.75 && criteria.warm == 0.45, "hot from 0.75, warm from 0.45");
	ok(bant_criteria_check(&criteria, &err), "the default criteria are valid");
	is_int(bant_part_find("clear_need ", 11), -1, "a longer name is none");
	is_int(bant_part_find("clear", 5), -1, "nor is a shorter one");
	is_int(bant_temperature_find("hot", 3), BANT_HOT, "hot is found");
	is_int(bant_temperature_find("", 0), -1, "an empty temperature is not");
}

struct scored
{
	const char *what;
	double values[BANT_PARTS]; /* -1 = missing */
	double score;
	const char *temperature;
};

static const struct scored scored[] = {
	{"nothing known", {-1, -1, -1, -1, -1}, 0, "cold"},
	{"all no", {0, 0, 0, 0, 0}, 0, "cold"},
	{"all yes", {1, 1, 1, 1, 1}, 1, "hot"},
	{"budget only", {1, -1, -1, -1, -1}, 0.25, "cold"},
	{"authority only", {-1, 1, -1, -1, -1}, 0.20, "cold"},
	{"need only", {-1, -1, 1, -1, -1}, 0.25, "cold"},
	{"timeline only", {-1, -1, -1, 1, -1}, 0.20, "cold"},
	{"engagement only", {-1, -1, -1, -1, 1}, 0.10, "cold"},
	{"budget and authority: 0.45 is warm", {1, 1, 0, 0, 0}, 0.45, "warm"},
	{"need and timeline: 0.45 is warm", {0, 0, 1, 1, 0}, 0.45, "warm"},
	{"just below warm", {1, 0.999, 0, 0, 0}, 0.4498, "cold"},
	{"0.75 by 0.7 + 0.05 is hot", {1, 1, 1, 0, 0.5}, 0.75, "hot"},
	{"0.75 by tenths is hot", {0.7, 0.7, 0.9, 0.7, 0.7}, 0.75, "hot"},
	{"0.75 by thirds of weights is hot", {0.75, 0.75, 0.75, 0.75, 0.75}, 0.75, "hot"},
	{"just below hot", {1, 1, 1, 0, 0.499}, 0.7499, "warm"},
};

static void
known_scores(void)
{
	for (size_t i = 0; i < sizeof(scored) / sizeof(scored[0]); i++)
	{
		struct bant_result result = score_of(scored[i].values, NULL);

		ok(result.score == scored[i].score, "%s: %.17g", scored[i].what, result.score);
		is_str(bant_temperature_name(result.temperature), scored[i].temperature, "%s is %s",
			   scored[i].what, scored[i].temperature);
	}
}

/* Every way to reach a threshold exactly with signals in twentieths: in whole numbers there is no
 * doubt about the sum, so the class must be the one that whole numbers give. */
static void
thresholds_by_whole_numbers(void)
{
	static const int weights[BANT_PARTS] = {25, 20, 25, 20, 10};
	int exactly = 0;

	for (int n = 0; n < 60000; n++)
	{
		double values[BANT_PARTS];
		struct bant_result result;
		int sum = 0;

		for (int i = 0; i < BANT_PARTS; i++)
		{
			int twentieths = (int) tap_below(21);

			values[i] = twentieths / 20.0;
			sum += weights[i] * twentieths;
		}
		result = score_of(values, NULL);
		exactly += sum == 1500 || sum == 900;
		check_that(result.temperature == (sum >= 1500  ? BANT_HOT
										  : sum >= 900 ? BANT_WARM
													   : BANT_COLD));
		check_that(result.score == sum / 2000.0);
	}
	checked("60000 sums of decimals are classed as whole numbers would be");
	ok(exactly > 100, "%d of them exactly on a threshold", exactly);
}

static double
random_unit(void)
{
	switch (tap_below(6))
	{
		case 0: return 0;
		case 1: return 1;
		case 2: return (double) tap_below(11) / 10;
		default: return (double) (tap_random() >> 11) / 9007199254740992.0;
	}
}

static void
random_criteria(struct bant_criteria *criteria)
{
	struct va_error err;

	do
	{
		for (int i = 0; i < BANT_PARTS; i++)
			criteria->weight[i] = random_unit() * (tap_below(2) ? 1 : BANT_WEIGHT_MAX);
		criteria->hot = random_unit();
		criteria->warm = random_unit();
	} while (!bant_criteria_check(criteria, &err));
}

static void
score_properties(void)
{
	for (int n = 0; n < 40000; n++)
	{
		struct bant_criteria criteria;
		double values[BANT_PARTS];
		struct bant_result before;
		struct bant_result after;
		size_t raised = tap_below(BANT_PARTS);
		double sum = 0;

		random_criteria(&criteria);
		for (int i = 0; i < BANT_PARTS; i++)
			values[i] = tap_below(4) ? random_unit() : -1;
		before = score_of(values, &criteria);
		for (int i = 0; i < BANT_PARTS; i++)
			sum += before.part[i].contribution;
		check_that(before.score >= 0 && before.score <= 1);
		check_that(fabs(sum - before.score) < 1e-8);
		if (values[raised] < 0)
			values[raised] = random_unit();
		else
			values[raised] = tap_below(2) ? nextafter(values[raised], 1) : 1;
		after = score_of(values, &criteria);
		check_that(after.score >= before.score);
		check_that(after.temperature >= before.temperature);
	}
	checked("the score is within 0..1, the sum of its parts, and never falls with a signal");
}

static void
hostile_signals(void)
{
	static const double hostile[] = {NAN, -NAN, INFINITY, -INFINITY, -1, 2, 1e308, -1e308, 5e-324};

	for (size_t i = 0; i < sizeof(hostile) / sizeof(hostile[0]); i++)
	{
		struct bant_signals signals = {{{true, hostile[i]}, {true, hostile[i]}}};
		struct bant_criteria criteria;
		struct bant_result result;

		bant_criteria_default(&criteria);
		bant_score(&signals, &criteria, &result);
		check_that(result.score == (hostile[i] > 1 ? 0.45 : 0));
		check_that(result.part[0].present == !isnan(hostile[i]));
	}
	checked("values that the reader would not let through are cut, or missing");
}

static void
explained(void)
{
	static const double values[BANT_PARTS] = {0.5, -1, 1, 0, 0.3};
	struct bant_criteria criteria = {{2, 1, 1, 0.5, 0.5}, 0.7, 0.3};
	struct bant_result r = score_of(values, &criteria);

	ok(r.part[BANT_BUDGET].weight == 0.4 && r.part[BANT_NEED].weight == 0.2,
	   "weights are shown after division by their sum");
	ok(r.part[BANT_BUDGET].contribution == 0.2 && r.part[BANT_NEED].contribution == 0.2 &&
		   r.part[BANT_ENGAGEMENT].contribution == 0.03,
	   "each part shows its contribution");
	ok(!r.part[BANT_AUTHORITY].present && r.part[BANT_AUTHORITY].contribution == 0,
	   "a missing part contributes nothing");
	ok(r.part[BANT_TIMELINE].present && r.part[BANT_TIMELINE].contribution == 0,
	   "so does a no, but it is present");
	ok(r.score == 0.43, "the score is 0.43");
	is_int(r.temperature, BANT_WARM, "and warm by the tenant's thresholds");
}

struct loose
{
	const char *what;
	struct bant_value value;
	bool good;
	bool present;
	double number;
	const char *error;
};

#define TEXT(text)                                                                                 \
	{                                                                                              \
		BANT_TEXT, false, 0, text, sizeof(text) - 1                                                \
	}
#define NUMBER(number)                                                                             \
	{                                                                                              \
		BANT_NUMBER, false, number, NULL, 0                                                        \
	}
#define NO_NUMBER "clear_need must be between 0 and 1: the string is no such number"

static const struct loose loose[] = {
	{"null", {BANT_NULL, false, 0, NULL, 0}, true, false, 0, NULL},
	{"true", {BANT_BOOLEAN, true, 0, NULL, 0}, true, true, 1, NULL},
	{"false", {BANT_BOOLEAN, false, 0, NULL, 0}, true, true, 0, NULL},
	{"0", NUMBER(0), true, true, 0, NULL},
	{"0.3", NUMBER(0.3), true, true, 0.3, NULL},
	{"1", NUMBER(1), true, true, 1, NULL},
	{"80", NUMBER(80), false, false, 0, "clear_need must be between 0 and 1, not 80"},
	{"-0.1", NUMBER(-0.1), false, false, 0, "clear_need must be between 0 and 1, not -0.1"},
	{"NaN", NUMBER(NAN), false, false, 0, "clear_need must be between 0 and 1, not NaN"},
	{"inf", NUMBER(INFINITY), false, false, 0, "clear_need must be between 0 and 1, not inf"},
	{"array",
	 {BANT_ARRAY, false, 0, NULL, 0},
	 false,
	 false,
	 0,
	 "clear_need must be a number from 0 to 1, true, false or null, not an array"},
	{"object",
	 {BANT_OBJECT, false, 0, NULL, 0},
	 false,
	 false,
	 0,
	 "clear_need must be a number from 0 to 1, true, false or null, not an object"},
	{"empty text", TEXT(""), true, false, 0, NULL},
	{"text of spaces", TEXT(" \t\n"), true, false, 0, NULL},
	{"text 0.8", TEXT("0.8"), true, true, 0.8, NULL},
	{"text  .5 ", TEXT(" .5 "), true, true, 0.5, NULL},
	{"text 1.", TEXT("1."), true, true, 1, NULL},
	{"text +0.25", TEXT("+0.25"), true, true, 0.25, NULL},
	{"text -0", TEXT("-0"), true, true, 0, NULL},
	{"text 1e-1", TEXT("1e-1"), true, true, 0.1, NULL},
	{"text 0.001E+2", TEXT("0.001E+2"), true, true, 0.1, NULL},
	{"text 75e-2", TEXT("75e-2"), true, true, 0.75, NULL},
	{"text 1e-999999", TEXT("1e-999999"), true, true, 0, NULL},
	{"text 0e99", TEXT("0e99"), true, true, 0, NULL},
	{"text with thirty digits", TEXT("0.123456789012345678901234567890"), true, true,
	 0.12345678901234568, NULL},
	{"text 000000000000000000000000.5", TEXT("000000000000000000000000.5"), true, true, 0.5, NULL},
	{"text 100000000000000000000e-20", TEXT("100000000000000000000e-20"), true, true, 1, NULL},
	{"text 1e-25", TEXT("1e-25"), true, true, 1e-25, NULL},
	{"text TRUE", TEXT("TRUE"), true, true, 1, NULL},
	{"text Yes", TEXT(" Yes "), true, true, 1, NULL},
	{"text no", TEXT("no"), true, true, 0, NULL},
	{"text false", TEXT("false"), true, true, 0, NULL},
	{"text 1.5", TEXT("1.5"), false, false, 0, NO_NUMBER},
	{"text -0.5", TEXT("-0.5"), false, false, 0, NO_NUMBER},
	{"text 1e1", TEXT("1e1"), false, false, 0, NO_NUMBER},
	{"text 1e999999999999", TEXT("1e999999999999"), false, false, 0, NO_NUMBER},
	{"text of 30 ones", TEXT("111111111111111111111111111111"), false, false, 0, NO_NUMBER},
	{"text 80%", TEXT("80%"), false, false, 0, NO_NUMBER},
	{"text NaN", TEXT("NaN"), false, false, 0, NO_NUMBER},
	{"text Infinity", TEXT("Infinity"), false, false, 0, NO_NUMBER},
	{"text soon", TEXT("soon"), false, false, 0, NO_NUMBER},
	{"text 0x1", TEXT("0x1"), false, false, 0, NO_NUMBER},
	{"text 0,5", TEXT("0,5"), false, false, 0, NO_NUMBER},
	{"text 0.5 0.5", TEXT("0.5 0.5"), false, false, 0, NO_NUMBER},
	{"text 0..5", TEXT("0..5"), false, false, 0, NO_NUMBER},
	{"text .", TEXT("."), false, false, 0, NO_NUMBER},
	{"text -", TEXT("-"), false, false, 0, NO_NUMBER},
	{"text e5", TEXT("e5"), false, false, 0, NO_NUMBER},
	{"text 1e", TEXT("1e"), false, false, 0, NO_NUMBER},
	{"text 1e-", TEXT("1e-"), false, false, 0, NO_NUMBER},
	{"text with a NUL", TEXT("1\0"), false, false, 0, NO_NUMBER},
	{"text of 65 digits", TEXT("0.000000000000000000000000000000000000000000000000000000000000000"),
	 false, false, 0, NO_NUMBER},
};

static void
loose_values(void)
{
	for (size_t i = 0; i < sizeof(loose) / sizeof(loose[0]); i++)
	{
		const struct loose *l = &loose[i];
		struct bant_value value = l->value;
		struct bant_signal signal = {true, 7};
		struct va_error err = {""};
		char *exact = value.kind == BANT_TEXT ? tap_exact(value.text, value.len) : NULL;
		bool good;

		value.text = exact;
		good = bant_signal_read(BANT_NEED, &value, &signal, &err);
		free(exact);
		ok(good == l->good && signal.present == l->present && signal.value == l->number &&
			   !signbit(signal.value),
		   "signal %s: %s %.17g", l->what, good ? "taken" : "refused", signal.value);
		if (l->error != NULL)
			is_str(err.text, l->error, "refusing %s says why", l->what);
	}
}

static bool
set(struct bant_criteria *criteria, const char *name, double number, struct va_error *err)
{
	struct bant_value value = {BANT_NUMBER, false, number, NULL, 0};

	return bant_criteria_set(criteria, name, strlen(name), &value, err);
}

static void
criteria_are_checked(void)
{
	struct bant_value word = {BANT_TEXT, false, 0, "0.5", 3};
	struct bant_value null = {BANT_NULL, false, 0, NULL, 0};
	struct bant_criteria c;
	struct bant_criteria zero = {{0, 0, 0, 0, 0}, 0.75, 0.45};
	struct va_error err;

	bant_criteria_default(&c);
	ok(set(&c, "clear_need", 3, &err) && c.weight[BANT_NEED] == 3, "a weight is set");
	ok(set(&c, "hot_lead_threshold", 0.8, &err) && c.hot == 0.8, "hot is set by its long name");
	ok(set(&c, "warm", 0.5, &err) && c.warm == 0.5, "warm by its short one");
	ok(set(&c, "cold", 0, &err), "cold may be 0");
	ok(!set(&c, "cold", 0.1, &err), "and nothing else");
	is_str(err.text, "the threshold \"cold\" is always 0", "and says so");
	ok(!set(&c, "budget", 1, &err), "an unknown name is refused");
	is_str(err.text, "unknown criterion \"budget\"", "and named");
	ok(!set(&c, "clear_need", -1, &err), "a negative weight is refused");
	is_str(err.text, "the weight of clear_need must be between 0 and 1000, not -1", "and named");
	ok(!set(&c, "clear_need", NAN, &err) && !set(&c, "clear_need", INFINITY, &err),
	   "weights are finite");
	ok(!set(&c, "hot", 1.01, &err) && !set(&c, "hot", NAN, &err), "thresholds are 0..1");
	is_str(err.text, "the threshold \"hot\" must be between 0 and 1, not nan", "and named");
	ok(!bant_criteria_set(&c, "warm", 4, &word, &err), "a number in a text is refused here");
	is_str(err.text, "warm must be a number, not a string", "and the member named");
	ok(bant_criteria_set(&c, "warm", 4, &null, &err) && c.warm == 0.5, "null changes nothing");
	ok(c.weight[BANT_NEED] == 3 && c.hot == 0.8, "what was refused changed nothing either");
	ok(bant_criteria_check(&c, &err), "the whole is valid");
	c.warm = 0.8;
	ok(!bant_criteria_check(&c, &err), "hot must be above warm");
	is_str(err.text, "the threshold \"hot\" (0.8) must be above \"warm\" (0.8)", "and says so");
	ok(!bant_criteria_check(&zero, &err), "weights of nothing are refused");
	is_str(err.text, "the weights must add up to at least 0.001, not 0", "and says so");
	zero.weight[0] = NAN;
	ok(!bant_criteria_check(&zero, &err), "the check does not trust the setter");
	zero.weight[0] = 1;
	zero.warm = -1;
	ok(!bant_criteria_check(&zero, &err), "nor for thresholds");
}

static void
engagement_figures(void)
{
	struct bant_activity none = {0, 0, 0, 0, 0, NAN};
	struct bant_activity caller = {3, 600, 20, 0, 0, 0};
	struct bant_activity writer = {0, 0, 0, 5, 3, 7};
	struct bant_activity once = {1, 150, 5, 0, 0, 2};
	struct bant_activity both = {1, 150, 5, 5, 0, 2};
	struct bant_activity old = {3, 600, 20, 5, 3, 37};
	struct bant_activity odd = {-5, -1, INT64_MIN, INT64_MAX, 0, -3};

	ok(bant_engagement(&none) == 0, "no contact is no engagement");
	ok(bant_engagement(&caller) == 1, "a caller alone can reach 1");
	ok(bant_engagement(&writer) == 1, "so can a writer");
	ok(bant_engagement(&once) == 0.270833333, "one short call: %.9f", bant_engagement(&once));
	ok(bant_engagement(&both) == 0.635416667, "and messages: %.9f", bant_engagement(&both));
	ok(bant_engagement(&old) == 0.5, "half after 37 days");
	ok(bant_engagement(&odd) == 0.5, "negative counts are none, great ones are full");
	old.days_since_contact = INFINITY;
	ok(bant_engagement(&old) == 0, "nothing is left after for ever");
	old.days_since_contact = NAN;
	ok(bant_engagement(&old) == 0, "nor where there was no contact");
}

static int64_t *
count_of(struct bant_activity *a, size_t i)
{
	int64_t *counts[] = {&a->calls, &a->seconds, &a->turns, &a->messages, &a->replies};

	return counts[i];
}

static void
engagement_properties(void)
{
	for (int n = 0; n < 40000; n++)
	{
		struct bant_activity a;
		double before;
		double after;

		for (size_t i = 0; i < 5; i++)
			*count_of(&a, i) = (int64_t) tap_below(i == 1 ? 900 : 12) - 1;
		a.days_since_contact = (double) tap_below(200) / 4;
		before = bant_engagement(&a);
		check_that(before >= 0 && before <= 1);
		*count_of(&a, tap_below(5)) += 1 + (int64_t) tap_below(3);
		after = bant_engagement(&a);
		check_that(after >= before);
		a.days_since_contact += random_unit();
		check_that(bant_engagement(&a) <= after);
	}
	checked("engagement is within 0..1, never falls with a count, never rises with the days");
}

int
main(void)
{
	plan(0);
	default_figures();
	known_scores();
	thresholds_by_whole_numbers();
	score_properties();
	hostile_signals();
	explained();
	loose_values();
	criteria_are_checked();
	engagement_figures();
	engagement_properties();
	return done();
}
