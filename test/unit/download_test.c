/*
 * download_test.c: ranges against their definition, one by one and by chance; names in headers.
 */
#include "core/download.h"

#include "tap.h"

static void
test_ranges(void)
{
	static const struct
	{
		const char *range;
		uint64_t size;
		enum download_range result;
		uint64_t from, count;
	} cases[] = {
		{"", 10, DOWNLOAD_WHOLE, 0, 10},
		{"bytes=0-3", 10, DOWNLOAD_PART, 0, 4},
		{"Bytes=0-3", 10, DOWNLOAD_PART, 0, 4},
		{"bytes=3-3", 10, DOWNLOAD_PART, 3, 1},
		{"bytes=9-", 10, DOWNLOAD_PART, 9, 1},
		{"bytes=0-", 10, DOWNLOAD_PART, 0, 10},
		{"bytes=5-1000", 10, DOWNLOAD_PART, 5, 5},
		{"bytes=5-99999999999999999999999", 10, DOWNLOAD_PART, 5, 5},
		{"bytes=-3", 10, DOWNLOAD_PART, 7, 3},
		{"bytes=-10", 10, DOWNLOAD_PART, 0, 10},
		{"bytes=-11", 10, DOWNLOAD_PART, 0, 10},
		{"bytes=-99999999999999999999999", 10, DOWNLOAD_PART, 0, 10},
		{"bytes=10-", 10, DOWNLOAD_BEYOND, 0, 10},
		{"bytes=10-12", 10, DOWNLOAD_BEYOND, 0, 10},
		{"bytes=99999999999999999999999-", 10, DOWNLOAD_BEYOND, 0, 10},
		{"bytes=-0", 10, DOWNLOAD_BEYOND, 0, 10},
		{"bytes=0-0", 0, DOWNLOAD_BEYOND, 0, 0},
		{"bytes=-1", 0, DOWNLOAD_BEYOND, 0, 0},
		{"bytes=0-", UINT64_MAX, DOWNLOAD_PART, 0, UINT64_MAX},
		{"bytes=18446744073709551614-", UINT64_MAX, DOWNLOAD_PART, UINT64_MAX - 1, 1},
		{"bytes=-", 10, DOWNLOAD_WHOLE, 0, 10},
		{"bytes=", 10, DOWNLOAD_WHOLE, 0, 10},
		{"bytes", 10, DOWNLOAD_WHOLE, 0, 10},
		{"bytes=4-2", 10, DOWNLOAD_WHOLE, 0, 10},
		{"bytes=0-1,3-4", 10, DOWNLOAD_WHOLE, 0, 10},
		{"bytes=0-1 ", 10, DOWNLOAD_WHOLE, 0, 10},
		{"bytes= 0-1", 10, DOWNLOAD_WHOLE, 0, 10},
		{"bytes=a-b", 10, DOWNLOAD_WHOLE, 0, 10},
		{"bytes=+1-2", 10, DOWNLOAD_WHOLE, 0, 10},
		{"bytes=0x1-2", 10, DOWNLOAD_WHOLE, 0, 10},
		{"items=0-1", 10, DOWNLOAD_WHOLE, 0, 10},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		uint64_t from, count;
		enum download_range result = download_range(cases[i].range, cases[i].size, &from, &count);

		ok(result == cases[i].result && from == cases[i].from && count == cases[i].count,
		   "\"%s\" of %" PRIu64 ": %d, %" PRIu64 ", %" PRIu64, cases[i].range, cases[i].size,
		   (int) result, from, count);
	}
}

static void
test_names(void)
{
	static const struct
	{
		const char *name, *value;
	} cases[] = {
		{"a.txt", "attachment; filename=\"a.txt\"; filename*=UTF-8''a.txt"},
		{"a b.txt", "attachment; filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt"},
		{"Gr\xc3\xbc\xc3\x9f"
		 "e",
		 "attachment; filename=\"Gr__e\"; filename*=UTF-8''Gr%C3%BC%C3%9Fe"},
		{"\"; x=\"", "attachment; filename=\"__ x__\"; filename*=UTF-8''%22%3B%20x%3D%22"},
		{"a\r\nX: y", "attachment; filename=\"a__X_ y\"; filename*=UTF-8''a%0D%0AX%3A%20y"},
		{"100%\\", "attachment; filename=\"100__\"; filename*=UTF-8''100%25%5C"},
		{"\xf0\x9f\x98\x80", "attachment; filename=\"_\"; filename*=UTF-8''%F0%9F%98%80"},
	};
	char out[256], small[20];
	struct buf b;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
	{
		buf_init(&b, out, sizeof(out));
		download_disposition(&b, cases[i].name);
		is_str(out, cases[i].value, "name %zu", i);
	}
	buf_init(&b, small, sizeof(small));
	download_disposition(&b, "name");
	ok(b.overflow, "what does not fit is told");
}

int
main(void)
{
	plan(0);
	test_ranges();
	test_names();
	return done();
}
