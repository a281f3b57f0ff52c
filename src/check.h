/* Assertions in three tiers, none with a side effect, and the one way to end the program. */
#ifndef MESH_CHECK_H
#define MESH_CHECK_H

#include "config.h"

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)
#define NOINLINE __attribute__((noinline))
/* A function that does not look into the memory its n-th argument points to. */
#if defined(__GNUC__) && !defined(__clang__) && __GNUC__ >= 11
#define ADDRESS_ONLY(n) __attribute__((access(none, n)))
#else
#define ADDRESS_ONLY(n)
#endif
#define COLD __attribute__((noinline, cold))

/* Writes "libmesh: <what> 0x<address>\n" to stderr (without the address where it is NULL) and aborts.
 * Allocates nothing, takes no lock. `what` says what the program did wrong: "double free of". */
_Noreturn COLD void mesh_fatal(const char *what, const void *address);

/* Always on: a broken promise of our own that would corrupt the heap if ignored. */
#define check_always(x) (LIKELY(x) ? (void)0 : mesh_fatal("internal error: " #x, NULL))
/* Debug builds. */
#define check_debug(x) (!MESH_DEBUG || LIKELY(x) ? (void)0 : mesh_fatal("assertion failed: " #x, NULL))

#endif
