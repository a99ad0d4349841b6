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
	is_str(country_zone("+15551230001"), NULL, "North America has several zones");
	is_str(country_zone("+74951234567"), NULL, "so has Russia");
	is_str(country_zone("+61212345678"), NULL, "and Australia");
	is_str(country_zone("4930123456"), NULL, "not in E.164");
	is_str(country_zone("+"), NULL, "no digits");
	is_str(country_zone(""), NULL, "nothing");
	return done();
}
