#include "interpose.h"

#include <dlfcn.h>
#include <stdint.h>

#include "atomic.h"
#include "check.h"

static void *_Atomic real_functions[REAL_COUNT]; /* (~) NULL: not looked up yet; racing threads find the same */

/* One after another, not const: they would take room in the mapping in front. */
#define REAL_FIELD(name) char of_##name[sizeof #name];
#define REAL_STRING(name) #name,
#define REAL_OFFSET(name) offsetof(struct Names, of_##name),
static struct Names {
  REAL_NAMES(REAL_FIELD)
} names = {REAL_NAMES(REAL_STRING)};
static const uint16_t name_offset[] = {REAL_NAMES(REAL_OFFSET)};

static NOINLINE void *find(unsigned function) {
  void *f = dlsym(RTLD_NEXT, (const char *)&names + name_offset[function]);
  store_relaxed(&real_functions[function], f);
  return f;
}

void *real_function(unsigned function) {
  void *f = load_relaxed(&real_functions[function]);
  return LIKELY(f != NULL) ? f : find(function);
}

/* A look-up takes the message away that a program got from dlerror, or is about to. What it may well call before it has
 * written that down, the time and files, is looked up before it begins. */
__attribute__((constructor)) static void find_first(void) {
  static const uint16_t first[] = {REAL_clock_gettime, REAL_gettimeofday, REAL_open, REAL_open64, REAL_fstat};
  for (unsigned i = 0; i < sizeof first / sizeof *first; i++) real_function(first[i]);
}

void real_find_all(void) {
  static _Atomic bool done; /* (~) set before there is a second thread */
  if (load_relaxed(&done)) return;
  store_relaxed(&done, true);
  for (unsigned i = 0; i < REAL_COUNT; i++)
    if (load_relaxed(&real_functions[i]) == NULL) find(i);
  dlerror(); /* that of a name which this libc lacks is none of the program's */
}
