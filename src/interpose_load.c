/* Wrappers of what opens libraries. With RTLD_DEEPBIND a library looks for malloc and free in what it needs
 * itself, libc among them, before it would find ours: it would free with libc's what others got from here. PHP
 * opens its extensions so. Nothing else can be done about it; the library finds all its names in the usual order
 * then. */
#include <dlfcn.h>

#include "interpose.h"

/* libc looks at where the call comes from, for the caller's own search path and namespace: no frame of ours may lie
 * between, in debug builds neither. */
#if defined(__clang__)
#define TAIL_CALLS
#define RETURN __attribute__((musttail)) return
#else
#define TAIL_CALLS __attribute__((optimize("O2")))
#define RETURN return
#endif

EXPORT TAIL_CALLS void *dlopen(const char *file, int mode) { RETURN REAL(dlopen)(file, mode & ~RTLD_DEEPBIND); }

/* Another namespace has a libc and a malloc of its own. */
EXPORT TAIL_CALLS void *dlmopen(Lmid_t space, const char *file, int mode) {
  RETURN REAL(dlmopen)(space, file, space == LM_ID_BASE ? mode & ~RTLD_DEEPBIND : mode);
}
