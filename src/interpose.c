#include "interpose.h"

#include <dlfcn.h>
#include <string.h>

#include "atomic.h"
#include "check.h"

static void *_Atomic real_functions[REAL_COUNT]; /* (~) NULL: not looked up yet; racing threads find the same */

#define REAL_STRING(name) #name "\0"
static char names[] = REAL_NAMES(REAL_STRING); /* not const: it would take room in the mapping in front */

static void *look_up(unsigned function, const char *name) {
  void *f = dlsym(RTLD_NEXT, name);
  store_relaxed(&real_functions[function], f);
  return f;
}

static NOINLINE void *find(unsigned function) {
  const char *name = names;
  for (unsigned i = 0; i < function; i++) name += strlen(name) + 1;
  return look_up(function, name);
}

void *real_function(unsigned function) {
  void *f = load_relaxed(&real_functions[function]);
  return LIKELY(f != NULL) ? f : find(function);
}

void real_find_all(void) {
  static _Atomic bool done;
  if (load_relaxed(&done)) return;
  store_relaxed(&done, true);
  const char *name = names;
  for (unsigned i = 0; i < REAL_COUNT; i++, name += strlen(name) + 1)
    if (load_relaxed(&real_functions[i]) == NULL) look_up(i, name);
  dlerror(); /* that of a name which this libc lacks is none of the program's */
}
