/* The allocator under test: the program's own malloc, or with STRESS_CORE the core's, beside a sanitizer's
 * malloc. */
#ifndef TESTS_STRESS_HEAP_H
#define TESTS_STRESS_HEAP_H

#include <malloc.h>
#include <stdlib.h>

#ifdef STRESS_CORE
#include "heap_api.h"

#define malloc mesh_malloc
#define calloc mesh_calloc
#define realloc mesh_realloc
#define memalign mesh_memalign
#define free mesh_free
#endif

#endif
