/*
 * signals_test.c: free qualification data as signals: the words, which member wins, and that order
 * makes no difference.
 */
#include "core/signals.h"

#include <math.h>

#include "tap.h"

struct member
{
	const char *name;
	struct bant_value value;
};

static struct bant_value
text(const char *words)
{
	return (struct bant_value){BANT_TEXT, false, 0, words, strlen(words)};
}

static struct bant_value
number(double value)
{
	return (struct bant_value){BANT_NUMBER, false, value, NULL, 0};
}

static struct bant_value
of_kind(enum bant_kind kind, bool value)
{
	return (struct bant_value){kind, value, 0, NULL, 0};
}

/* The one signal that a member gives; -1 for none, -2 for an error. */
static double
alone(enum bant_part part, const char *name, struct bant_value value)
{
	struct signals signals;

	signals_init(&signals);
	if (!signals_member(&signals, name, strlen(name), &value, NULL))
		return -2;
	for (int i = 0; i < BANT_PARTS; i++)
	{
		if (i != (int) part && signals.bant.part[i].present)
			return -3;
	}
	return signals.bant.part[part].present ? signals.bant.part[part].value : -1;
}

static void
urgency_words(void)
{
	static const struct
	{
		const char *words;
		double value;
	} cases[] = {
		{"within two months", 0.7},
		{"Within 2 months", 0.7},
		{"in 3 days", 1},
		{"within a week", 1},
		{"7 days", 1},
		{"8 days", 0.9},
		{"a couple of weeks", 0.9},
		{"31 days", 0.9},
		{"32 days", 0.7},
		{"2-3 months", 0.7},
		{"3 months", 0.7},
		{"in a few months", 0.5},
		{"six months", 0.5},
		{"twelve months", 0.3},
		{"a year", 0.3},
		{"in two years", 0.1},
		{"99999999999999999999 years", 0.1},
		{"within 10 business days", 0.9},
		{"in a week, at the latest in three months", 0.7},
		{"As soon as possible!", 1},
		{"ASAP", 1},
		{"right now", 1},
		{"tomorrow", 1},
		{"this week", 1},
		{"next week", 0.9},
		{"next month", 0.9},
		{"this quarter", 0.7},
		{"by the end of the year", 0.5},
		{"next year", 0.2},
		{"not urgent", 0.1},
		{"no rush, within a week would be nice", 0.1},
		{"just looking", 0.1},
		{"not sure", 0},
		{"unknown", 0},
		{"I don't know", 0},
		{"when the children are out of school", 0.3},
		{"you know", 0.3},
		{"\xc3\xbc"
		 "bermorgen",
		 0.3},
		{"", -1},
		{" \t -- ", -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		double value = signals_urgency(cases[i].words, strlen(cases[i].words));

		ok(value == cases[i].value, "\"%s\" is %g urgent (%g)", cases[i].words, cases[i].value,
		   value);
	}
}

static void
other_words(void)
{
	static const struct
	{
		enum bant_part part;
		const char *name;
		const char *words;
		double value;
	} cases[] = {
		{BANT_BUDGET, "budget", "450,000", 1},
		{BANT_BUDGET, "budget", "500k", 1},
		{BANT_BUDGET, "budget", "four hundred thousand", 1},
		{BANT_BUDGET, "budget_range", "flexible", 0.5},
		{BANT_BUDGET, "budget", "not sure", 0},
		{BANT_BUDGET, "budget", "0", 0},
		{BANT_BUDGET, "budget", " ", -1},
		{BANT_AUTHORITY, "authority", "I decide", 1},
		{BANT_AUTHORITY, "authority", "alone", 1},
		{BANT_AUTHORITY, "decides", "together with my husband", 0.5},
		{BANT_AUTHORITY, "authority", "not alone", 0.5},
		{BANT_AUTHORITY, "authority", "no", 0},
		{BANT_AUTHORITY, "authority", "somebody else in the firm", 0},
		{BANT_AUTHORITY, "authority", "purchasing", 0.5},
		{BANT_NEED, "need", "a house", 1},
		{BANT_NEED, "looking_for", "none", 0},
		{BANT_NEED, "need", "", -1},
		{BANT_TIMELINE, "timeline", "asap", 1},
		{BANT_TIMELINE, "when", "", -1},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		double value = alone(cases[i].part, cases[i].name, text(cases[i].words));

		ok(value == cases[i].value, "%s: \"%s\" is %g (%g)", cases[i].name, cases[i].words,
		   cases[i].value, value);
	}
}

static void
other_kinds(void)
{
	ok(alone(BANT_BUDGET, "budget", number(450000)) == 1, "a budget is a budget");
	ok(alone(BANT_BUDGET, "budget", number(0)) == 0, "none is none");
	ok(alone(BANT_BUDGET, "budget", number(-5)) == 0, "nor is less than none");
	ok(alone(BANT_BUDGET, "budget", number(NAN)) == 0, "nor what is no number");
	ok(alone(BANT_BUDGET, "price_range", of_kind(BANT_OBJECT, false)) == 1, "a range is a budget");
	ok(alone(BANT_NEED, "requirements", of_kind(BANT_ARRAY, false)) == 1, "a list is a need");
	ok(alone(BANT_TIMELINE, "timeline", of_kind(BANT_ARRAY, false)) == -1, "but no time");
	ok(alone(BANT_TIMELINE, "urgency", number(0.4)) == 0.4, "a number up to 1 is itself");
	ok(alone(BANT_TIMELINE, "timeline", number(3)) == -1, "another says nothing");
	ok(alone(BANT_AUTHORITY, "authority", of_kind(BANT_BOOLEAN, true)) == 1, "true");
	ok(alone(BANT_AUTHORITY, "authority", of_kind(BANT_BOOLEAN, false)) == 0, "false");
	ok(alone(BANT_NEED, "need", of_kind(BANT_NULL, false)) == -1, "null");
	ok(alone(BANT_NEED, "bedrooms", number(3)) == -1, "other members are not looked at");
	ok(alone(BANT_AUTHORITY, "decision_maker", of_kind(BANT_BOOLEAN, true)) == 1,
	   "bant's own name");
	ok(alone(BANT_AUTHORITY, "decision_maker", text("my wife")) == -2, "is strict");
}

static void
who_wins(void)
{
	struct signals s;
	struct va_error err = {""};
	struct bant_value half = number(0.5);
	struct bant_value much = number(9e5);
	struct bant_value wrong = number(80);
	struct bant_value nothing = of_kind(BANT_NULL, false);

	signals_init(&s);
	for (int i = 0; i < BANT_PARTS; i++)
		check_that(!s.bant.part[i].present && s.source[i] == NULL);
	signals_member(&s, "budget", 6, &much, &err);
	is_str(s.source[BANT_BUDGET], "budget", "the source is the member");
	signals_member(&s, "budget_mentioned", 16, &nothing, &err);
	is_str(s.source[BANT_BUDGET], "budget", "bant's own name with null says nothing");
	signals_member(&s, "budget_mentioned", 16, &half, &err);
	ok(s.bant.part[BANT_BUDGET].value == 0.5, "bant's own name wins");
	signals_member(&s, "budget", 6, &much, &err);
	ok(s.bant.part[BANT_BUDGET].value == 0.5, "also when it comes first");
	is_str(s.source[BANT_BUDGET], "budget_mentioned", "and is the source");
	ok(!signals_member(&s, "clear_need", 10, &wrong, &err), "a wrong value of it is refused");
	is_str(err.text, "clear_need must be between 0 and 1, not 80", "by name");
	signals_engagement(&s, NAN);
	ok(!s.bant.part[BANT_ENGAGEMENT].present, "no engagement is none");
	signals_engagement(&s, 0.25);
	ok(s.bant.part[BANT_ENGAGEMENT].value == 0.25, "engagement from outside");
	is_str(s.source[BANT_ENGAGEMENT], "calls and messages", "has its source");
	signals_member(&s, "engagement_score", 16, &half, &err);
	signals_engagement(&s, 0.25);
	ok(s.bant.part[BANT_ENGAGEMENT].value == 0.5, "the data's own wins");
	checked("nothing is there at first");
}

static const struct member pool[] = {
	{"budget", {BANT_TEXT, false, 0, "flexible", 8}},
	{"budget_range", {BANT_NUMBER, false, 5, NULL, 0}},
	{"max_budget", {BANT_NUMBER, false, 7, NULL, 0}},
	{"budget_mentioned", {BANT_NUMBER, false, 0.25, NULL, 0}},
	{"timeline", {BANT_TEXT, false, 0, "in 2 months", 11}},
	{"deadline", {BANT_TEXT, false, 0, "asap", 4}},
	{"need", {BANT_TEXT, false, 0, "no", 2}},
	{"goal", {BANT_TEXT, false, 0, "more room", 9}},
	{"authority", {BANT_BOOLEAN, true, 0, NULL, 0}},
	{"decision_maker", {BANT_BOOLEAN, false, 0, NULL, 0}},
	{"nonsense", {BANT_NUMBER, false, 80, NULL, 0}},
};

#define POOL (sizeof(pool) / sizeof(pool[0]))

static void
any_order(void)
{
	for (int round = 0; round < 2000; round++)
	{
		size_t order[POOL];
		size_t count = 1 + tap_below(POOL);
		struct signals a;
		struct signals b;

		for (size_t i = 0; i < POOL; i++)
			order[i] = i;
		for (size_t i = POOL - 1; i > 0; i--)
		{
			size_t j = tap_below(i + 1);
			size_t kept = order[i];

			order[i] = order[j];
			order[j] = kept;
		}
		signals_init(&a);
		signals_init(&b);
		for (size_t i = 0; i < count; i++)
		{
			const struct member *m = &pool[order[i]];
			const struct member *n = &pool[order[count - 1 - i]];

			check_that(signals_member(&a, m->name, strlen(m->name), &m->value, NULL));
			check_that(signals_member(&b, n->name, strlen(n->name), &n->value, NULL));
		}
		for (int i = 0; i < BANT_PARTS; i++)
		{
			check_that(a.bant.part[i].present == b.bant.part[i].present);
			check_that(a.bant.part[i].value == b.bant.part[i].value);
			check_that(a.source[i] == b.source[i]);
		}
	}
	checked("the order of members makes no difference");
}

int
main(void)
{
	plan(0);
	urgency_words();
	other_words();
	other_kinds();
	who_wins();
	any_order();
	return done();
}
