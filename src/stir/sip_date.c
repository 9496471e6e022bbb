#include "stirrup/sip_date.h"

#include <string.h>

#define DAY_S 86400
#define LAST_SECOND INT64_C(253402300799) /* of the year 9999: the format has four digits */

static const char weekdays[7][4] = { "Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat" };
static const char months[12][4] = { "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct",
	"Nov", "Dec" };

static bool is_leap_year(int year)
{
	return (year % 4 == 0 && year % 100 != 0) || year % 400 == 0;
}

static int days_in_month(int year, int month)
{
	static const int days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

	return days[month] + (month == 1 && is_leap_year(year) ? 1 : 0);
}

/* Days from 1 January 1970 to 1 January of the year. */
static int64_t days_before_year(int year)
{
	int64_t past = year - 1;

	return 365 * past + past / 4 - past / 100 + past / 400 - 719162;
}

/* The index of the name at text, which has at least three bytes; -1 when it is none of them. */
static int find_name(const char *text, const char (*names)[4], int count)
{
	for (int i = 0; i < count; i++) {
		if (strncasecmp(text, names[i], 3) == 0)
			return i;
	}
	return -1;
}

/* A number of exactly so many digits; -1 when one of them is something else. */
static int read_digits(const char *text, int count)
{
	int value = 0;

	for (int i = 0; i < count; i++) {
		if (text[i] < '0' || text[i] > '9')
			return -1;
		value = value * 10 + (text[i] - '0');
	}
	return value;
}

/* All fields have a fixed place: "Sun, 06 Nov 1994 08:49:37 GMT". 'x' stands for what find_name and
 * read_digits read. */
static bool has_the_form(struct span value)
{
	static const char form[] = "xxx, xx xxx xxxx xx:xx:xx GMT";

	if (value.length != sizeof(form) - 1)
		return false;
	for (size_t i = 0; i < value.length - 3; i++) {
		if (form[i] != 'x' && value.at[i] != form[i])
			return false;
	}
	return strncasecmp(value.at + value.length - 3, "GMT", 3) == 0;
}

bool sip_date_parse(struct span value, int64_t *seconds)
{
	int day, month, year, hour, minute, second;
	int64_t days;

	value = span_trim(value);
	if (!has_the_form(value) || find_name(value.at, weekdays, 7) < 0)
		return false;

	day = read_digits(value.at + 5, 2);
	month = find_name(value.at + 8, months, 12);
	year = read_digits(value.at + 12, 4);
	hour = read_digits(value.at + 17, 2);
	minute = read_digits(value.at + 20, 2);
	second = read_digits(value.at + 23, 2);

	if (month < 0 || year < 1 || day < 1 || day > days_in_month(year, month))
		return false;
	/* RFC 3261, section 25.1: 00:00:00 to 23:59:59, so no leap second. */
	if (hour < 0 || hour > 23 || minute < 0 || minute > 59 || second < 0 || second > 59)
		return false;

	days = days_before_year(year) + day - 1;
	for (int i = 0; i < month; i++)
		days += days_in_month(year, i);
	*seconds = days * DAY_S + hour * 3600 + minute * 60 + second;
	return true;
}

static void put_digits(char *out, unsigned value, int count)
{
	while (count-- > 0) {
		out[count] = (char)('0' + value % 10);
		value /= 10;
	}
}

/* Not by printf(), which takes 3,000 instructions for it: every redirect has a Date. */
void sip_date_format(char out[SIP_DATE_SIZE], int64_t seconds)
{
	unsigned time_of_day, weekday, day;
	int64_t days;
	int year, month = 0;

	if (seconds < 0)
		seconds = 0;
	if (seconds > LAST_SECOND)
		seconds = LAST_SECOND;

	days = seconds / DAY_S;
	time_of_day = (unsigned)(seconds % DAY_S);
	weekday = (unsigned)((days + 4) % 7); /* 1 January 1970 was a Thursday */

	year = 1970 + (int)(days / 366); /* never too late, and a few years early at most */
	while (days >= days_before_year(year + 1))
		year++;
	days -= days_before_year(year);
	for (; days >= days_in_month(year, month); month++)
		days -= days_in_month(year, month);
	day = (unsigned)days + 1;

	memcpy(out, "Xxx, 00 Xxx 0000 00:00:00 GMT", SIP_DATE_SIZE);
	memcpy(out, weekdays[weekday], 3);
	put_digits(out + 5, day, 2);
	memcpy(out + 8, months[month], 3);
	put_digits(out + 12, (unsigned)year, 4);
	put_digits(out + 17, time_of_day / 3600, 2);
	put_digits(out + 20, time_of_day / 60 % 60, 2);
	put_digits(out + 23, time_of_day % 60, 2);
}
