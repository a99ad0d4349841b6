/*
 * country_zone.c: the tables. Country codes are those of ITU-T E.164; where a longer prefix lies in
 * another zone than most of its country, it has a line of its own and the longest that fits counts.
 * Area codes are those of the North American Numbering Plan.
 */
#include "core/country_zone.h"

#include <stddef.h>
#include <string.h>

static const struct
{
	const char *code;
	const char *zone;
} countries[] = {
	{"20", "Africa/Cairo"},
	{"211", "Africa/Juba"},
	{"212", "Africa/Casablanca"},
	{"213", "Africa/Algiers"},
	{"216", "Africa/Tunis"},
	{"218", "Africa/Tripoli"},
	{"220", "Africa/Banjul"},
	{"221", "Africa/Dakar"},
	{"223", "Africa/Bamako"},
	{"225", "Africa/Abidjan"},
	{"226", "Africa/Ouagadougou"},
	{"228", "Africa/Lome"},
	{"229", "Africa/Porto-Novo"},
	{"230", "Indian/Mauritius"},
	{"231", "Africa/Monrovia"},
	{"233", "Africa/Accra"},
	{"234", "Africa/Lagos"},
	{"237", "Africa/Douala"},
	{"243", "Africa/Kinshasa"},
	{"244", "Africa/Luanda"},
	{"249", "Africa/Khartoum"},
	{"250", "Africa/Kigali"},
	{"251", "Africa/Addis_Ababa"},
	{"252", "Africa/Mogadishu"},
	{"254", "Africa/Nairobi"},
	{"255", "Africa/Dar_es_Salaam"},
	{"256", "Africa/Kampala"},
	{"258", "Africa/Maputo"},
	{"260", "Africa/Lusaka"},
	{"263", "Africa/Harare"},
	{"264", "Africa/Windhoek"},
	{"267", "Africa/Gaborone"},
	{"27", "Africa/Johannesburg"},
	{"30", "Europe/Athens"},
	{"31", "Europe/Amsterdam"},
	{"32", "Europe/Brussels"},
	{"33", "Europe/Paris"},
	{"34", "Europe/Madrid"},
	{"350", "Europe/Gibraltar"},
	{"351", "Europe/Lisbon"},
	{"352", "Europe/Luxembourg"},
	{"353", "Europe/Dublin"},
	{"354", "Atlantic/Reykjavik"},
	{"355", "Europe/Tirane"},
	{"356", "Europe/Malta"},
	{"357", "Asia/Nicosia"},
	{"358", "Europe/Helsinki"},
	{"359", "Europe/Sofia"},
	{"36", "Europe/Budapest"},
	{"370", "Europe/Vilnius"},
	{"371", "Europe/Riga"},
	{"372", "Europe/Tallinn"},
	{"373", "Europe/Chisinau"},
	{"374", "Asia/Yerevan"},
	{"375", "Europe/Minsk"},
	{"376", "Europe/Andorra"},
	{"377", "Europe/Monaco"},
	{"380", "Europe/Kyiv"},
	{"381", "Europe/Belgrade"},
	{"382", "Europe/Podgorica"},
	{"383", "Europe/Belgrade"},
	{"385", "Europe/Zagreb"},
	{"386", "Europe/Ljubljana"},
	{"387", "Europe/Sarajevo"},
	{"389", "Europe/Skopje"},
	{"39", "Europe/Rome"},
	{"40", "Europe/Bucharest"},
	{"41", "Europe/Zurich"},
	{"420", "Europe/Prague"},
	{"421", "Europe/Bratislava"},
	{"423", "Europe/Vaduz"},
	{"43", "Europe/Vienna"},
	{"44", "Europe/London"},
	{"45", "Europe/Copenhagen"},
	{"46", "Europe/Stockholm"},
	{"47", "Europe/Oslo"},
	{"48", "Europe/Warsaw"},
	{"49", "Europe/Berlin"},
	{"501", "America/Belize"},
	{"502", "America/Guatemala"},
	{"503", "America/El_Salvador"},
	{"504", "America/Tegucigalpa"},
	{"505", "America/Managua"},
	{"506", "America/Costa_Rica"},
	{"507", "America/Panama"},
	{"509", "America/Port-au-Prince"},
	{"51", "America/Lima"},
	{"52", "America/Mexico_City"},
	{"53", "America/Havana"},
	{"54", "America/Argentina/Buenos_Aires"},
	{"55", "America/Sao_Paulo"},
	{"56", "America/Santiago"},
	{"57", "America/Bogota"},
	{"58", "America/Caracas"},
	{"591", "America/La_Paz"},
	{"592", "America/Guyana"},
	{"593", "America/Guayaquil"},
	{"595", "America/Asuncion"},
	{"598", "America/Montevideo"},
	{"60", "Asia/Kuala_Lumpur"},
	{"61", "Australia/Sydney"},
	{"617", "Australia/Brisbane"},
	{"618", "Australia/Adelaide"},
	{"6189", "Australia/Perth"},
	{"62", "Asia/Jakarta"},
	{"63", "Asia/Manila"},
	{"64", "Pacific/Auckland"},
	{"65", "Asia/Singapore"},
	{"66", "Asia/Bangkok"},
	{"673", "Asia/Brunei"},
	{"675", "Pacific/Port_Moresby"},
	{"679", "Pacific/Fiji"},
	{"7", "Europe/Moscow"},
	{"76", "Asia/Almaty"},
	{"77", "Asia/Almaty"},
	{"81", "Asia/Tokyo"},
	{"82", "Asia/Seoul"},
	{"84", "Asia/Ho_Chi_Minh"},
	{"852", "Asia/Hong_Kong"},
	{"853", "Asia/Macau"},
	{"855", "Asia/Phnom_Penh"},
	{"856", "Asia/Vientiane"},
	{"86", "Asia/Shanghai"},
	{"880", "Asia/Dhaka"},
	{"886", "Asia/Taipei"},
	{"90", "Europe/Istanbul"},
	{"91", "Asia/Kolkata"},
	{"92", "Asia/Karachi"},
	{"93", "Asia/Kabul"},
	{"94", "Asia/Colombo"},
	{"95", "Asia/Yangon"},
	{"960", "Indian/Maldives"},
	{"961", "Asia/Beirut"},
	{"962", "Asia/Amman"},
	{"963", "Asia/Damascus"},
	{"964", "Asia/Baghdad"},
	{"965", "Asia/Kuwait"},
	{"966", "Asia/Riyadh"},
	{"967", "Asia/Aden"},
	{"968", "Asia/Muscat"},
	{"970", "Asia/Gaza"},
	{"971", "Asia/Dubai"},
	{"972", "Asia/Jerusalem"},
	{"973", "Asia/Bahrain"},
	{"974", "Asia/Qatar"},
	{"975", "Asia/Thimphu"},
	{"976", "Asia/Ulaanbaatar"},
	{"977", "Asia/Kathmandu"},
	{"98", "Asia/Tehran"},
	{"992", "Asia/Dushanbe"},
	{"993", "Asia/Ashgabat"},
	{"994", "Asia/Baku"},
	{"995", "Asia/Tbilisi"},
	{"996", "Asia/Bishkek"},
	{"998", "Asia/Tashkent"},
};

/* Area codes of +1, three digits each and a space between: a search for three digits cannot hit two
 * halves. What is not named here is on the clock of New York. */
static const struct
{
	const char *zone; /* NULL: numbers that belong to no place */
	const char *codes;
} areas[] = {
	{"America/Los_Angeles",
	 "206 209 213 236 250 253 279 310 323 341 350 360 408 415 424 425 442 503 509 510 "
	 "530 541 559 562 564 604 619 626 628 650 657 661 669 672 702 707 714 725 747 760 "
	 "775 778 805 818 820 831 840 858 909 916 925 949 951 971"},
	{"America/Phoenix", "480 520 602 623 928"},
	{"America/Denver",
	 "208 303 307 368 385 403 406 435 505 575 587 719 720 780 801 825 915 970 983 986"},
	{"America/Chicago",
	 "205 210 214 217 218 219 224 225 228 251 254 256 262 270 281 309 312 314 316 318 "
	 "319 320 325 331 334 337 346 361 364 402 405 409 414 417 430 431 432 447 464 469 "
	 "479 501 504 507 512 515 531 534 539 557 563 572 573 580 601 605 608 612 615 618 "
	 "620 629 630 636 641 651 659 660 662 682 701 708 712 713 715 726 730 731 737 763 "
	 "769 773 779 785 806 815 816 817 830 832 847 850 870 872 901 903 913 918 920 931 "
	 "936 938 940 945 952 956 972 975 979 985"},
	{"America/Regina", "306 474 639"},
	{"America/Winnipeg", "204 584"},
	{"America/Anchorage", "907"},
	{"Pacific/Honolulu", "808"},
	{"America/Halifax", "506 782 902"},
	{"America/St_Johns", "709"},
	{"America/Puerto_Rico", "787 939"},
	{"America/Jamaica", "658 876"},
	{"America/Santo_Domingo", "809 829 849"},
	{"Pacific/Guam", "671"},
	{NULL, "500 521 522 533 544 555 566 577 588 600 622 700 710 800 833 844 855 866 877 888 "
		   "900"},
};

static const char *
area_zone(const char *number)
{
	char code[4];

	if (strspn(number, "0123456789") < 3)
		return NULL;
	memcpy(code, number, 3);
	code[3] = '\0';
	for (size_t i = 0; i < sizeof(areas) / sizeof(areas[0]); i++)
	{
		if (strstr(areas[i].codes, code) != NULL)
			return areas[i].zone;
	}
	return "America/New_York";
}

const char *
country_zone(const char *number)
{
	const char *zone = NULL;
	size_t longest = 0;

	if (number[0] != '+')
		return NULL;
	if (number[1] == '1')
		return area_zone(number + 2);
	for (size_t i = 0; i < sizeof(countries) / sizeof(countries[0]); i++)
	{
		size_t len = strlen(countries[i].code);

		if (len > longest && strncmp(number + 1, countries[i].code, len) == 0)
		{
			longest = len;
			zone = countries[i].zone;
		}
	}
	return zone;
}
