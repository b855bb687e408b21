/* SPDX-License-Identifier: Apache-2.0 */
/* cmocka with the headers that it wants before it. */
#ifndef TESTS_SUPPORT_TEST_H
#define TESTS_SUPPORT_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/* cmocka 2 deprecates assert_in_range, which cmocka 1 alone has, and has a macro stop(), a name that tests need. */
#ifdef assert_int_in_range
#undef assert_in_range
#define assert_in_range(value, minimum, maximum) assert_int_in_range(value, minimum, maximum)
#endif
#undef stop

#define TEST_SKIPPED 77 /* exit status that ctest reads as "skipped" */

#endif
