/*
 * signals.c: free qualification data as signals.
 *
 * Texts are first reduced to lower-case words with one space around each, so that looking for a
 * phrase is looking for a substring and "now" is not found in "know".
 */
#include "core/signals.h"

#include <math.h>
#include <string.h>

#define WORDS_SIZE (SIGNALS_TEXT_MAX + 3)

static const struct
{
	const char *name;
	enum bant_part part;
} members[] = {
	{"budget", BANT_BUDGET},
	{"budget_range", BANT_BUDGET},
	{"max_budget", BANT_BUDGET},
	{"min_budget", BANT_BUDGET},
	{"price_range", BANT_BUDGET},
	{"authority", BANT_AUTHORITY},
	{"decides", BANT_AUTHORITY},
	{"decision", BANT_AUTHORITY},
	{"is_decision_maker", BANT_AUTHORITY},
	{"need", BANT_NEED},
	{"needs", BANT_NEED},
	{"requirements", BANT_NEED},
	{"interest", BANT_NEED},
	{"goal", BANT_NEED},
	{"problem", BANT_NEED},
	{"pain_point", BANT_NEED},
	{"looking_for", BANT_NEED},
	{"timeline", BANT_TIMELINE},
	{"timeframe", BANT_TIMELINE},
	{"deadline", BANT_TIMELINE},
	{"urgency", BANT_TIMELINE},
	{"when", BANT_TIMELINE},
	{"move_in", BANT_TIMELINE},
};

struct phrase
{
	const char *words; /* with a space before and after */
	double value;
};

/* Nothing was told, though something was said. The whole text must be one of these. */
static const char *const nothing[] = {
	" no ",		  " none ", " nothing ",   " unknown ",		" not known ",	   " not sure ",
	" unsure ",	  " n a ",	" na ",		   " not given ",	" not mentioned ", " don t know ",
	" not told ", " null ", " undecided ", " false ",		" i don t know ",  " no idea ",
	" tbd ",	  " 0 ",	" not yet ",   " not decided ", " not specified ",
};

static const struct phrase denials[] = {
	{" no rush ", 0.1},		   {" no hurry ", 0.1},		 {" not urgent ", 0.1},
	{" not in a hurry ", 0.1}, {" not in a rush ", 0.1}, {" not now ", 0.1},
	{" not soon ", 0.1},	   {" someday ", 0.1},		 {" some day ", 0.1},
	{" eventually ", 0.1},	   {" just looking ", 0.1},	 {" just browsing ", 0.1},
	{" flexible ", 0.1},	   {" no deadline ", 0.1},	 {" no timeline ", 0.1},
};

static const struct phrase calendar[] = {
	{" next year ", 0.2},	 {" this year ", 0.5},	  {" end of the year ", 0.5},
	{" next quarter ", 0.7}, {" this quarter ", 0.7}, {" next month ", 0.9},
	{" this month ", 0.9},	 {" next week ", 0.9},	  {" this week ", 1},
};

static const char *const urgent[] = {
	" as soon as possible ",
	" asap ",
	" soonest ",
	" now ",
	" right away ",
	" straight away ",
	" immediately ",
	" immediate ",
	" urgent ",
	" urgently ",
	" today ",
	" tonight ",
	" tomorrow ",
	" yes ",
	" true ",
};

static const struct
{
	const char *word;
	int days;
} units[] = {
	{"day", 1},	   {"days", 1},	   {"week", 7},	  {"weeks", 7},
	{"month", 30}, {"months", 30}, {"year", 365}, {"years", 365},
};

static const char *const number_words[] = {
	"zero",	 "one",	  "two",  "three", "four",	 "five",   "six",
	"seven", "eight", "nine", "ten",   "eleven", "twelve",
};

static const char *const large_words[] = {
	" hundred ", " thousand ", " million ", " hundreds ", " thousands ", " millions ", " k ",
};

static const struct phrase authority[] = {
	{" not me ", 0},	 {" someone else ", 0}, {" somebody else ", 0}, {" not alone ", 0.5},
	{" together ", 0.5}, {" with my ", 0.5},	{" we decide ", 0.5},	{" partner ", 0.5},
	{" husband ", 0.5},	 {" wife ", 0.5},		{" spouse ", 0.5},		{" board ", 0.5},
	{" alone ", 1},		 {" myself ", 1},		{" i decide ", 1},		{" sole ", 1},
	{" yes ", 1},		 {" true ", 1},			{" owner ", 1},			{" decision maker ", 1},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* ---- words -------------------------------------------------------------------------------------- */

/* Lower-case words of letters and digits, single spaces between and around; a byte beyond ASCII is
 * part of a word. out has WORDS_SIZE bytes. */
static void
to_words(const char *text, size_t len, char *out)
{
	size_t n = 0;

	out[n++] = ' ';
	for (size_t i = 0; i < len && i < SIGNALS_TEXT_MAX; i++)
	{
		unsigned char c = (unsigned char) text[i];
		bool is_upper = c >= 'A' && c <= 'Z';

		if (is_upper || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c >= 0x80)
			out[n++] = (char) (is_upper ? c - 'A' + 'a' : c);
		else if (out[n - 1] != ' ')
			out[n++] = ' ';
	}
	if (out[n - 1] != ' ')
		out[n++] = ' ';
	out[n] = '\0';
}

static bool
is_blank(const char *words)
{
	return words[1] == '\0';
}

static bool
is_nothing(const char *words)
{
	for (size_t i = 0; i < COUNT(nothing); i++)
	{
		if (strcmp(words, nothing[i]) == 0)
			return true;
	}
	return false;
}

static bool
has_any(const char *words, const char *const *phrases, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		if (strstr(words, phrases[i]) != NULL)
			return true;
	}
	return false;
}

/* The first phrase of the table that is there; -1 when none is. */
static double
phrase_value(const char *words, const struct phrase *phrases, size_t count)
{
	for (size_t i = 0; i < count; i++)
	{
		if (strstr(words, phrases[i].words) != NULL)
			return phrases[i].value;
	}
	return -1;
}

static bool
has_digit(const char *words)
{
	return words[strcspn(words, "123456789")] != '\0';
}

static bool
same(const char *word, const char *at, size_t len)
{
	return strlen(word) == len && memcmp(word, at, len) == 0;
}

/* ---- time --------------------------------------------------------------------------------------- */

/* A word as a number: figures (cut at 9999) or one to twelve, "a", "couple", "few"; -1 if it is none. */
static int
word_number(const char *at, size_t len)
{
	int number = 0;

	for (size_t i = 0; i < COUNT(number_words); i++)
	{
		if (same(number_words[i], at, len))
			return (int) i;
	}
	if (same("a", at, len) || same("an", at, len))
		return 1;
	if (same("couple", at, len))
		return 2;
	if (same("few", at, len) || same("several", at, len))
		return 4;
	for (size_t i = 0; i < len; i++)
	{
		if (at[i] < '0' || at[i] > '9')
			return -1;
		number = number > 999 ? 9999 : number * 10 + (at[i] - '0');
	}
	return len > 0 ? number : -1;
}

static int
unit_days(const char *at, size_t len)
{
	for (size_t i = 0; i < COUNT(units); i++)
	{
		if (same(units[i].word, at, len))
			return units[i].days;
	}
	return 0;
}

/* The longest "N units" of the text in days; -1 when there is none. Of "2 or 3 months" it is the
 * number next to the unit that counts; "a couple of weeks" may have an "of" between. */
static long
longest_span(const char *words)
{
	long longest = -1;
	int number = -1;

	for (const char *at = words + 1; *at != '\0';)
	{
		size_t len = strcspn(at, " ");
		int days = unit_days(at, len);
		int value = word_number(at, len);

		if (days > 0 && number >= 0 && (long) number * days > longest)
			longest = (long) number * days;
		if (value >= 0)
			number = value;
		else if (!same("of", at, len) && !same("business", at, len))
			number = -1;
		at += len + 1;
	}
	return longest;
}

static double
span_urgency(long days)
{
	static const struct
	{
		long days;
		double value;
	} steps[] = {{7, 1}, {31, 0.9}, {92, 0.7}, {183, 0.5}, {366, 0.3}};

	for (size_t i = 0; i < COUNT(steps); i++)
	{
		if (days <= steps[i].days)
			return steps[i].value;
	}
	return 0.1;
}

static double
urgency_of(const char *words)
{
	double value;
	long days;

	if (is_blank(words))
		return -1;
	if (is_nothing(words))
		return 0;
	value = phrase_value(words, denials, COUNT(denials));
	if (value >= 0)
		return value;
	days = longest_span(words);
	if (days >= 0)
		return span_urgency(days);
	value = phrase_value(words, calendar, COUNT(calendar));
	if (value >= 0)
		return value;
	return has_any(words, urgent, COUNT(urgent)) ? 1 : 0.3;
}

double
signals_urgency(const char *text, size_t len)
{
	char words[WORDS_SIZE];

	to_words(text, len, words);
	return urgency_of(words);
}

/* ---- the other parts ---------------------------------------------------------------------------- */

static double
text_value(enum bant_part part, const char *text, size_t len)
{
	char words[WORDS_SIZE];
	double value;

	to_words(text, len, words);
	if (part == BANT_TIMELINE)
		return urgency_of(words);
	if (is_blank(words))
		return -1;
	if (is_nothing(words))
		return 0;
	switch (part)
	{
		case BANT_BUDGET:
			return has_digit(words) || has_any(words, large_words, COUNT(large_words)) ? 1 : 0.5;
		case BANT_AUTHORITY:
			value = phrase_value(words, authority, COUNT(authority));
			return value >= 0 ? value : 0.5;
		default: return 1;
	}
}

/* What a free member says about its signal, from 0 to 1; -1: nothing. */
static double
free_value(enum bant_part part, const struct bant_value *value)
{
	switch (value->kind)
	{
		case BANT_NULL: return -1;
		case BANT_BOOLEAN: return value->boolean ? 1 : 0;
		case BANT_TEXT: return text_value(part, value->text, value->len);
		case BANT_ARRAY:
		case BANT_OBJECT: return part == BANT_BUDGET || part == BANT_NEED ? 1 : -1;
		case BANT_NUMBER: break;
	}
	if (part == BANT_BUDGET)
		return value->number > 0 ? 1 : 0;
	return value->number >= 0 && value->number <= 1 ? value->number : -1;
}

static int
find_member(const char *name, size_t len)
{
	for (size_t i = 0; i < COUNT(members); i++)
	{
		if (same(members[i].name, name, len))
			return (int) i;
	}
	return -1;
}

/* Did the signal come from a member with bant's own name? */
static bool
is_own(const struct signals *signals, int part)
{
	return signals->source[part] == bant_part_name((enum bant_part) part);
}

void
signals_init(struct signals *signals)
{
	memset(signals, 0, sizeof(*signals));
}

static void
take_free(struct signals *signals, int member, const struct bant_value *value)
{
	int part = members[member].part;
	struct bant_signal *signal = &signals->bant.part[part];
	const char *name = members[member].name;
	double worth;

	if (is_own(signals, part))
		return;
	worth = free_value(members[member].part, value);
	/* Of two that say the same, the first name in the alphabet is the source: a rule without order. */
	if (worth < 0 ||
		(signal->present && (worth < signal->value ||
							 (worth == signal->value && strcmp(name, signals->source[part]) > 0))))
		return;
	signal->present = true;
	signal->value = worth + 0.0;
	signals->source[part] = name;
}

bool
signals_member(struct signals *signals, const char *name, size_t len,
			   const struct bant_value *value, struct va_error *err)
{
	int part = bant_part_find(name, len);
	int member;
	struct bant_signal signal;

	if (part < 0)
	{
		member = find_member(name, len);
		if (member >= 0)
			take_free(signals, member, value);
		return true;
	}
	if (!bant_signal_read((enum bant_part) part, value, &signal, err))
		return false;
	if (signal.present)
	{
		signals->bant.part[part] = signal;
		signals->source[part] = bant_part_name((enum bant_part) part);
	}
	return true;
}

void
signals_engagement(struct signals *signals, double engagement)
{
	if (isnan(engagement) || is_own(signals, BANT_ENGAGEMENT))
		return;
	signals->bant.part[BANT_ENGAGEMENT].present = true;
	signals->bant.part[BANT_ENGAGEMENT].value = fmin(fmax(engagement, 0), 1);
	signals->source[BANT_ENGAGEMENT] = "calls and messages";
}
