/* What every unit test begins with. */
#ifndef UNIT_H
#define UNIT_H

/* cmocka.h needs the others before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#define TEST(name) static void name(void **unused __attribute__((unused)))

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

#endif
