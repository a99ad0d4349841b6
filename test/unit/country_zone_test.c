/*
 * country_zone_test.c: zones by telephone number.
 */
#include "core/country_zone.h"

#include "tap.h"

int
main(void)
{
	plan(0);
	is_str(country_zone("+4930123456"), "Europe/Berlin", "Germany");
	is_str(country_zone("+442079460000"), "Europe/London", "Britain");
	is_str(country_zone("+919876543210"), "Asia/Kolkata", "India");
	is_str(country_zone("+35312345678"), "Europe/Dublin", "Ireland, three digits");
	is_str(country_zone("+97412345678"), "Asia/Qatar", "Qatar");
	is_str(country_zone("+12125550100"), "America/New_York", "New York by its area code");
	is_str(country_zone("+13105550100"), "America/Los_Angeles", "Los Angeles");
	is_str(country_zone("+13125550100"), "America/Chicago", "Chicago");
	is_str(country_zone("+16025550100"), "America/Phoenix", "Phoenix, without summer time");
	is_str(country_zone("+17095550100"), "America/St_Johns", "Newfoundland");
	is_str(country_zone("+15551230001"), NULL, "area code 555 belongs to no place");
	is_str(country_zone("+18005550100"), NULL, "nor does 800");
	is_str(country_zone("+1"), NULL, "no area code");
	is_str(country_zone("+120"), NULL, "half an area code");
	is_str(country_zone("+74951234567"), "Europe/Moscow", "Russia has that of most of its people");
	is_str(country_zone("+77271234567"), "Asia/Almaty", "Kazakhstan by the longer prefix");
	is_str(country_zone("+61212345678"), "Australia/Sydney", "Australia");
	is_str(country_zone("+61812345678"), "Australia/Adelaide", "its south");
	is_str(country_zone("+61891234567"), "Australia/Perth", "its west");
	is_str(country_zone("+99912345678"), NULL, "no such country");
	is_str(country_zone("4930123456"), NULL, "not in E.164");
	is_str(country_zone("+"), NULL, "no digits");
	is_str(country_zone(""), NULL, "nothing");
	return done();
}
